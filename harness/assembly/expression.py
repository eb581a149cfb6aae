"""Expressions over numbers, constants and addresses: the tree, and its value.

Where GNU as and C disagree about precedence (`1 + 2 << 3` is 17 to one and 24 to the other) parentheses are demanded.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.registers import REGISTERS, AsmRegister
from harness.assembly.source import Refusal
from harness.assembly.tokens import Tokens, unescape

__all__ = [
    "Binary",
    "ExpressionValue",
    "Name",
    "Node",
    "Number",
    "early_value",
    "evaluate",
    "names_of",
    "parse_expression",
    "refuse_registers",
]

MINIMUM: Final = -(1 << 63)
MAXIMUM: Final = (1 << 64) - 1

_NUMBER = re.compile(  # each group is named after its base
    r"0[xX](?P<_16>[0-9a-fA-F]+)|0[bB](?P<_2>[01]+)|(?P<_8>0[0-7]*)|(?P<_10>[1-9][0-9]*)"
)


class Number(NamedTuple):
    """A number as written."""

    value: int


class Name(NamedTuple):
    """A constant, a label, a symbol from outside; also `.` (the statement's address), and `1b` or `1f`."""

    name: str


class Binary(NamedTuple):
    """Two operands (`-x` is `0 - x`, `~x` is `x ^ -1`); `parenthesised` remembers that the author grouped them."""

    operator: str
    left: Node
    right: Node
    parenthesised: bool = False


Node: TypeAlias = Number | Name | AsmRegister | Binary


class ExpressionValue(NamedTuple):
    """A value; `weight` is 1 for an address, 0 for a plain number."""

    number: int
    weight: int = 0


def _number(text: str, column: int) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None or match.lastgroup is None:
        hint = None
        if re.fullmatch(r"[0-9][0-9a-fA-F]*[hH]", text):
            hint = f"write 0x{text[:-1].lstrip('0') or '0'}"
        elif re.fullmatch(r"0[0-9]+", text):
            hint = f"a leading 0 means octal: write {text.lstrip('0')}"
        raise Refusal(f"{text!r} is not a number", hint, column)
    value = int(match.group(match.lastgroup), int(match.lastgroup[1:])) if len(text) < 70 else MAXIMUM + 1
    if value > MAXIMUM:
        raise Refusal(f"{text} does not fit into 64 bits", column=column)
    return value


_LEVELS: Final = {"|": 0, "^": 1, "&": 2, "<<": 3, ">>": 3, "+": 4, "-": 4, "*": 5, "/": 5}
_INSIDE: Final = {"+": "+ - * /", "-": "+ - * /", "*": "* /", "/": "* /", "<<": "<< >>", ">>": "<< >>"} | {
    sign: f"<< >> * / {sign}" for sign in "&|^"
}
"""The operators that are allowed beside each without parentheses: C and GNU as group them the same way."""
_DEPTH: Final = 20
_LENGTH: Final = 100


def parse_expression(tokens: Tokens, level: int = 0, depth: int = 0) -> Node:
    """Parse an expression; registers may be leaves (the caller decides whether they are allowed)."""
    left = _primary(tokens, depth)
    count = 0
    while _LEVELS.get((sign := tokens.items[tokens.position]).text, -1) >= level:
        tokens.take()
        count += 1
        if count > _LENGTH:
            raise Refusal("the expression is too long", column=sign.column)
        right = parse_expression(tokens, _LEVELS[sign.text] + 1, depth)
        for side in (left, right):
            if isinstance(side, Binary) and not side.parenthesised and side.operator not in _INSIDE[sign.text].split():
                raise Refusal(
                    f"{side.operator!r} beside {sign.text!r} without parentheses: GNU as and C group them differently",
                    "write the parentheses",
                    sign.column,
                )
        left = Binary(sign.text, left, right)
    return left


def _primary(tokens: Tokens, depth: int) -> Node:
    if depth > _DEPTH:
        raise Refusal("the expression is nested too deeply")
    token = tokens.take()
    if token.kind == "number":
        return Number(_number(token.text, token.column))
    if token.kind == "name":
        return REGISTERS.get(token.text.lower()) or Name(token.text)
    if token.kind == "stack":
        register = REGISTERS.get("".join(token.text.lower().split()))
        if register is None:
            raise Refusal(f"{token.text} is not a register", "st(0) to st(7)", token.column)
        return register
    if token.kind in ("local", "here"):
        return Name(token.text.replace("$", "."))
    if token.kind == "char":
        data = unescape(token.text[1:-1])
        if len(data) != 1:
            raise Refusal(f"{token.text} is more than one byte", column=token.column)
        return Number(data[0])
    if token.text in ("-", "+", "~"):
        operand = _primary(tokens, depth + 1)
        refuse_registers(operand)
        if token.text == "+":
            return operand
        return Binary("-", Number(0), operand, True) if token.text == "-" else Binary("^", operand, Number(-1), True)
    if token.text == "(":
        inner = parse_expression(tokens, 0, depth + 1)
        tokens.expect(")")
        return Binary(inner.operator, inner.left, inner.right, True) if isinstance(inner, Binary) else inner
    raise Refusal(f"{token.text!r} is not a number or a name, which is expected here", column=token.column)


def names_of(node: Node) -> tuple[str, ...]:
    """Every name that an expression uses, in order of appearance (with repetitions)."""
    if isinstance(node, Binary):
        return names_of(node.left) + names_of(node.right)
    return (node.name,) if isinstance(node, Name) else ()


def early_value(node: Node, value_of: Callable[[str], int | None]) -> int | None:
    """The value of an expression if it is known before layout, else None; `value_of` returns the known names'
    values."""
    if None in [value_of(name) for name in names_of(node)]:
        return None
    return evaluate(node, lambda name: ExpressionValue(value_of(name) or 0)).number


def refuse_registers(node: Node) -> None:
    """Raise `Refusal` if an expression contains a register."""
    if isinstance(node, Binary):
        refuse_registers(node.left)
        refuse_registers(node.right)
    elif isinstance(node, AsmRegister):
        raise Refusal(f"a register ({node.name}) is not allowed in this expression")


def evaluate(node: Node, lookup: Callable[[str], ExpressionValue]) -> ExpressionValue:
    """The value of an expression; raises `Refusal` for what has none (division by zero, more than 64 bits, ...)."""
    if isinstance(node, Number):
        return ExpressionValue(node.value)
    if isinstance(node, Name):
        return lookup(node.name)
    assert isinstance(node, Binary)  # `refuse_registers` was here before
    number, weight = _combine(node.operator, evaluate(node.left, lookup), evaluate(node.right, lookup))
    if not MINIMUM <= number <= MAXIMUM:
        raise Refusal(f"the value {number:#x} does not fit into 64 bits")
    return ExpressionValue(number, weight)


def _combine(sign: str, left: ExpressionValue, right: ExpressionValue) -> tuple[int, int]:
    a, b = left.number, right.number
    if sign == "+":
        return a + b, left.weight + right.weight
    if sign == "-":
        return a - b, left.weight - right.weight
    if sign == "/" and b == 0:
        raise Refusal("division by zero")
    if sign in ("<<", ">>") and not 0 <= b <= 63:
        raise Refusal(f"a shift by {b}: the count must be 0 to 63")
    if sign == ">>" and a < 0:
        raise Refusal("a right shift of a negative number", "mask it first: (x & 0xffffffff) >> n")
    return _OPERATIONS[sign](a, b), 0


_OPERATIONS: Final[dict[str, Callable[[int, int], int]]] = {
    "*": operator.mul,
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),  # towards zero, as GNU as and C divide
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
