"""QEMU's log of deliveries under TCG (`log int,cpu_reset`): the deliveries that led to a triple fault.

A line for each delivery that begins (`harness.qemu.dumps.delivery_line`) is followed by the registers of the processor,
without its number; check_exception() in QEMU's target/i386/tcg/excp_helper.c adds the line "Triple fault".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.qemu.dumps.delivery_line import DeliveryLine, parse_delivery_line
from harness.qemu.dumps.registers import CpuRegisters

__all__ = ["FailedDelivery", "TripleFault", "parse_triple_fault"]

_PAIR = re.compile(r"([A-Z]+\d*) *= *([0-9a-f]+)")
_COMPARED = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "cr2", "cr3")
_LAST = 64  # lines that one delivery takes at most
_CHAIN = 3  # deliveries that a triple fault is made of: the event, the fault of its delivery, #DF


@dataclass(frozen=True)
class FailedDelivery(DeliveryLine):
    """One event that the processor could not deliver, and the registers of the processor."""

    registers: dict[str, int]  # by QEMU's names: "RIP", "TR" (selector), …


@dataclass(frozen=True)
class TripleFault:
    """The deliveries, the first one that failed first; the last one is that of #DF."""

    deliveries: tuple[FailedDelivery, ...]

    def processor(self, cpus: Sequence[CpuRegisters]) -> int | None:
        """The processor whose registers are those of the last delivery; `None` where that is not one alone."""
        last = self.deliveries[-1].registers
        equal = [cpu.cpu for cpu in cpus if _same(last, cpu)]
        return equal[0] if len(equal) == 1 else None


def _same(logged: dict[str, int], cpu: CpuRegisters) -> bool:
    """Whether all registers agree that both show: outside 64-bit code QEMU calls them EAX, EIP and so on."""
    names = {name: name.upper() if name[0] == "c" or cpu.bits64 else "E" + name[1:].upper() for name in _COMPARED}
    tables = {"TR": cpu.tr.selector, "IDT": cpu.idt.base, "GDT": cpu.gdt.base}
    return all(logged.get(shown) == getattr(cpu, name) for name, shown in names.items()) and all(
        logged.get(name) == value for name, value in tables.items()
    )


def parse_triple_fault(text: str) -> TripleFault | None:
    """The last triple fault in the log, `None` where it has none or where its deliveries are not in it."""
    lines = text.replace("\r", "").splitlines()
    try:
        end = len(lines) - 1 - lines[::-1].index("Triple fault")
    except ValueError:
        return None
    found: list[FailedDelivery] = []
    registers: dict[str, int] = {}
    for line in reversed(lines[max(0, end - _LAST * _CHAIN) : end]):
        delivery = parse_delivery_line(line)
        if delivery is None:
            registers = {name: int(value, 16) for name, value in _PAIR.findall(line)} | registers
            continue
        if found and (delivery.pc != found[0].pc or len(found) == _CHAIN):
            break
        found.insert(0, FailedDelivery(**vars(delivery), registers=registers))
        registers = {}
    return TripleFault(tuple(found)) if found and found[-1].vector == 8 else None
