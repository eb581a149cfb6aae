"""Explains a guest that gave no sign: the place of each processor, and the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import abi
from harness.evidence.failures import RunFailure, Section
from harness.evidence.guest import Guest
from harness.evidence.places import overwritten, places
from harness.evidence.recorder import Mailbox, last_place, read_counts
from harness.evidence.registers_text import registers_text
from harness.evidence.timeouts import explain_halt
from harness.hardware.lapic_lvt import LvtTimer
from harness.qemu.errors import QemuError
from harness.qemu.idle import all_off
from harness.qemu.stop import Stop

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["explain_silence"]

_STORM = 1000  # arrivals of one vector that count as an interrupt storm
_PERIODIC = 1


def explain_silence(machine: Machine, built: Guest, stop: Stop, mailbox: Mailbox) -> RunFailure:
    """Neither an end nor a checkpoint came within the watchdog's time, or can come any more."""
    head = f"the guest gave no sign for {stop.seconds:g} s"
    image = built.image
    try:
        cpus = machine.registers()
    except QemuError as error:
        return RunFailure(f"{head}; no registers: {error}")
    sections = (Section("Registers", "\n\n".join(registers_text(cpu, image) for cpu in cpus)),)
    damage = overwritten(machine.ram, image)
    if damage:
        return RunFailure(f"{head}: {damage}; {places(machine.ram, cpus, image, mailbox.online)}", sections)
    started = [cpu for cpu in cpus if mailbox.online >> cpu.cpu & 1] or list(cpus[:1])
    if all_off(started):
        first = started[0]
        line = image.line_at((first.pc - 1) % abi.USER_ALIAS) if image.covers(first.pc - 1) else None
        text = places(machine.ram, started, image, mailbox.online)
        reason = f"{text}, and nothing can wake it" if stop.asleep else f"{head}: {text}"
        return RunFailure(reason, sections, origin=line.origin if line else None)
    try:
        halt = explain_halt(machine, built, mailbox, cpus)
        storm = _storm(machine, built, mailbox)
    except (QemuError, RunFailure):  # no dump, or a record that is not complete
        halt, storm = None, ""
    if halt is not None:
        others = [cpu for cpu in started if not cpu.halted]
        also = f"; {places(machine.ram, others, image)}" if others else ""
        return RunFailure(f"{head}: {halt.reason}{also}", (*halt.sections, *sections), origin=halt.origin, cpu=halt.cpu)
    cause = storm or "endless loop, or a wait that nothing ends"
    pc = cpus[0].pc
    line = image.line_at(pc % abi.USER_ALIAS) if image.covers(pc) and pc >= abi.PROGRAM else None
    text = places(machine.ram, cpus, image, mailbox.online)
    return RunFailure(f"{head}: {cause}; {text}", sections, origin=line.origin if line else None)


def _storm(machine: Machine, built: Guest, mailbox: Mailbox) -> str:
    """The vector of an interrupt storm, the timer that sends it, and the place that it interrupts."""
    counts = read_counts(machine.ram)
    (cpu, vector), number = max(counts.items(), key=lambda item: item[1], default=((0, 0), 0))
    if number < _STORM:
        return ""
    text = f"interrupt storm: vector {vector:#04x} came {number} times on processor {cpu}"
    if place := last_place(machine.ram, mailbox, built.image):
        text += f", the last one at {place.removeprefix('waiting at ')}"
    lapic = machine.lapic(cpu)
    timer = LvtTimer(lapic.lvt["TIMER"])
    if vector == timer.VECTOR and timer.TIMER_MODE == _PERIODIC:
        text += f"; its local APIC timer is periodic, with an initial count of {lapic.initial_count}"
    return text
