"""`k.tables`: descriptor tables as a probe changes them."""

from __future__ import annotations

from typing import Any

from harness import abi
from harness.hardware.block import Value
from harness.kernel.checks import check_number
from harness.kernel.program import Program

__all__ = ["DescriptorTables"]

_GATE_FIELDS = {"type": 15, "dpl": 3, "present": 1, "ist": 7, "selector": 0xFFFF}  # name → largest value


class DescriptorTables:
    """The IDT, GDT and TSS of the runtime: gates are rewritten in place, descriptors go into spare slots.

    SDM vol. 3A, "IDT Descriptors", "64-Bit Mode IDT", "Segment Descriptors".
    """

    spare = tuple(abi.SEL_SPARE + 8 * slot for slot in range(16))

    def __init__(self, program: Program) -> None:
        self._program = program

    def gate(self, vector: int, **fields: int) -> None:
        """Change fields of a gate: `type` (14 interrupt, 15 trap), `dpl`, `ist`, `present`, `selector`.

        The offset stays that of the recording stub.
        """
        check_number(self._program, "k.tables.gate: vector", vector, 0, 255)
        at = abi.IDT + 16 * vector
        lines: list[str] = []
        for name, value in fields.items():
            if name in _GATE_FIELDS:
                check_number(self._program, f"k.tables.gate: {name}", value, 0, _GATE_FIELDS[name])
            match name:
                case "type":
                    lines += _bits(at + 5, 0x0F, value)
                case "dpl":
                    lines += _bits(at + 5, 0x60, value << 5)
                case "present":
                    lines += _bits(at + 5, 0x80, value << 7)
                case "ist":
                    lines += _bits(at + 4, 0x07, value)
                case "selector":
                    lines += [f"mov word ptr [{at + 2:#x}], {value:#x}"]
                case _:
                    raise self._program.error(f"a gate has no field {name!r}: type, dpl, present, ist, selector")
        shown = ", ".join(f"{name}={value:#x}" for name, value in fields.items())
        self._program.step(f"gate {vector:#04x}: {shown}", *lines)

    def gate_offset(self, vector: int, label: str, *, high: int = 0) -> None:
        """Point a gate at a label of the program; `high` is added to the address (`HIGH_ALIAS`: above 4 GiB)."""
        check_number(self._program, "k.tables.gate_offset: vector", vector, 0, 255)
        at = abi.IDT + 16 * vector
        self._program.step(
            f"gate {vector:#04x} → {label}",
            f"lea rax, [rip+{label}]",
            f"movabs rcx, {high:#x}",
            "add rax, rcx",
            f"mov word ptr [{at:#x}], ax",
            "shr rax, 16",
            f"mov word ptr [{at + 6:#x}], ax",
            "shr rax, 16",
            f"mov dword ptr [{at + 8:#x}], eax",
        )

    def descriptor(self, selector: int, raw: int) -> None:
        """Put an 8-byte descriptor into a spare slot of the GDT."""
        if selector & ~7 not in self.spare:
            raise self._program.error(
                f"selector {selector:#x}: the spare ones are {self.spare[0]:#x} to {self.spare[-1]:#x}"
            )
        self._program.step(
            f"GDT {selector:#x}", f"movabs rax, {raw:#x}", f"mov qword ptr [{abi.GDT + (selector & ~7):#x}], rax"
        )

    def sidt(self, base: Value[Any], limit: Value[Any]) -> None:
        """SIDT into two values."""
        self._store_table("sidt", base, limit)

    def sgdt(self, base: Value[Any], limit: Value[Any]) -> None:
        """SGDT into two values."""
        self._store_table("sgdt", base, limit)

    def lidt(self, base: int, limit: int) -> None:
        """LIDT. The caller sees to it that there is a table."""
        self._program.step(
            f"lidt {base:#x}, {limit:#x}",
            f"movabs rax, {base:#x}",
            "push rax",
            "sub rsp, 8",
            f"mov word ptr [rsp+6], {limit:#x}",
            "lidt [rsp+6]",
            "add rsp, 16",
        )

    def _store_table(self, instruction: str, base: Value[Any], limit: Value[Any]) -> None:
        self._program.step(
            instruction,
            "sub rsp, 16",
            f"{instruction} [rsp+6]",
            "movzx eax, word ptr [rsp+6]",
            f"mov qword ptr [{abi.VALUES + 8 * limit.index:#x}], rax",
            "mov rax, qword ptr [rsp+8]",
            f"mov qword ptr [{abi.VALUES + 8 * base.index:#x}], rax",
            "add rsp, 16",
        )


def _bits(address: int, mask: int, value: int) -> list[str]:
    """Change some bits of a byte."""
    lines = [f"and byte ptr [{address:#x}], {~mask & 0xFF:#x}"]
    if value:
        lines.append(f"or byte ptr [{address:#x}], {value & mask:#x}")
    return lines
