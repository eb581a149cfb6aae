"""Explains a wait of the guest that timed out: what it waited for, why that did not come, and the registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import abi
from harness.evidence.delivery import path_sections
from harness.evidence.failures import RunFailure, Section, SectionKind
from harness.evidence.guest import Guest
from harness.evidence.panic import read_panic
from harness.evidence.places import places
from harness.evidence.recorder import Mailbox, read_counts
from harness.evidence.scene import scene_of
from harness.evidence.why import why_none_came
from harness.image.image import Image
from harness.kernel.program import WaitPoint
from harness.one_line import one_line
from harness.qemu.dumps import CpuRegisters
from harness.qemu.errors import QemuError

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["explain_halt", "explain_timeout"]

_ANY = 0xFFFF_FFFF  # MB_WAIT_VECTOR of a wait for something else than a vector


def explain_timeout(machine: Machine, built: Guest, mailbox: Mailbox) -> RunFailure:
    """The failure that the status TIMEOUT means."""
    panic = read_panic(machine.ram)
    image = built.image
    line = image.line_at(panic.frame["RIP"] - 1)  # RIP is behind the call
    where = image.symbolise(panic.frame["RIP"]) if line is None else f"waiting at {line.origin}"
    path: tuple[Section, ...] = ()
    sections = [Section("Registers of the program that waits", panic.text(where, line))]
    wait = _wait(built, mailbox.wait_number)
    what = wait.what if wait is not None else "something that the program does not have: it wrote over its mailbox"
    if mailbox.wait_vector == _ANY:
        sentences = _content(machine, built, wait) + _elsewhere(machine, image, mailbox.online, panic.cpu)
        reason = f"time-out: waited for {what}"
    else:
        vector = mailbox.wait_vector & 0xFF
        came = sum(number for (_, at), number in read_counts(machine.ram).items() if at == vector)
        reason = f"time-out: waited for {what} × {mailbox.wait_count}, {came} came"
        sentences, path = _causes(machine, image, mailbox, vector, panic.cpu, panic.frame["RFLAGS"])
    reason, why = _with_cause(reason, sentences)
    return RunFailure(reason, (*why, *path, *sections), origin=wait.origin if wait else None, cpu=panic.cpu)


def explain_halt(machine: Machine, built: Guest, mailbox: Mailbox, cpus: tuple[CpuRegisters, ...]) -> RunFailure | None:
    """The watchdog's time-out of a guest that sleeps in `k.wait_for(…, halt=True)`; `None` for any other guest."""
    image = built.image
    symbols = image.runtime.symbols
    for cpu in cpus:
        if cpu.halted and symbols["halt_until"] <= cpu.pc < symbols["total_count"] and cpu.rsp + 24 <= len(machine.ram):
            back = int.from_bytes(machine.memory(cpu.rsp + 16, 8), "little")
            line = image.line_at(back - 1) if back > abi.PROGRAM else None
            came = sum(number for (_, at), number in read_counts(machine.ram).items() if at == cpu.rbx & 0xFF)
            reason = f"waited for vector {cpu.rbx & 0xFF:#04x} × {cpu.rsi & 0xFFFF_FFFF}, {came} came"
            sentences, path = _causes(machine, image, mailbox, cpu.rbx & 0xFF, cpu.cpu, None)
            reason, why = _with_cause(reason, sentences)
            return RunFailure(reason, (*why, *path), origin=line.origin if line else None, cpu=cpu.cpu)
    return None


def _wait(built: Guest, number: int) -> WaitPoint | None:
    waits = built.program.waits
    return waits[number - 1] if 0 < number <= len(waits) else None


def _causes(
    machine: Machine, image: Image, mailbox: Mailbox, vector: int, waiter: int, rflags: int | None
) -> tuple[list[str], tuple[Section, ...]]:
    """The sentences of the cause, and the section "Delivery path"."""
    try:
        scene = scene_of(machine, image, mailbox.run_id, vector, mailbox.online, waiter, rflags)
    except (QemuError, RunFailure) as error:  # RunFailure: the guest's copy cannot be decoded
        return [one_line(f"no cause is known, because the machine's state could not be read: {error}")], ()
    return why_none_came(scene), path_sections(scene)


def _content(machine: Machine, built: Guest, wait: WaitPoint | None) -> list[str]:
    """The content of the quadword that the program waited for."""
    if wait is None or not 0 < wait.address <= len(machine.ram) - 8:
        return []
    content = int.from_bytes(machine.memory(wait.address, 8), "little")
    for value in built.program.values:
        if wait.address == abi.VALUES + 8 * value.index and content == abi.canary(value.index):
            return [f"{value.name} was never written"]
    return [f"it is {content & wait.mask:#x}"]


def _elsewhere(machine: Machine, image: Image, online: int, waiter: int) -> list[str]:
    """Where the other processors are."""
    try:
        others = [cpu for cpu in machine.registers() if cpu.cpu != waiter]
    except QemuError:
        return []
    return [places(machine.ram, others, image, online)] if others else []


def _with_cause(reason: str, sentences: list[str]) -> tuple[str, tuple[Section, ...]]:
    if not sentences:
        return reason, ()
    why = (Section("Why", "\n".join(sentences), SectionKind.FINDING),) if len(sentences) > 1 else ()
    return f"{reason}: {sentences[0]}", why
