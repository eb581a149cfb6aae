"""A settled instruction: every name has its value or is a field, and every address has its width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Node, Number
from harness.assembly.operands import UNSCALED, MemoryOperand
from harness.assembly.registers import AsmRegister
from harness.assembly.source import Refusal

__all__ = [
    "PLACEHOLDER",
    "PLACEHOLDER_VALUE",
    "Encoded",
    "Fixup",
    "Settled",
    "SettledMemory",
    "SettledOperand",
    "SettledValue",
    "check_value",
    "displacement_problem",
    "resolve_memory",
]

PLACEHOLDER_VALUE: Final = {8: 0x61, 16: 0x6162, 32: 0x61626364, 64: 0x6162636465666768}
"""The immediate that Keystone encodes where layout fills in the value: it needs the full field."""


class SettledMemory(NamedTuple):
    """An address: `size` of the datum in bits (0: not written), `width` of the address in bits."""

    size: int
    segment: str | None
    base: AsmRegister | None
    index_register: AsmRegister | None
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


SettledOperand: TypeAlias = AsmRegister | SettledMemory | SettledValue


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
    """Checked bytes of an instruction, with the fields that layout still fills in."""

    data: bytes
    settled: Settled
    fields: tuple[Fixup, ...] = ()


def check_value(value: int, width: int, kind: str) -> None:
    """Raise `Refusal` if a value does not fit an immediate of `width` bits (`kind` as in `Fixup`)."""
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


PLACEHOLDER: Final = {16: 0x5152, 32: 0x51525354, 64: 0x51525354}
"""The displacement that Keystone encodes where layout fills it in, by address width: it needs the full field."""

_BASES_16: Final = ("bx", "bp")
_INDEXES_16: Final = ("si", "di")


def resolve_memory(
    operand: MemoryOperand, mode: int, size: int, early: Callable[[Node], int | None]
) -> tuple[SettledMemory, bool]:
    """The address that an operand means, and whether its displacement is late (then it is a placeholder).

    `early` returns the value of an expression, or None if it is known only after layout. Raises `Refusal` for addresses
    that the machine cannot form.
    """
    if operand.segment in ("cs", "ds", "es", "ss") and mode == 64:
        raise Refusal(f"the segment {operand.segment} has no effect in 64-bit mode", f"leave out {operand.segment}:")
    terms = [_term(register, node, mode, early) for register, node in operand.terms]
    if len(terms) > 2:
        raise Refusal("an address has at most a base and an index register")
    if len({register.size for register, _ in terms}) > 1:
        raise Refusal(f"{terms[0][0].name} and {terms[1][0].name} in one address differ in size")
    width = terms[0][0].size if terms else mode
    if width == 16:
        base, index, scale = _base_and_index_16(operand, [register for register, _ in terms])
    else:
        base, index, scale = _base_and_index(terms, [node is not UNSCALED for _, node in operand.terms])
    value = early(operand.displacement)
    if base is not None and base.kind == "ip":
        if base.name != "rip" or index is not None:
            raise Refusal("RIP-relative addresses have no other register", "write [rip+NAME]")
        if value is not None and operand.displacement != Number(0):
            raise Refusal(
                "RIP-relative to a number instead of a label: the target would depend on the position of the code",
                "use a label, or leave out rip",
            )
    displacement = PLACEHOLDER[width] if value is None else value
    return SettledMemory(size, operand.segment, base, index, scale, displacement, width), value is None


def displacement_problem(value: int, memory: SettledMemory) -> Refusal | None:
    """Why an address cannot hold this displacement, or None."""
    if memory.width < 64:
        if -(1 << (memory.width - 1)) <= value < 1 << memory.width:
            return None
        if memory.width == 16:
            return Refusal(
                f"the displacement {value:#x} does not fit into a 16-bit address", "use a 32-bit register, as in [ebx]"
            )
        return Refusal(f"the displacement {value:#x} does not fit into {memory.width} bits")
    if -(1 << 31) <= value < (1 << 31) or (1 << 64) - (1 << 31) <= value < (1 << 64):
        return None
    if memory.absolute:
        return Refusal(
            f"the address {value:#x} does not fit into a sign-extended 32-bit displacement",
            f"load the base into a register: mov rbx, {value:#x}; then use [rbx]",
        )
    return Refusal(
        f"the displacement {value:#x} does not fit into 32 bits, sign-extended", "add it to a register first"
    )


def _term(register: AsmRegister, node: Node, mode: int, early: Callable[[Node], int | None]) -> tuple[AsmRegister, int]:
    scale = early(node)
    if scale is None:
        raise Refusal(f"the scale of {register.name} is not known yet", "it must be 1, 2, 4 or 8")
    if scale not in (1, 2, 4, 8):
        raise Refusal(f"{register.name}*{scale}: a scale is 1, 2, 4 or 8")
    if register.kind not in ("general", "ip") or register.size == 8:
        raise Refusal(f"{register.name} cannot be part of an address")
    if register.needs_64 and mode != 64:
        raise Refusal(f"{register.name} exists only in 64-bit mode")
    if register.size == 16 and mode == 64:
        raise Refusal(f"{register.name}: there are no 16-bit addresses in 64-bit mode", "use 64-bit registers")
    return register, scale


def _base_and_index(
    terms: list[tuple[AsmRegister, int]], scaled: list[bool]
) -> tuple[AsmRegister | None, AsmRegister | None, int]:
    if not terms:
        return None, None, 1
    if len(terms) == 1:
        register, scale = terms[0]
        if scale == 1:
            return register, None, 1
        _check_index(register)
        return None, register, scale
    (first, first_scale), (second, second_scale) = terms
    if first_scale != 1 and second_scale != 1:
        raise Refusal("only one register of an address can be scaled")
    if second_scale == 1 and (first_scale != 1 or (scaled[0] and not scaled[1]) or _is_stack_pointer(second)):
        first, second, second_scale = second, first, first_scale
    _check_index(second)
    return first, second, second_scale


def _is_stack_pointer(register: AsmRegister) -> bool:
    return register.kind == "general" and register.number == 4


def _check_index(register: AsmRegister) -> None:
    if _is_stack_pointer(register):
        raise Refusal(f"{register.name} cannot be an index")
    if register.kind == "ip":
        raise Refusal("rip cannot be an index")


def _base_and_index_16(
    operand: MemoryOperand, registers: list[AsmRegister]
) -> tuple[AsmRegister | None, AsmRegister | None, int]:
    if any(node is not UNSCALED for _, node in operand.terms):
        raise Refusal("a 16-bit address has no scale")
    registers.sort(key=lambda register: register.name not in _BASES_16)
    names = [register.name for register in registers]
    if any(name not in _BASES_16 + _INDEXES_16 for name in names):
        raise Refusal("a 16-bit address is made of bx or bp, and si or di, without a scale")
    if len(names) == 2 and (names[0] not in _BASES_16 or names[1] not in _INDEXES_16):
        raise Refusal("a 16-bit address is made of bx or bp, and si or di")
    base, index = [*registers, None, None][:2]
    return base, index, 1
