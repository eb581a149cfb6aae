"""Operands as written: registers, memory, values, far pointers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Binary, Node, Number, names_of, parse_expression, refuse_registers
from harness.assembly.registers import REGISTERS, AsmRegister
from harness.assembly.source import Refusal
from harness.assembly.tokens import Tokens

__all__ = [
    "RESERVED",
    "SIZES",
    "SIZE_NAMES",
    "UNSCALED",
    "Far",
    "Immediate",
    "MemoryOperand",
    "Operand",
    "names_in",
    "parse_operands",
    "registers_of",
]

SIZES: Final = {
    "byte": 8,
    "word": 16,
    "dword": 32,
    "fword": 48,
    "qword": 64,
    "tbyte": 80,
    "xmmword": 128,
    "oword": 128,
    "ymmword": 256,
}
"""The size keywords before `ptr`, in bits."""

SIZE_NAMES: Final = {bits: f"{name} ptr" for name, bits in SIZES.items() if name != "oword"}
"""The keywords by size."""

UNSCALED: Final = Number(1)
"""The scale of a register that is written without one (known by identity; `*1` written out is another)."""

RESERVED: Final = dict.fromkeys(REGISTERS, "register") | dict.fromkeys(
    (*SIZES, "ptr", "offset", "short", "near", "far", "flat"), "keyword"
)
"""Words, in any case, that cannot be names, with what they are."""

_SEGMENTS: Final = frozenset({"es", "cs", "ss", "ds", "fs", "gs"})


class MemoryOperand(NamedTuple):
    """A memory operand as written: `size` in bits or None, `terms` are (register, scale) pairs."""

    size: int | None
    segment: str | None
    terms: tuple[tuple[AsmRegister, Node], ...]
    displacement: Node
    far: bool = False


class Immediate(NamedTuple):
    """A value; `short` marks `jmp short x`."""

    value: Node
    short: bool = False


class Far(NamedTuple):
    """`selector:offset`."""

    selector: Node
    offset: Node


Operand: TypeAlias = AsmRegister | MemoryOperand | Immediate | Far


def parse_operands(cursor: Tokens) -> tuple[Operand, ...]:
    """The operands of an instruction, up to its end; raises `Refusal`."""
    operands = [_operand(cursor)]
    while cursor.accept(","):
        operands.append(_operand(cursor))
    cursor.finish()
    if len(operands) > 4:
        raise Refusal(f"{len(operands)} operands: no instruction takes so many")
    return tuple(operands)


def _operand(cursor: Tokens) -> Operand:
    word = cursor.word()
    if word in ("offset", "short"):
        cursor.take()
        return _value(cursor, word == "short")
    size, far = SIZES.get(word), word == "far"
    if size is not None or far:
        keyword = cursor.take()
        if cursor.word() != "ptr":
            raise Refusal(
                f"{keyword.text!r} is a keyword and ptr must follow", f"write {word} ptr [...]", keyword.column
            )
        cursor.take()
        if cursor.at_end():
            raise Refusal("the statement ends where an address is expected")
    elif RESERVED.get(word) == "keyword":
        raise Refusal(f"{word!r} is a keyword and is not allowed here", column=cursor.peek().column)
    first = cursor.peek()
    segment: str | None = None
    if first.text.lower() in _SEGMENTS and cursor.peek(1).text == ":":
        segment = first.text.lower()
        cursor.position += 2
    if cursor.peek().text == "[":
        return _memory(cursor, size, segment, far)
    if size is not None or segment is not None or far:
        raise Refusal("a memory operand is written in brackets", "write [ADDRESS]", first.column)
    return _value(cursor, False)


def _value(cursor: Tokens, short: bool) -> Operand:
    node = parse_expression(cursor)
    if isinstance(node, AsmRegister) and not short:
        return node
    refuse_registers(node)
    if cursor.accept("["):
        raise Refusal("an address in two parts", "write it inside the brackets: [rip+NAME] or [NAME+rax*8]")
    if cursor.accept(":"):
        offset = parse_expression(cursor)
        refuse_registers(offset)
        return Far(node, offset)
    return Immediate(node, short)


def _memory(cursor: Tokens, size: int | None, segment: str | None, far: bool) -> MemoryOperand:
    opening = cursor.take()
    node = parse_expression(cursor)
    if cursor.accept(":"):
        raise Refusal("a segment inside the brackets", "write it before them: fs:[...]", opening.column)
    cursor.expect("]")
    if cursor.accept("["):
        raise Refusal("an address in two brackets", "write [BASE + INDEX*SCALE + DISPLACEMENT]")
    terms: list[tuple[AsmRegister, Node]] = []
    displacement = _linear(node, terms, negative=False)
    return MemoryOperand(size, segment, tuple(terms), displacement or Number(0), far)


def _linear(node: Node, terms: list[tuple[AsmRegister, Node]], negative: bool) -> Node | None:
    """Take the register terms out of a sum; what is left is the displacement."""
    if isinstance(node, Binary) and node.operator in "+-":
        left = _linear(node.left, terms, negative)
        right = _linear(node.right, terms, negative != (node.operator == "-"))
        if right is None:
            return left
        if left is None:
            return right if node.operator == "+" else Binary("-", Number(0), right, True)
        return Binary(node.operator, left, right, True)
    register: Node = node
    scale: Node = UNSCALED
    if isinstance(node, Binary) and node.operator == "*":
        register, scale = (node.left, node.right) if isinstance(node.left, AsmRegister) else (node.right, node.left)
    refuse_registers(scale)
    if not isinstance(register, AsmRegister):
        refuse_registers(node)
        return node
    if negative:
        raise Refusal(f"{register.name} is subtracted: an address can only add registers")
    terms.append((register, scale))
    return None


def names_in(operands: Iterable[Operand]) -> tuple[str, ...]:
    """Every name that operands use, in order of appearance (with repetitions)."""
    names: list[str] = []
    for operand in operands:
        if isinstance(operand, Immediate):
            names += names_of(operand.value)
        elif isinstance(operand, MemoryOperand):
            for node in (operand.displacement, *[scale for _, scale in operand.terms]):
                names += names_of(node)
        elif isinstance(operand, Far):
            names += names_of(operand.selector) + names_of(operand.offset)
    return tuple(names)


def registers_of(operand: Operand) -> tuple[AsmRegister, ...]:
    """The registers in an operand."""
    if isinstance(operand, AsmRegister):
        return (operand,)
    return tuple([register for register, _ in operand.terms]) if isinstance(operand, MemoryOperand) else ()
