"""`k`: what a probe writes its guest program with, above the `yield`.

Everything here *stages*: it adds guest instructions in source order; nothing happens until the guest boots. Generated
code clobbers RAX, RCX, RDX, RSI, RDI and the flags; RBX, RBP and R8–R15 are the probe's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

from harness import abi
from harness.hardware.block import Value
from harness.hardware.cpu import ControlRegisters, DebugRegisters
from harness.hardware.msr import Msr
from harness.hardware.platform import Platform
from harness.hardware.rtc import Cmos
from harness.kernel.blocks import ProgramBlock, block
from harness.kernel.bus import StagedBus
from harness.kernel.call_site import source_from_call
from harness.kernel.checks import check_count, check_duration, check_number, check_vector
from harness.kernel.controllers import HpetControl, IoApicControl, LocalApicControl, PicPair, PitControl
from harness.kernel.cpus import Processors
from harness.kernel.lines import IsaLines
from harness.kernel.pages import PageWindow
from harness.kernel.patience import DEVICE_MS, LONGEST_MS, Patience
from harness.kernel.pci import PciBus
from harness.kernel.program import Buffer, Program, TargetLacks, WaitPoint, probe_frame
from harness.kernel.tables import DescriptorTables
from harness.kernel.values import GuestValues

__all__ = ["Kernel"]

P = ParamSpec("P")
T = TypeVar("T")

_QUADWORD = (1 << 64) - 1
_QUIET_IN_REAL_TIME_MS = 10.0


class Kernel(GuestValues):
    """The guest-program builder.

    Registers: `lapic`, `ioapic`, `pic`, `pit`, `hpet`, `rtc`, `cr`, `dr`, `msr`. Devices: `pci`, `lines`.
    Tables: `tables`. Processors: `smp`.
    """

    device_ms = DEVICE_MS  # the bound of waits for devices whose work the host does

    def __init__(
        self,
        program: Program,
        platform: Platform,
        cpus: int = 1,
        *,
        deterministic: bool = True,
        accelerator: str = "tcg",
        longest_wait_ms: float = math.inf,
    ) -> None:
        super().__init__(program, StagedBus(program))
        self.platform = platform
        self.cpus = cpus
        self.deterministic = deterministic  # virtual time counts instructions: timers are exact to the tick
        # In real time a busy host may leave a processor standing: what a wait gives up after is no measurement there.
        self.patience = Patience(1 if deterministic else 40, longest_wait_ms)
        self.accelerator = accelerator
        self.lapic = LocalApicControl(self.bus)
        self.ioapic = IoApicControl(self.bus)
        self.pic = PicPair(program, self.bus)
        self.pit = PitControl(program, self.bus, platform)
        self.hpet = HpetControl(program, self.bus, platform)
        self.rtc = Cmos(self.bus, name="rtc")
        self.cr = ControlRegisters(self.bus, name="cr")
        self.dr = DebugRegisters(self.bus, name="dr")
        self.msr = Msr(self.bus, name="msr")
        self.tables = DescriptorTables(program)
        self.pages = PageWindow(program)
        self.lines = IsaLines(program)
        self.pci = PciBus(program, self.bus, platform, cpus)
        self.smp = Processors(program, cpus, self.patience)

    def unsupported(self, reason: str) -> NoReturn:
        """End the probe here with the verdict `unsupported`: the target has not got what the probe is about."""
        raise TargetLacks(reason)

    # --- code and values ---

    def asm(self, text: str) -> None:
        """Assembly, as written: Intel syntax, one statement a line, `#` comments.

        Names that work: the layout's and the register maps' constants (`LAPIC_EOI`), values and buffers by
        name, the runtime's labels. `.Lname` and `1:` labels are local to this text.
        """
        block = self.program.next_block()
        lines = source_from_call(text, probe_frame(), block)
        self.program.step_lines("asm", lines, self.program.origin())

    def buffer(
        self,
        name: str,
        size: int,
        *,
        align: int = 16,
        fill: int | bytes = 0,
        volatile: tuple[tuple[int, int], ...] = (),
    ) -> Buffer:
        """Guest memory at a physical address that host and guest know, filled before the program goes on.

        `fill`: one byte for all of it, or its first bytes (the rest zero). Neighbours are at least a page away.
        `volatile`: pieces (offset, size) that a device may still change when the guest is at its end.
        """
        if isinstance(fill, int):
            check_number(self.program, f"k.buffer {name!r}: fill", fill, 0, 255)
        buffer = self.program.add_buffer(name, size, align, volatile)
        lines = [f"mov edi, {buffer.address:#x}"]
        pattern = fill if isinstance(fill, int) else 0
        lines += [f"mov eax, {pattern:#x}", f"mov ecx, {size:#x}", "rep stosb"]
        if not isinstance(fill, int):
            if len(fill) > size:
                raise self.program.error(f"buffer {name!r}: {len(fill)} bytes of content for {size} bytes")
            label = self.program.add_data(fill)
            lines += [
                f"mov edi, {buffer.address:#x}",
                f"lea rsi, [rip+{label}]",
                f"mov ecx, {len(fill):#x}",
                "rep movsb",
            ]
        self.program.step(f"buffer {name}", *lines)
        return buffer

    # --- interrupts ---

    @block
    def handler(self, vector: int, *, eoi: bool = True, replace: bool = False) -> Iterator[None]:
        """What to do when `vector` arrives, after the stub has recorded it; EOI follows unless `eoi=False`.

        Runs with interrupts off, on the interrupted stack, every register saved; RDI points to the frame (`FRAME_…`).
        `replace`: from this step on, in place of an earlier handler for the vector.
        """
        check_vector(self.program, vector)
        origin = self.program.origin()
        first = self.program.handlers.setdefault(vector, origin)
        if first != origin and not replace:
            raise self.program.error(
                f"vector {vector:#04x} has a handler already, of {first}. To fix: write one handler "
                "that does both, or replace=True where the second one takes over at this step"
            )
        label = self.program.unique(f"handler_{vector:02x}")
        lines = [f"lea rax, [rip+{label}]", f"mov qword ptr [{abi.HANDLERS + 8 * vector:#x}], rax"]
        lines += [f"mov byte ptr [{abi.NO_EOI + vector:#x}], {int(not eoi)}"]
        self.program.step(f"handler for {vector:#04x}", *lines)
        with self.program.elsewhere(label):
            yield

    @block
    def first_time(self) -> Iterator[None]:
        """A block of a handler or a loop that is executed on the first pass only."""
        behind = self._count_pass("the first time only", "ne", 1)
        yield
        self.program.plain(f"{behind}:")

    @block
    def from_time(self, number: int) -> Iterator[None]:
        """A block of a handler or a loop that is executed from pass `number` on, counted from 1."""
        check_count(self.program, number, most=(1 << 31) - 1)
        behind = self._count_pass(f"from time {number} on", "b", number)
        yield
        self.program.plain(f"{behind}:")

    def _count_pass(self, what: str, skip: str, number: int) -> str:
        """Count passes in the program's data; jump to a label, which is returned, where the count compares so."""
        passes, behind = self.program.add_data(bytes(8)), self.program.unique("behind")
        self.program.step("count the pass", f"inc qword ptr [rip+{passes}]")
        self.program.step(what, f"cmp qword ptr [rip+{passes}], {number}", f"j{skip} {behind}")
        return behind

    def hold(self, *vectors: int) -> None:
        """Leave these vectors in service when they arrive: recorded, without EOI. `k.lapic.eoi()` ends the highest."""
        for vector in vectors:
            with self.handler(vector, eoi=False):
                pass

    def expect(self, *vectors: int) -> None:
        """Record these vectors and go on, without EOI for those the local APIC did not deliver: for NMI, #BP, #DB …"""
        for vector in vectors:
            if vector not in self.program.expected:
                with self.handler(vector):
                    pass
                self.program.expected.add(vector)

    def serve_8259(self, *irqs: int, replace: bool = False) -> None:
        """Handlers for these 8259 inputs (0–15) that end with a non-specific EOI at each chip concerned.

        Their vectors are those of the bases that `k.pic.initialize` set last. Without a handler an input that arrives
        is recorded and stays in service: the default stub sends EOI to the local APIC only. `replace`: as of `handler`.
        """
        for irq in irqs:
            check_number(self.program, "k.serve_8259: the input", irq, 0, 15)
            with self.handler(self.pic.vector(irq), replace=replace):
                self.pic.eoi(irq)

    def prepare_8259(self, *irqs: int, base: int = 0x50, slave_base: int = 0x70, **icw4: int) -> None:
        """Both 8259s initialised with these vector bases and fields of `Icw4`, all masked; the lines of `irqs` low.

        The 8254 is silenced. LINT0 stays as it is: masked, unless the program changed it.
        """
        self.pit.silence()  # before the lines: input 0 is the 8254's output too, which rises here
        self.lines.down(*irqs)
        self.pic.initialize(base=base, slave_base=slave_base, **icw4)

    def deliver_8259(
        self, *irqs: int, base: int = 0x50, slave_base: int = 0x70, serve: bool = True, unmask: bool = True, **icw4: int
    ) -> None:
        """Set the 8259 pair up to deliver these inputs (0–15) in virtual wire mode.

        After `prepare_8259` LINT0 becomes ExtINT, the inputs are served with EOI (unless `serve=False`) and unmasked
        (unless `unmask=False`).
        """
        self.prepare_8259(*irqs, base=base, slave_base=slave_base, **icw4)
        self.lapic.virtual_wire()
        if serve:
            self.serve_8259(*irqs)
        if unmask:
            self.pic.unmask(*irqs)

    def sti(self) -> None:
        """Interrupts on; one instruction's shadow, which a NOP fills."""
        self.program.step("sti", "sti", "nop")

    def cli(self) -> None:
        """Interrupts off."""
        self.program.step("cli", "cli")

    def int_n(self, vector: int) -> None:
        """INT n."""
        check_vector(self.program, vector)
        self.program.step(f"int {vector:#x}", "int3" if vector == 3 else f"int {vector:#x}")

    @overload
    def trigger(self, /) -> ProgramBlock: ...
    @overload
    def trigger(self, action: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def trigger(self, action: Callable[..., T] | None = None, /, *args: object, **kwargs: object) -> ProgramBlock | T:
        """The cause of what the probe judges: without these steps it must turn red.

        `with k.trigger():` takes a block of steps; `k.trigger(k.lines.up, 5)` is short for a block with that one call,
        and returns what the call returns.
        """
        if action is None:
            return ProgramBlock(self.program, "trigger", self.program.triggering())
        with self.program.triggering():
            return action(*args, **kwargs)

    # --- waiting ---

    def wait_for(
        self, vector: int, count: int = 1, *, ms: float = 100.0, halt: bool = False, quiet_ms: float = 0.0
    ) -> None:
        """Until `vector` has been recorded `count` times since the start, on all processors together.

        Fails by name after `ms` milliseconds of virtual time, or 40 times that in real time. `halt=True` sleeps with
        HLT between interrupts: the way to wait for slow clocks, ended by the host's watchdog only. `quiet_ms`: let so
        many milliseconds pass afterwards, as `stay_quiet` does, so that one interrupt too many shows in the record.
        """
        check_vector(self.program, vector)
        check_count(self.program, count)
        check_duration(self.program, "ms", ms, most=LONGEST_MS)
        origin = self.program.origin()
        self.program.waits.append(WaitPoint(f"vector {vector:#04x}", origin))
        number = len(self.program.waits)
        lines = [f"mov edi, {vector}", f"mov esi, {count}"]
        if halt:
            lines += ["call halt_until"]
        else:
            lines += [f"mov edx, {self.patience.us(ms)}", f"mov ecx, {number}", "call wait_vector"]
        self.program.step(f"wait for {vector:#04x} × {count}", *lines, waits=True)
        if quiet_ms:
            self.stay_quiet(quiet_ms)

    def wait_until(
        self, what: Value[Any] | Buffer | int, equals: int, *, mask: int = _QUADWORD, ms: float = 100.0
    ) -> None:
        """Until the quadword in a value, at a buffer's start or at an address in RAM, masked, equals a number.

        Fails by name after `ms` milliseconds of virtual time, or 40 times that in real time.
        """
        check_duration(self.program, "ms", ms, most=LONGEST_MS)
        check_number(self.program, "k.wait_until: mask", mask, 1, _QUADWORD)
        check_number(self.program, "k.wait_until: equals", equals, 0, _QUADWORD)
        if equals & ~mask:
            raise self.program.error(
                f"k.wait_until: equals={equals:#x} has bits outside mask={mask:#x}, so the wait can never end. "
                f"Expected: bits of the mask only, for example {equals & mask:#x}"
            )
        if isinstance(what, Value):
            address, shown = abi.VALUES + 8 * what.index, what.name
        elif isinstance(what, Buffer):
            address, shown = what.address, what.name
        else:
            address, shown = what, f"[{what:#x}]"
        condition = f"{shown} & {mask:#x} == {equals:#x}"
        self.program.waits.append(WaitPoint(condition, self.program.origin(), address, mask))
        number = len(self.program.waits)
        lines = [f"mov edi, {address:#x}", f"movabs rsi, {mask:#x}", f"movabs rdx, {equals:#x}"]
        lines += [
            f"mov ecx, {self.patience.us(ms)}",
            f"mov r8d, {number}",
            "push r8",
            "call wait_word",
            "pop r8",
        ]
        self.program.step(f"wait until {shown} == {equals:#x}", "push r8", *lines, "pop r8", waits=True)

    def stay_quiet(self, ms: float = 1.0, *, real_ms: float = _QUIET_IN_REAL_TIME_MS) -> None:
        """Let `ms` milliseconds of guest time pass, so that anything late or doubled shows in the record.

        Where time is the host's it is `real_ms` at least: a busy host delays what comes late by some milliseconds more.
        """
        check_duration(self.program, "ms", ms, most=LONGEST_MS)
        check_duration(self.program, "real_ms", real_ms, most=LONGEST_MS)
        ms = self.by_clock(ms, max(ms, real_ms))
        self.program.quiet_ms = min(self.program.quiet_ms, ms)
        self.program.step(f"stay quiet {ms} ms", f"mov edi, {round(ms * 1000)}", "call stay", waits=True)

    def delay(self, us: float, *, real_us: float | None = None) -> None:
        """Let `us` microseconds of guest time pass, or `real_us` where time is the host's."""
        check_duration(self.program, "us", us, most=LONGEST_MS * 1000)
        if real_us is not None:
            check_duration(self.program, "real_us", real_us, most=LONGEST_MS * 1000)
            us = self.by_clock(us, real_us)
        self.program.step(f"delay {us} µs", f"mov edi, {round(us)}", "call stay", waits=True)

    @overload
    def by_clock(self, virtual: int, real: int) -> int: ...

    @overload
    def by_clock(self, virtual: float, real: float = math.inf) -> float: ...

    def by_clock(self, virtual: float, real: float = math.inf) -> float:
        """`virtual` where guest time counts instructions, `real` where it is the host's and a busy host adds to it.

        Without `real`: for an upper bound that only virtual time keeps.
        """
        return virtual if self.deterministic else real

    def keep_host_pace(self) -> None:
        """Let waits take about half as long for the host as for the guest, where time counts instructions.

        Else a wait in virtual time takes the host next to nothing, and what the host does meanwhile comes too late.
        Implied for a probe that needs a disk, a network or the like, or an interactive console.
        """
        self.program.host_paced = True

    def settle(self) -> None:
        """Let whatever can arrive now arrive: 20 µs of virtual time, 5 ms where time is the host's."""
        self.delay(us=self.by_clock(20, 5000))

    # --- the host ---

    def checkpoint(self, name: str) -> None:
        """Freeze evidence and stop until the host resumes: `run.reached(name)` below the yield, then `run.resume()`."""
        number = self.program.add_checkpoint(name)
        lines = ["push r8", "push r9", "push r10", "push r11", f"mov edi, {number}", "call checkpoint"]
        self.program.step(f"checkpoint {name}", *lines, "pop r11", "pop r10", "pop r9", "pop r8")

    def mark(self, name: str) -> None:
        """Record a named moment among the interrupts: `run.events` has both in order."""
        number = self.program.add_mark(name)
        self.program.step(f"mark {name}", f"mov edi, {number}", "call mark")

    def print(self, text: str) -> None:
        """A line on the console (COM1)."""
        if not text.isascii() or "\0" in text:
            raise self.program.error(
                f"k.print({text!r}): the console takes ASCII without NUL. To fix: write other letters"
            )
        label = self.program.add_data(text.encode("ascii") + b"\n\0")
        self.program.step(f"print {text!r}", f"lea rsi, [rip+{label}]", "call put_text")
