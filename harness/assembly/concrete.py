"""An instruction with every choice made: operand sizes fixed, values known or left as fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from harness.assembly.registers import Register

__all__ = ["Concrete", "ConcreteMemory", "ConcreteOperand", "ConcreteValue", "Encoded", "Field"]


@dataclass(slots=True)
class ConcreteMemory:
    """An address: `size` of the datum in bits (0: implied by the mnemonic), `width` of the address in bits.

    Not frozen, for that is slow to make; nobody changes one.
    """

    size: int
    segment: str | None
    base: Register | None
    index: Register | None
    scale: int
    displacement: int
    width: int
    far: bool = False

    @property
    def absolute(self) -> bool:
        """Whether it is a 64-bit address without registers, which Keystone would make RIP-relative on its own."""
        return self.width == 64 and self.base is None and self.index is None

    @property
    def relative(self) -> bool:
        """Whether it is RIP-relative; `displacement` is then relative to the end of the instruction."""
        return self.base is not None and self.base.kind == "ip"

    def at(self, displacement: int) -> ConcreteMemory:
        """The same address with another displacement."""
        return ConcreteMemory(
            self.size, self.segment, self.base, self.index, self.scale, displacement, self.width, self.far
        )


class ConcreteValue(NamedTuple):
    """An immediate: compared modulo 2**`width`."""

    value: int
    width: int


ConcreteOperand: TypeAlias = Register | ConcreteMemory | ConcreteValue


class Concrete(NamedTuple):
    """What the bytes must decode to. `size` is the operand size S in bits (0: the form has none)."""

    mode: int
    prefixes: tuple[str, ...]
    mnemonic: str
    operands: tuple[ConcreteOperand, ...]
    size: int = 0


class Field(NamedTuple):
    """Bytes that layout fills in: which operand's value, where and how wide (bits).

    `kind` is "immediate" (any value that `width` bits can hold, signed or not), "signed" (sign-extended to 64 bits),
    "unsigned", "address" (a displacement in an address of `extent` bits) or "relative" (to the end of the instruction).
    """

    operand: int
    offset: int
    width: int
    kind: str
    extent: int = 0


class Encoded(NamedTuple):
    """Bytes of an instruction, checked, with the fields that layout still fills in."""

    data: bytes
    concrete: Concrete
    fields: tuple[Field, ...] = ()
