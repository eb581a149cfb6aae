"""Relative jumps and calls, by their exact bytes (Intel SDM, volume 2: Jcc, JMP, CALL, LOOP, JCXZ, XBEGIN)."""

from __future__ import annotations

from typing import Final, NamedTuple

from harness.assembly.errors import Refusal
from harness.assembly.expression import Node
from harness.assembly.mnemonics import CONDITIONS
from harness.assembly.operands import Immediate
from harness.assembly.statement import Instruction

__all__ = ["TRANSFERS", "Transfer", "transfer"]

_SHORT_ONLY: Final = {"loopne": 0xE0, "loopnz": 0xE0, "loope": 0xE1, "loopz": 0xE1, "loop": 0xE2}
_COUNTER: Final = {"jcxz": 16, "jecxz": 32, "jrcxz": 64}
_CONDITIONAL: Final = {f"j{condition}": code for condition, code in CONDITIONS.items()}

TRANSFERS: Final = frozenset({"jmp", "call", "xbegin", *_SHORT_ONLY, *_COUNTER, *_CONDITIONAL})
"""Mnemonics that take a relative target."""


class Transfer(NamedTuple):
    """A relative transfer: its opcode with an 8-bit and with a full displacement; empty where there is none."""

    mnemonic: str
    mode: int
    target: Node
    short: bytes
    near: bytes

    @property
    def near_width(self) -> int:
        """The width of the full displacement in bits."""
        return 16 if self.mode == 16 else 32

    def encode(self, near: bool, address: int, target: int) -> bytes | None:
        """The bytes at `address`, or None if the target is out of reach."""
        opcode = self.near if near else self.short
        width = self.near_width if near else 8
        distance = target - (address + len(opcode) + width // 8)
        if not -(1 << (width - 1)) <= distance < (1 << (width - 1)):
            return None
        return opcode + (distance & ((1 << width) - 1)).to_bytes(width // 8, "little")


def transfer(instruction: Instruction, mode: int) -> Transfer:
    """The relative transfer that an instruction with one immediate operand means; raises `Refusal`."""
    mnemonic = instruction.mnemonic
    operand = instruction.operands[0]
    if not isinstance(operand, Immediate):
        raise Refusal(f"{mnemonic} takes a label")
    if instruction.prefixes:
        raise Refusal(f"{instruction.prefixes[0]} cannot stand before {mnemonic}")
    short, near = _opcodes(mnemonic, mode)
    if operand.short:
        if not short:
            raise Refusal(f"{mnemonic} has no short form")
        near = b""
    return Transfer(mnemonic, mode, operand.value, short, near)


def _opcodes(mnemonic: str, mode: int) -> tuple[bytes, bytes]:
    if mnemonic == "jmp":
        return b"\xeb", b"\xe9"
    if mnemonic == "call":
        return b"", b"\xe8"
    if mnemonic == "xbegin":
        return b"", b"\xc7\xf8"
    if mnemonic in _SHORT_ONLY:
        return bytes([_SHORT_ONLY[mnemonic]]), b""
    if mnemonic in _COUNTER:
        width = _COUNTER[mnemonic]
        if (width == 64) != (mode == 64) and width != 32:
            raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode")
        return (b"\xe3" if width == mode else b"\x67\xe3"), b""
    code = _CONDITIONAL[mnemonic]
    return bytes([0x70 + code]), bytes([0x0F, 0x80 + code])
