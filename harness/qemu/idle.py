"""Guests that can never run again: every processor is halted with interrupts off, and nothing can wake one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.hardware.cpu import Rflags
from harness.hardware.state import IoApicState, LapicState
from harness.qemu.dumps import CpuRegisters, parse_ioapics, parse_lapic, parse_registers
from harness.qemu.errors import QemuError
from harness.qemu.stop import Stop, StopKind

if TYPE_CHECKING:
    from harness.qemu.monitor import Monitor

__all__ = ["all_off", "asleep_for_good", "wait_while_awake"]

_LOOKS_S = (0.1, 0.4, 1.5)  # seconds of each wait after which the processors are examined
_IDLE = 0.1  # of a wait: with a timer left QEMU uses more of it, because virtual time jumps from one to the next
_MASKED = 1 << 16
_WAKING = (2, 4, 5)  # delivery modes that IF does not block: SMI, NMI, INIT

Dump = Callable[[str], Awaitable[str]]


def all_off(cpus: Iterable[CpuRegisters]) -> bool:
    """Whether every processor is halted with interrupts off. One that was not started is, too."""
    return all(cpu.halted and not Rflags(cpu.rflags).IF for cpu in cpus)


def asleep_for_good(cpus: Sequence[CpuRegisters], lapics: Sequence[LapicState], ioapics: Sequence[IoApicState]) -> bool:
    """Whether no line can wake a processor any more.

    LINT1 is left out: of QEMU's sources only the command `inject-nmi` pulses it, and the host waits. Messages of
    devices are not examined: where all devices work in virtual time, an idle QEMU has no message outstanding.
    """
    if not all_off(cpus) or any(cpu.smm for cpu in cpus):
        return False
    for lapic in lapics:
        entries = [raw for name, raw in lapic.lvt.items() if name != "LINT1"]
        if any(not raw & _MASKED and raw >> 8 & 7 in _WAKING for raw in entries):
            return False
    pins = [entry for ioapic in ioapics for entry in ioapic.entries]
    return not any(not entry.masked and entry.delivery_mode in _WAKING for entry in pins)


async def wait_while_awake(monitor: Monitor, dump: Dump, timeout: float) -> Stop:
    """As `Monitor.wait_stop`, for a guest whose virtual time jumps when it halts and whose host does nothing meanwhile.

    A TIMEOUT comes early, and has `asleep` set, where the guest can never run again.
    """
    waited = ran = 0.0
    for seconds in _LOOKS_S:
        if waited + seconds >= timeout:
            break
        stop = await monitor.wait_stop(seconds)
        if stop.kind is not StopKind.TIMEOUT:
            return replace(stop, seconds=timeout) if stop.kind is StopKind.NOT_RUN else stop
        waited, ran = waited + seconds, ran + stop.ran
        if stop.ran < _IDLE * seconds and await _for_good(monitor, dump):
            return replace(stop, seconds=waited, ran=ran, asleep=True)
    stop = await monitor.wait_stop(timeout - waited)
    if stop.kind is StopKind.TIMEOUT:
        return replace(stop, seconds=timeout, ran=ran + stop.ran)
    return replace(stop, seconds=timeout) if stop.kind is StopKind.NOT_RUN else stop


async def _for_good(monitor: Monitor, dump: Dump) -> bool:
    """Examine the processors twice: between the two, QEMU's main loop has run everything that is due."""
    try:
        first = await dump("info registers -a")
        cpus = parse_registers(first)
        if not all_off(cpus):
            return False
        lapics = [parse_lapic(await dump(f"info lapic {cpu.cpu}")) for cpu in cpus]
        ioapics = parse_ioapics(await dump("info pic"))
        return asleep_for_good(cpus, lapics, ioapics) and await dump("info registers -a") == first and monitor.running
    except QemuError:  # a dump that cannot be parsed, or a QEMU that ends meanwhile: the wait continues
        return False
