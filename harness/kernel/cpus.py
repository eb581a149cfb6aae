"""`k.smp`: application processors and the work they are given."""

from __future__ import annotations

from collections.abc import Iterator

from harness import abi
from harness.hardware.block import Value
from harness.kernel.blocks import block
from harness.kernel.checks import check_duration
from harness.kernel.patience import LONGEST_MS, Patience
from harness.kernel.program import Program, WaitPoint

__all__ = ["Processors"]


class Processors:
    """Starts the other processors and gives them routines to run. A processor's number is its APIC ID."""

    def __init__(self, program: Program, cpus: int, patience: Patience) -> None:
        self.program = program
        self.count = cpus
        self._patience = patience
        self._routines = dict.fromkeys(range(1, cpus), 0)
        self._hush: Value[int] | None = None
        self._started = False

    def start(self) -> None:
        """INIT–SIPI–SIPI to each, and wait until it runs the runtime; the run fails by name if one does not."""
        if self.count < 2:
            raise self.program.error("k.smp.start(): this probe has one processor. To fix: @probe(cpus=2)")
        self._started = True
        self.program.step("start processors", f"mov edi, {self.count}", "call start_cpus")

    @block
    def on(self, cpu: int) -> Iterator[None]:
        """A routine for another processor, which starts it at this point of the program while this one goes on.

        It begins with interrupts off. `join` waits for its end.
        """
        self._check_started("on", cpu)
        label = self.program.unique(f"cpu{cpu}")
        work = abi.PER_CPU + abi.PERCPU.size * cpu + abi.PERCPU.offset("WORK")
        self._routines[cpu] += 1
        self.program.step(
            f"start routine on processor {cpu}", f"lea rax, [rip+{label}]", f"mov qword ptr [{work:#x}], rax"
        )
        with self.program.elsewhere(label):
            yield

    def join(self, cpu: int, *, ms: float = 100.0) -> None:
        """Until the processor has ended every routine it was given so far; fails by name after `ms` milliseconds."""
        self._check_started("join", cpu)
        if not self._routines[cpu]:
            text = f"k.smp.join({cpu}): processor {cpu} was given no routine. To fix: `with k.smp.on({cpu}):` before it"
            raise self.program.error(text)
        check_duration(self.program, "ms", ms, most=LONGEST_MS)
        done = abi.PER_CPU + abi.PERCPU.size * cpu + abi.PERCPU.offset("DONE")
        lines = self._wait(done, self._routines[cpu], f"processor {cpu} to end its routine", ms)
        self.program.step(f"join processor {cpu}", *lines, waits=True)

    def _check_started(self, verb: str, cpu: int) -> None:
        if cpu not in self._routines:
            has = f"1 to {self.count - 1}" if self.count > 1 else "none, as the probe has one processor: @probe(cpus=2)"
            raise self.program.error(f"k.smp.{verb}({cpu!r}): there is no such application processor. Expected: {has}")
        if not self._started:
            raise self.program.error(f"k.smp.{verb}({cpu}): no processor was started. To fix: k.smp.start() before it")

    def listen(self, *, ms: float = 100.0) -> None:
        """Start all, and let each take interrupts, running, until `hush`; goes on when every one of them does.

        Their logical APIC IDs are bit n of the flat model, as the runtime sets them.
        """
        self.start()
        program = self.program
        self._hush = program.add_value(program.fresh_value_name("hush"), int)
        ready = [program.add_value(program.fresh_value_name(f"ready_{cpu}"), int) for cpu in range(1, self.count)]
        program.step("let processors listen", f"mov qword ptr [{self._hush.name}], 0")
        for cpu, flag in enumerate(ready, 1):
            with self.on(cpu):
                loop = program.unique("listen")
                program.step(
                    f"processor {cpu} listens",
                    "sti",
                    f"mov qword ptr [{flag.name}], 1",
                    f"{loop}:",
                    "pause",
                    f"cmp qword ptr [{self._hush.name}], 0",
                    f"je {loop}",
                    "cli",
                )
        for cpu, flag in enumerate(ready, 1):
            lines = self._wait(abi.VALUES + 8 * flag.index, 1, f"processor {cpu} to listen", ms)
            program.step(f"wait for processor {cpu}", *lines, waits=True)

    def hush(self) -> None:
        """End what `listen` began: interrupts off on the others, their local APICs frozen for `run.lapic_of`."""
        if self._hush is None:
            raise self.program.error("k.smp.hush() without k.smp.listen() before it")
        self.program.step("hush processors", f"mov qword ptr [{self._hush.name}], 1")
        for cpu in range(1, self.count):
            self.join(cpu)

    @block
    def listening(self) -> Iterator[None]:
        """A block in which every processor takes interrupts, this one too; at its end those of `listen` are hushed."""
        self.listen()
        self.program.step("sti", "sti", "nop")
        yield
        self.hush()

    def _wait(self, address: int, equals: int, what: str, ms: float) -> list[str]:
        """Until the quadword at an address equals a number; the run fails by name after `ms` milliseconds."""
        self.program.waits.append(WaitPoint(what, self.program.origin()))
        lines = ["push r8", f"mov edi, {address:#x}", "mov rsi, -1", f"mov edx, {equals}"]
        lines += [f"mov ecx, {self._patience.us(ms)}", f"mov r8d, {len(self.program.waits)}"]
        return [*lines, "call wait_word", "pop r8"]
