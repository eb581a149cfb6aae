"""Explains a reset by the guest: a triple fault with its processor and exceptions, or a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import abi
from harness.evidence.failures import RESET_BY_GUEST, RunFailure, Section
from harness.evidence.guest import Guest
from harness.evidence.places import overwritten, places
from harness.evidence.registers_text import registers_text
from harness.hardware.exceptions import EXCEPTIONS
from harness.image.image import Image
from harness.qemu.dumps import CpuRegisters, TripleFault, parse_triple_fault
from harness.qemu.errors import QemuError
from harness.qemu.stop import Stop

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["TRACE_FAULTS", "explain_reset"]

TRACE_FAULTS = "log int,cpu_reset"
"""Command of the human monitor that makes TCG log what `explain_reset` reads."""

_CODES = frozenset(row.vector for row in EXCEPTIONS.values() if row.has_error_code)


def explain_reset(machine: Machine, built: Guest, stop: Stop, *, traced: bool) -> RunFailure:
    """The failure that a reset by the guest means. `traced`: QEMU logged the deliveries."""
    head = f"{RESET_BY_GUEST} ({stop.reason})"
    if damage := overwritten(machine.ram, built.image):
        head += f"; {damage}"
    try:
        cpus = machine.registers()
    except QemuError as error:
        return RunFailure(f"{head}; no registers: {error}", by_reset=True)
    image = built.image
    fault = parse_triple_fault(machine.stderr()) if traced else None
    culprit = fault.processor(cpus) if fault is not None else None
    ordered = sorted(cpus, key=lambda cpu: cpu.cpu != culprit)
    sections = (Section("Registers", "\n\n".join(registers_text(cpu, image) for cpu in ordered)),)
    if fault is None:
        cause = "a triple fault, port CF9h or the keyboard controller"
        if traced and "Triple fault" not in machine.stderr():
            cause = "no triple fault, but port CF9h, port 92h or the keyboard controller"
        if len(cpus) > 1:
            cause += "; the processor is not known"
        return RunFailure(f"{head}: {cause}; {places(machine.ram, cpus, image)}", sections, by_reset=True)
    line = image.line_at(fault.deliveries[0].pc % abi.USER_ALIAS)
    return RunFailure(
        f"{head}: {_triple_fault_text(fault, culprit, cpus, image)}",
        sections,
        origin=line.origin if line else None,
        cpu=culprit,
        by_reset=True,
    )


def _triple_fault_text(fault: TripleFault, culprit: int | None, cpus: tuple[CpuRegisters, ...], image: Image) -> str:
    who = f"processor {culprit}" if culprit is not None else f"one of {len(cpus)} processors (not known which)"
    first, *later = fault.deliveries
    text = f"triple fault of {who}: {_event(first.vector, first.error_code)} at {image.symbolise(first.pc)}"
    return f"{text} could not be delivered" + "".join(f", nor {_event(d.vector, d.error_code)}" for d in later)


def _event(vector: int, code: int) -> str:
    row = EXCEPTIONS.get(vector)
    name = row.mnemonic if row else f"vector {vector:#04x}"
    return f"{name}({code:#x})" if vector in _CODES else name
