"""A settled instruction: every name has its value or is a field, and every address has its width."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Node, Number
from harness.assembly.operands import UNSCALED, MemoryOperand
from harness.assembly.registers import AsmRegister
from harness.assembly.source import Refusal

__all__ = [
    "PLACEHOLDER",
    "Encoded",
    "Fixup",
    "Settled",
    "SettledMemory",
    "SettledOperand",
    "SettledValue",
    "check_value",
    "fits",
    "little_endian",
    "located",
    "resolve_memory",
]

PLACEHOLDER: Final = {8: 0x61, 16: 0x6162, 32: 0x61626364, 64: 0x6162636465666768}
"""The value that Keystone encodes where layout fills it in, by bits: it needs the full field."""


class SettledMemory(NamedTuple):
    """An address: `size` of the datum in bits (0: not written), `width` of the address in bits.

    `terms` are the base with the scale 1, then the index with its scale.
    """

    size: int
    segment: str | None
    terms: tuple[tuple[AsmRegister, int], ...]
    displacement: int
    width: int

    @property
    def absolute(self) -> bool:
        """Whether it is a 64-bit address without registers, which Keystone would make RIP-relative."""
        return self.width == 64 and not self.terms

    @property
    def relative(self) -> bool:
        """Whether it is RIP-relative; `displacement` is then relative to the end of the instruction."""
        return bool(self.terms) and self.terms[0][0].kind == "ip"

    def holds(self, displacement: int) -> bool:
        """Whether a displacement fits."""
        return fits(displacement, min(self.width, 32), "signed" if self.width == 64 else "immediate")

    def check(self, displacement: int) -> None:
        """Raise `Refusal` if a displacement does not fit."""
        if self.holds(displacement):
            return
        if self.absolute:
            raise Refusal(
                f"the address {displacement:#x} does not fit into a sign-extended 32-bit displacement",
                f"load the base into a register: mov rbx, {displacement:#x}; then use [rbx]",
            )
        width = "32 bits, sign-extended" if self.width == 64 else f"{self.width} bits"
        hint = {16: "use a 32-bit register, as in [ebx]", 64: "add it to a register first"}.get(self.width)
        raise Refusal(f"the displacement {displacement:#x} does not fit into {width}", hint)


class SettledValue(NamedTuple):
    """An immediate: compared modulo 2**`size`."""

    value: int
    size: int


SettledOperand: TypeAlias = AsmRegister | SettledMemory | SettledValue


class Settled(NamedTuple):
    """What the bytes must decode to."""

    mode: int
    prefixes: tuple[str, ...]
    mnemonic: str
    operands: tuple[SettledOperand, ...]
    wide: bool = False
    """Whether it has 32-bit operands in 16-bit mode that no operand shows."""

    @property
    def memory(self) -> SettledMemory | None:
        """The memory operand."""
        return next((operand for operand in self.operands if isinstance(operand, SettledMemory)), None)


class Fixup(NamedTuple):
    """Bytes that layout fills in: for which operand, where, how wide (bits), and with which value.

    `kind` is "immediate" (any value that `width` bits can hold, signed or not), "signed" (sign-extended to 64 bits),
    "unsigned", "address" (a displacement) or "relative" (to the end of the instruction).
    """

    operand: int
    offset: int
    width: int
    kind: str
    node: Node


class Encoded(NamedTuple):
    """Checked bytes of an instruction, or none yet, with the fields that layout still fills in."""

    data: bytes
    settled: Settled
    fields: tuple[Fixup, ...] = ()


def fits(value: int, width: int, kind: str) -> bool:
    """Whether a value fits a field of `width` bits (`kind` as in `Fixup`)."""
    half = 1 << (width - 1)
    if kind == "unsigned":
        return 0 <= value < 2 * half
    if kind == "relative":
        return -half <= value < half
    if kind == "signed":
        return -half <= value < half or (1 << 64) - half <= value < 1 << 64
    return -half <= value < 2 * half


def little_endian(value: int, width: int) -> bytes:
    """The low `width` bits of a value, the low byte first."""
    return (value & ((1 << width) - 1)).to_bytes(width // 8, "little")


def located(data: bytes, settled: Settled, field: Fixup) -> Fixup:
    """The field with its offset: an immediate is at the end, and a displacement before it. Raises `Refusal`."""
    placeholder = little_endian(PLACEHOLDER[field.width], field.width)
    immediate = isinstance(settled.operands[field.operand], SettledValue)
    offset = data.rfind(placeholder) if immediate else data.find(placeholder)
    if offset < 1 or (immediate and not data.endswith(placeholder)):
        raise Refusal(f"cannot be assembled: no field for the value in {data.hex(' ')}")
    return field._replace(offset=offset)


def check_value(value: int, width: int, kind: str) -> None:
    """Raise `Refusal` if a value does not fit a field of `width` bits (`kind` as in `Fixup`)."""
    if fits(value, width, kind):
        return
    shown = f"{value:#x}" if abs(value) > 9 else str(value)
    if kind == "unsigned":
        raise Refusal(f"{shown} does not fit: the value must be 0 to {(1 << width) - 1}")
    if kind == "relative":
        hint = "jump over a plain jmp" if width == 8 else None
        raise Refusal(f"the target is out of reach: {value:+#x} bytes away", hint)
    if kind == "signed":
        raise Refusal(
            f"{shown} does not fit into {width} bits, sign-extended to 64",
            "load it into a register first: mov rax, VALUE",
        )
    raise Refusal(f"{shown} does not fit into {width} bits")


def resolve_memory(
    operand: MemoryOperand, mode: int, size: int, displacement: int | None, early: Callable[[Node], int | None]
) -> SettledMemory:
    """The address that an operand means; raises `Refusal` for addresses that the machine cannot form.

    `displacement` is None if it is known only after layout; `early` returns the value of a scale.
    """
    if operand.segment in ("cs", "ds", "es", "ss") and mode == 64:
        raise Refusal(f"the segment {operand.segment} has no effect in 64-bit mode", f"leave out {operand.segment}:")
    terms = [_term(register, node, mode, early) for register, node in operand.terms]
    if len(terms) > 2:
        raise Refusal("an address has at most a base and an index register")
    if len({term.register.size for term in terms}) > 1:
        raise Refusal(f"{terms[0].register.name} and {terms[1].register.name} in one address differ in size")
    width = terms[0].register.size if terms else mode
    ordered = tuple([(register, scale) for register, scale, _ in _base_first(terms, width)])
    memory = SettledMemory(size, operand.segment, ordered, displacement or 0, width)
    if memory.relative:
        if width != 64 or len(ordered) > 1:
            raise Refusal("RIP-relative addresses have no other register", "write [rip+NAME]")
        if displacement is not None and operand.displacement != Number(0):
            raise Refusal(
                "RIP-relative to a number instead of a label: the target would depend on the position of the code",
                "use a label, or leave out rip",
            )
    return memory


class Term(NamedTuple):
    """A register of an address with its scale, and whether that is written."""

    register: AsmRegister
    scale: int
    written: bool


def _term(register: AsmRegister, node: Node, mode: int, early: Callable[[Node], int | None]) -> Term:
    scale = early(node)
    if scale is None:
        raise Refusal(f"the scale of {register.name} is not known yet", "it must be 1, 2, 4 or 8")
    if scale not in (1, 2, 4, 8):
        raise Refusal(f"{register.name}*{scale}: a scale is 1, 2, 4 or 8")
    if register.kind not in ("general", "ip") or register.size == 8:
        raise Refusal(f"{register.name} cannot be part of an address")
    if register.size == 16 and mode == 64:
        raise Refusal(f"{register.name}: there are no 16-bit addresses in 64-bit mode", "use 64-bit registers")
    return Term(register, scale, node is not UNSCALED)


_ADDRESSES_16: Final = [(), ("bx",), ("bp",), ("si",), ("di",), *itertools.product(("bx", "bp"), ("si", "di"))]


def _base_first(terms: list[Term], width: int) -> list[Term]:
    """Base and index: of two registers the index is the scaled one, or else the second if it can be."""
    if width == 16:
        terms = sorted(terms, key=lambda term: term.register.name not in ("bx", "bp"))
        if tuple(term.register.name for term in terms) not in _ADDRESSES_16 or any(term.written for term in terms):
            raise Refusal("a 16-bit address is made of bx or bp, and si or di, without a scale")
        return terms
    if len(terms) == 2:
        first, second = terms
        if second.scale == 1 and (first.scale != 1 or first.written > second.written or _is_stack_pointer(second)):
            terms = [second, first]
        if terms[0].scale != 1:
            raise Refusal("only one register of an address can be scaled")
    for index in terms[1:] or [term for term in terms if term.scale != 1]:
        if _is_stack_pointer(index) or index.register.kind == "ip":
            raise Refusal(f"{index.register.name} cannot be an index")
    return terms


def _is_stack_pointer(term: Term) -> bool:
    return term.register.kind == "general" and term.register.number == 4
