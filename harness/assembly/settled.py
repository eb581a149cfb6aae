"""A settled instruction: every name has its value or is a field, and every address has its width."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from harness.assembly.errors import Refusal
from harness.assembly.registers import Register

__all__ = [
    "PLACEHOLDER_VALUE",
    "Encoded",
    "Field",
    "Settled",
    "SettledMemory",
    "SettledOperand",
    "SettledValue",
    "check_value",
]

PLACEHOLDER_VALUE: Final = {8: 0x61, 16: 0x6162, 32: 0x61626364, 64: 0x6162636465666768}
"""The immediate that Keystone encodes where layout fills in the value: it needs the full field."""


class SettledMemory(NamedTuple):
    """An address: `size` of the datum in bits (0: not written), `width` of the address in bits."""

    size: int
    segment: str | None
    base: Register | None
    index_register: Register | None
    scale: int
    displacement: int
    width: int

    @property
    def absolute(self) -> bool:
        """Whether it is a 64-bit address without registers, which Keystone would make RIP-relative."""
        return self.width == 64 and self.base is None and self.index_register is None

    @property
    def relative(self) -> bool:
        """Whether it is RIP-relative; `displacement` is then relative to the end of the instruction."""
        return self.base is not None and self.base.kind == "ip"


class SettledValue(NamedTuple):
    """An immediate: compared modulo 2**`width`."""

    value: int
    width: int


SettledOperand: TypeAlias = Register | SettledMemory | SettledValue


class Settled(NamedTuple):
    """What the bytes must decode to."""

    mode: int
    prefixes: tuple[str, ...]
    mnemonic: str
    operands: tuple[SettledOperand, ...]

    @property
    def memory(self) -> SettledMemory | None:
        """The memory operand."""
        return next((operand for operand in self.operands if isinstance(operand, SettledMemory)), None)


class Field(NamedTuple):
    """Bytes that layout fills in: which operand's value, where and how wide (bits).

    `kind` is "immediate" (any value that `width` bits can hold, signed or not), "signed" (sign-extended to 64 bits),
    "unsigned", "address" (a displacement) or "relative" (to the end of the instruction).
    """

    operand: int
    offset: int
    width: int
    kind: str


class Encoded(NamedTuple):
    """Checked bytes of an instruction, with the fields that layout still fills in."""

    data: bytes
    settled: Settled
    fields: tuple[Field, ...] = ()


def check_value(value: int, width: int, kind: str) -> None:
    """Raise `Refusal` if a value does not fit an immediate of `width` bits (`kind` as in `Field`)."""
    half = 1 << (width - 1)
    shown = f"{value:#x}" if abs(value) > 9 else str(value)
    if kind == "unsigned":
        if not 0 <= value < 2 * half:
            raise Refusal(f"{shown} does not fit: the value must be 0 to {2 * half - 1}")
    elif kind == "signed":
        if not (-half <= value < half or (1 << 64) - half <= value < (1 << 64)):
            raise Refusal(
                f"{shown} does not fit into {width} bits, sign-extended to 64",
                "load it into a register first: mov rax, VALUE",
            )
    elif not -half <= value < 2 * half:
        raise Refusal(f"{shown} does not fit into {width} bits")
