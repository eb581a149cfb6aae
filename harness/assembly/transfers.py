"""Relative transfers, by their exact bytes (Intel SDM, volume 2: Jcc, JMP, CALL, LOOP, JCXZ, XBEGIN)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.assembly.expression import Node
from harness.assembly.items import Item
from harness.assembly.mnemonics import CONDITIONS
from harness.assembly.operands import Immediate
from harness.assembly.round_trip import check
from harness.assembly.settled import Settled, SettledValue
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction

__all__ = ["Transfer", "transfer"]

_OPCODES: Final[dict[str, tuple[bytes, bytes]]] = {
    "jmp": (b"\xeb", b"\xe9"),
    "call": (b"", b"\xe8"),
    "xbegin": (b"", b"\xc7\xf8"),
    "loop": (b"\xe2", b""),
    **dict.fromkeys(("loope", "loopz"), (b"\xe1", b"")),
    **dict.fromkeys(("loopne", "loopnz"), (b"\xe0", b"")),
    **{f"j{name}": (bytes([0x70 + code]), bytes([0x0F, 0x80 + code])) for name, code in CONDITIONS.items()},
}
"""The opcodes with an 8-bit displacement, and with one of 16 or 32 bits; empty where there is none."""

_COUNTER: Final = {"jcxz": 16, "jecxz": 32, "jrcxz": 64}


@dataclass(slots=True)
class Transfer:
    """A relative transfer. `forms` are its opcodes with the width of the displacement in bits, the short one first.

    It has the first form and only ever grows, so that layout comes to an end.
    """

    item: Item
    mnemonic: str
    target: Node
    forms: list[tuple[bytes, int]]

    def size(self) -> int:
        """The size in bytes."""
        opcode, width = self.forms[0]
        return len(opcode) + width // 8

    def grow(self) -> bool:
        """Take the next form if there is one and this one does not reach; whether that changed anything."""
        if len(self.forms) == 1 or self._reaches(self.item.number(self.target)):
            return False
        del self.forms[0]
        return True

    def data(self) -> bytes:
        """The bytes, after a round trip through the decoder; raises `Refusal` if the target is too far."""
        opcode, width = self.forms[0]
        item, target = self.item, self.item.number(self.target)
        if not self._reaches(target):
            hint = "jump over a plain jmp" if width == 8 else None
            raise Refusal(f"the target is out of reach: {target - item.address:+#x} bytes away", hint)
        displacement = self._displacement(target) & ((1 << width) - 1)
        data = opcode + displacement.to_bytes(width // 8, "little")
        check(Settled(item.mode, (), self.mnemonic, (SettledValue(target, item.mode),)), data, item.address)
        return data

    def _displacement(self, target: int) -> int:
        return target - self.item.address - self.size()

    def _reaches(self, target: int) -> bool:
        half = 1 << (self.forms[0][1] - 1)
        return -half <= self._displacement(target) < half


def transfer(item: Item, instruction: Instruction) -> Transfer:
    """The relative transfer that an instruction with one immediate operand means; raises `Refusal`."""
    mnemonic, operand = instruction.mnemonic, instruction.operands[0]
    assert isinstance(operand, Immediate)
    if instruction.prefixes:
        raise Refusal(f"{instruction.prefixes[0]} is not allowed before {mnemonic}")
    short, near = _OPCODES.get(mnemonic) or (_counter_opcode(mnemonic, item.mode), b"")
    if operand.short and not short:
        raise Refusal(f"{mnemonic} has no short form")
    forms = [(short, 8), (b"" if operand.short else near, 16 if item.mode == 16 else 32)]
    return Transfer(item, mnemonic, operand.value, [form for form in forms if form[0]])


def _counter_opcode(mnemonic: str, mode: int) -> bytes:
    """JCXZ, JECXZ or JRCXZ, which the prefix 67 tells apart."""
    width = _COUNTER[mnemonic]
    if (width == 64) != (mode == 64) and width != 32:
        raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode")
    return b"\xe3" if width == mode else b"\x67\xe3"
