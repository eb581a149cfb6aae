"""Memory operands: which address an operand means, and whether the machine can form it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.assembly.errors import Refusal
from harness.assembly.expression import Node, Number
from harness.assembly.operands import UNSCALED, Memory
from harness.assembly.registers import Register
from harness.assembly.settled import SettledMemory

__all__ = ["PLACEHOLDER", "displacement_problem", "resolve_memory"]

PLACEHOLDER: Final = {16: 0x5152, 32: 0x51525354, 64: 0x51525354}
"""What stands for a displacement that layout fills in, by address width: it needs the full displacement."""

_BASES_16: Final = ("bx", "bp")
_INDEXES_16: Final = ("si", "di")


def resolve_memory(
    operand: Memory, mode: int, size: int, early: Callable[[Node], int | None]
) -> tuple[SettledMemory, bool]:
    """The address that an operand means, and whether its displacement is late (then it is a placeholder).

    `early` gives the value of an expression, or None if it is known only after layout. Raises `Refusal` for addresses
    that the machine cannot form.
    """
    base, index, scale = _base_and_index(operand, early)
    if operand.segment in ("cs", "ds", "es", "ss") and mode == 64:
        raise Refusal(f"the segment {operand.segment} has no effect in 64-bit mode", f"leave out {operand.segment}:")
    width = mode
    for register in (base, index):
        if register is None:
            continue
        if register.kind not in ("general", "ip") or register.size == 8:
            raise Refusal(f"{register.name} cannot be part of an address")
        if register.needs_64 and mode != 64:
            raise Refusal(f"{register.name} exists only in 64-bit mode")
        if register.size == 16 and mode == 64:
            raise Refusal(f"{register.name}: there are no 16-bit addresses in 64-bit mode", "use 64-bit registers")
        width = register.size
    if base is not None and index is not None and base.size != index.size:
        raise Refusal(f"{base.name} and {index.name} in one address differ in size")
    if width == 16:
        if any(node is not UNSCALED for _, node in operand.terms):
            raise Refusal("a 16-bit address has no scale")
        base, index = _check_16(base, index, scale)
    value = early(operand.displacement)
    if base is not None and base.kind == "ip":
        if base.name != "rip" or index is not None:
            raise Refusal("RIP-relative addresses have no other register", "write [rip+NAME]")
        if value is not None and not (isinstance(operand.displacement, Number) and value == 0):
            raise Refusal(
                "RIP-relative to a number instead of a label: the target would depend on where the code stands",
                "use a label, or leave out rip",
            )
        if value == 0:
            return SettledMemory(size, operand.segment, base, None, 1, 0, 64), False
    if value is None:
        placeholder = PLACEHOLDER[width]
        return SettledMemory(size, operand.segment, base, index, scale, placeholder, width), True
    return SettledMemory(size, operand.segment, base, index, scale, value, width), False


def displacement_problem(value: int, memory: SettledMemory) -> Refusal | None:
    """Why an address cannot hold this displacement, or None."""
    if memory.width == 64:
        if -(1 << 31) <= value < (1 << 31) or (1 << 64) - (1 << 31) <= value < (1 << 64):
            return None
        if memory.base is None and memory.index_register is None:
            return Refusal(
                f"the address {value:#x} does not fit into a sign-extended 32-bit displacement",
                f"load the base into a register: mov rbx, {value:#x}; then use [rbx]",
            )
        return Refusal(
            f"the displacement {value:#x} does not fit into 32 bits, sign-extended", "add it to a register first"
        )
    low, high = -(1 << (memory.width - 1)), (1 << memory.width)
    if low <= value < high:
        return None
    if memory.width == 16:
        return Refusal(
            f"the displacement {value:#x} does not fit into a 16-bit address", "use a 32-bit register, as in [ebx]"
        )
    return Refusal(f"the displacement {value:#x} does not fit into {memory.width} bits")


def _base_and_index(
    operand: Memory, early: Callable[[Node], int | None]
) -> tuple[Register | None, Register | None, int]:
    terms: list[tuple[Register, int, bool]] = []
    for register, node in operand.terms:
        scale = early(node)
        if scale is None:
            raise Refusal(f"the scale of {register.name} is not known yet", "it must be 1, 2, 4 or 8")
        if scale not in (1, 2, 4, 8):
            raise Refusal(f"{register.name}*{scale}: a scale is 1, 2, 4 or 8")
        terms.append((register, scale, node is not UNSCALED))
    if len(terms) > 2:
        raise Refusal("an address has at most a base and an index register")
    if not terms:
        return None, None, 1
    if len(terms) == 1:
        register, scale, _ = terms[0]
        if scale == 1:
            return register, None, 1
        _check_index(register)
        return None, register, scale
    (first, first_scale, first_scaled), (second, second_scale, second_scaled) = terms
    if first_scaled and second_scaled and first_scale != 1 and second_scale != 1:
        raise Refusal("only one register of an address can be scaled")
    if second_scale == 1 and (first_scale != 1 or (first_scaled and not second_scaled) or _is_stack_pointer(second)):
        first, second, second_scale = second, first, first_scale
    _check_index(second)
    return first, second, second_scale


def _is_stack_pointer(register: Register) -> bool:
    return register.kind == "general" and register.number == 4 and register.size > 16


def _check_index(register: Register) -> None:
    if _is_stack_pointer(register):
        raise Refusal(f"{register.name} cannot be an index")
    if register.kind == "ip":
        raise Refusal("rip cannot be an index")


def _check_16(base: Register | None, index: Register | None, scale: int) -> tuple[Register | None, Register | None]:
    names = tuple(register.name for register in (base, index) if register is not None)
    if scale != 1 or any(name not in _BASES_16 + _INDEXES_16 for name in names):
        raise Refusal("a 16-bit address is made of bx or bp, and si or di, without a scale")
    if base is not None and index is not None:
        if base.name in _INDEXES_16:
            base, index = index, base
        if base.name not in _BASES_16 or index.name not in _INDEXES_16:
            raise Refusal("a 16-bit address is made of bx or bp, and si or di")
    return base, index
