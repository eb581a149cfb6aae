"""Operands in the shapes that most operands have, and those that were parsed before: the quick way past the parser.

What is not recognised here goes through `operands.parse_operands`, which gives the same result for all that is.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from harness.assembly.errors import Refusal
from harness.assembly.expression import Name, Node, Number, names_of
from harness.assembly.operands import RESERVED, SIZES, UNSCALED, Immediate, Memory, Operand, nodes_of, parse_operands
from harness.assembly.registers import REGISTERS
from harness.assembly.tokens import Tokens, tokenize

__all__ = ["plain_operands"]

_MEMORY = re.compile(
    r"(?:(?P<size>byte|word|dword|qword) ptr )?"
    r"\[(?P<base>[a-z]\w*)(?:\+(?P<name>[A-Za-z_]\w*)|\+(?P<number>[0-9]\w*))?\]",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z_][\w.]*|\.L[\w.]*", re.ASCII)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[1-9][0-9]{0,17}|0")
_LIMIT: Final = 65536


_Parsed: TypeAlias = tuple[Operand, tuple[str, ...]]
"""An operand and the names that it uses."""

_memo: Final[dict[str, _Parsed]] = {}


def plain_operands(text: str) -> tuple[tuple[Operand, ...], tuple[str, ...]] | None:
    """The operands of a text without quotes, and the names they use; None if the parser must judge one of them."""
    operands: list[Operand] = []
    names: tuple[str, ...] = ()
    for part in text.split(","):
        key = part.strip()
        found = _memo.get(key)
        if found is None:
            found = _parse(key)
            if found is None:
                return None
            if len(_memo) > _LIMIT:
                _memo.clear()
            _memo[key] = found
        operands.append(found[0])
        names += found[1]
    return (tuple(operands), names) if len(operands) <= 4 else None


def _parse(text: str) -> _Parsed | None:
    if _NUMBER.fullmatch(text):
        return Immediate(Number(int(text, 0))), ()
    if _NAME.fullmatch(text):
        word = text.lower()
        if word in RESERVED:
            return None
        register = REGISTERS.get(word)
        return (Immediate(Name(text)), (text,)) if register is None else (register, ())
    match = _MEMORY.fullmatch(text)
    memory = _memory(*match.groups()) if match is not None else None
    if memory is not None:
        return memory
    try:
        (operand,) = parse_operands(Tokens(tokenize(text)))
    except Refusal:
        return None
    return operand, tuple([name for node in nodes_of(operand) for name in names_of(node)])


def _memory(size: str | None, base: str, name: str | None, number: str | None) -> _Parsed | None:
    register = REGISTERS.get(base)
    if register is None or register.kind == "x87":
        return None
    displacement: Node = Number(0)
    if name is not None:
        if name.lower() in REGISTERS:
            return None
        displacement = Name(name)
    elif number is not None:
        if not _NUMBER.fullmatch(number):
            return None
        displacement = Number(int(number, 0))
    names = (name,) if name is not None else ()
    return Memory(SIZES[size] if size else None, None, ((register, UNSCALED),), displacement), names
