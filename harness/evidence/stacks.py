"""Stacks that overflowed: by interrupts that nest, or by the program itself into a guard page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import abi
from harness.evidence.failures import RunFailure, Section
from harness.evidence.guest import Guest
from harness.evidence.interrupts import InterruptRecord
from harness.evidence.panic import read_panic
from harness.evidence.recorder import Mailbox, read_recording
from harness.hardware.exceptions import EXCEPTIONS
from harness.image.image import Image

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["check_guards", "explain_overflow", "stack_of_guard"]

_PAGE = 0x1000
_EMPTY = bytes(_PAGE)


def explain_overflow(machine: Machine, built: Guest, mailbox: Mailbox) -> RunFailure:
    """The failure that the status STACK_OVERFLOW means."""
    panic = read_panic(machine.ram)
    image = built.image
    at = abi.PER_CPU + abi.PERCPU.size * panic.cpu + abi.PERCPU.offset("DEPTH")
    depth = int.from_bytes(machine.memory(at, 4), "little")
    vector = panic.frame["VECTOR"] & 0xFF
    row = EXCEPTIONS.get(vector)
    rip = panic.frame["RIP"]
    place = image.software_interrupt(rip % abi.USER_ALIAS, vector) or _innermost(machine, built, mailbox, rip)
    line = image.line_at(place % abi.USER_ALIAS)
    where = str(line.origin) if line is not None else image.symbolise(place)
    reason = (
        f"the stack of processor {panic.cpu} overflowed by {depth} nested interrupts at {where}; the last one is "
        f"{row.mnemonic if row else f'vector {vector:#04x}'}"
    )
    sections = (Section("Registers at the overflow", panic.text(f"RIP {image.symbolise(rip)}", line)),)
    return RunFailure(reason, sections, origin=line.origin if line else None, cpu=panic.cpu)


def _innermost(machine: Machine, built: Guest, mailbox: Mailbox, rip: int) -> int:
    """The place in the program that was interrupted last: the stub itself may have been, at its end."""
    if _in_program(built.image, rip):
        return rip
    try:
        events = read_recording(machine.ram, mailbox, built.image, built.program.marks).events
    except RunFailure:  # an entry that was never completed
        return rip
    places = [event.rip for event in reversed(events) if isinstance(event, InterruptRecord)]
    return next((place for place in places if _in_program(built.image, place)), rip)


def _in_program(image: Image, address: int) -> bool:
    return abi.PROGRAM <= address % abi.USER_ALIAS < abi.PROGRAM + len(image.program.code)


def stack_of_guard(rsp: int) -> int | None:
    """The processor whose guard page is the next to be written by a push at this stack pointer, or `None`."""
    offset = rsp % abi.USER_ALIAS - 1 - abi.STACKS
    if not 0 <= offset < abi.STACK_SIZE * abi.CPUS:
        return None
    cpu, offset = divmod(offset, abi.STACK_SIZE)
    return cpu if any(guard <= offset < guard + _PAGE for guard in abi.STACK_GUARDS) else None


def check_guards(ram: memoryview, cpus: int) -> None:
    """Raise RunFailure where a guard page was written: with page tables of its own a program can do that."""
    for cpu in range(cpus):
        for guard in abi.STACK_GUARDS:
            at = abi.STACKS + cpu * abi.STACK_SIZE + guard
            if bytes(ram[at : at + _PAGE]) != _EMPTY:
                raise RunFailure(
                    f"the stack of processor {cpu} overflowed: the page at {at:#x} below it, which nothing may write, "
                    "holds something",
                    cpu=cpu,
                )
