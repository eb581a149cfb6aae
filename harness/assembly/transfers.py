"""Relative transfers, by their exact bytes (Intel SDM, volume 2: Jcc, JMP, CALL, LOOP, JCXZ, XBEGIN)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.assembly.encode import complete
from harness.assembly.items import Item
from harness.assembly.mnemonics import CONDITIONS
from harness.assembly.operands import Immediate
from harness.assembly.settled import Encoded, Fixup, Settled, SettledValue, fits
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

_COUNTERS: Final = {
    "jcxz": {16: b"\xe3", 32: b"\x67\xe3"},
    "jecxz": {16: b"\x67\xe3", 32: b"\xe3", 64: b"\x67\xe3"},
    "jrcxz": {64: b"\xe3"},
}
"""The opcodes by mode, with an 8-bit displacement."""


@dataclass(slots=True)
class Transfer:
    """A relative transfer with its possible forms, the short one first.

    It has the first form and only ever grows, so that layout comes to an end.
    """

    item: Item
    forms: list[Encoded]

    def size(self) -> int:
        """The size in bytes."""
        return len(self.forms[0].data)

    def grow(self) -> bool:
        """Take the next form if there is one and this one does not reach; whether that changed anything."""
        (field,) = self.forms[0].fields
        displacement = self.item.number(field.node) - self.item.address - self.size()
        if len(self.forms) == 1 or fits(displacement, field.width, field.kind):
            return False
        del self.forms[0]
        return True

    def data(self) -> bytes:
        """The bytes, after a round trip through the decoder; raises `Refusal` if the target is too far."""
        return complete(self.forms[0], self.item)


def transfer(item: Item, instruction: Instruction) -> Transfer:
    """The relative transfer that an instruction with one immediate operand means; raises `Refusal`."""
    mnemonic, operand, mode = instruction.mnemonic, instruction.operands[0], item.mode
    assert isinstance(operand, Immediate)
    if instruction.prefixes:
        raise Refusal(f"{instruction.prefixes[0]} is not allowed before {mnemonic}")
    if mode not in _COUNTERS.get(mnemonic, (mode,)):
        raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode")
    short, near = (_COUNTERS[mnemonic][mode], b"") if mnemonic in _COUNTERS else _OPCODES[mnemonic]
    if operand.short and not short:
        raise Refusal(f"{mnemonic} has no short form")
    settled = Settled(mode, (), mnemonic, (SettledValue(0, mode),))
    forms = [
        Encoded(opcode + bytes(width // 8), settled, (Fixup(0, len(opcode), width, "relative", operand.value),))
        for opcode, width in ((short, 8), (b"" if operand.short else near, 16 if mode == 16 else 32))
        if opcode
    ]
    return Transfer(item, forms)
