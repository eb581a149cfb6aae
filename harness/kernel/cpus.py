"""`k.smp`: application processors and the work they are given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness import abi
from harness.kernel.program import Program, WaitPoint

__all__ = ["Processors"]


class Processors:
    """Starts the other processors and gives them routines to run. A processor's number is its APIC ID."""

    def __init__(self, program: Program, cpus: int) -> None:
        self._program = program
        self.count = cpus
        self._routines = dict.fromkeys(range(1, cpus), 0)

    def start(self) -> None:
        """INIT–SIPI–SIPI to each, and wait until it runs the runtime; the run fails by name if one does not."""
        if self.count < 2:
            raise self._program.error("this probe has one processor: say @probe(cpus=2)")
        self._program.step("start processors", f"mov edi, {self.count}", "call start_cpus")

    @contextmanager
    def on(self, cpu: int) -> Iterator[None]:
        """A routine for another processor, which starts it at this point of the program while this one goes on.

        It begins with interrupts off. `join` waits for its end.
        """
        if cpu not in self._routines:
            raise self._program.error(f"processor {cpu}: 1 to {self.count - 1} can be given work")
        label = self._program.unique(f"cpu{cpu}")
        work = abi.PER_CPU + abi.PERCPU.size * cpu + abi.PERCPU.offset("WORK")
        self._routines[cpu] += 1
        self._program.step(
            f"start routine on processor {cpu}", f"lea rax, [rip+{label}]", f"mov qword ptr [{work:#x}], rax"
        )
        with self._program.elsewhere(label):
            yield

    def join(self, cpu: int, *, ms: float = 100.0) -> None:
        """Until the processor has ended every routine it was given so far; fails by name after `ms` milliseconds."""
        done = abi.PER_CPU + abi.PERCPU.size * cpu + abi.PERCPU.offset("DONE")
        self._program.waits.append(WaitPoint(f"processor {cpu} to end its routine", self._program.origin()))
        lines = ["push r8", f"mov edi, {done:#x}", "mov rsi, -1", f"mov edx, {self._routines[cpu]}"]
        lines += [f"mov ecx, {round(ms * 1000)}", f"mov r8d, {len(self._program.waits)}", "call wait_word", "pop r8"]
        self._program.step(f"join processor {cpu}", *lines)
