"""One line of text, parsed: labels, then a directive or an instruction with its operands."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Node, parse_expression, refuse_registers
from harness.assembly.operands import RESERVED, Operand, names_in, parse_operands
from harness.assembly.source import Refusal
from harness.assembly.tokens import Token, Tokens, tokenize

__all__ = ["Assignment", "Body", "Directive", "Instruction", "Statement", "parse_line"]

PREFIXES: Final = frozenset({"lock", "rep", "repe", "repz", "repne", "repnz", "o32", "data32"})


class Instruction(NamedTuple):
    """A mnemonic (lower case) with its prefixes and operands."""

    prefixes: tuple[str, ...]
    mnemonic: str
    operands: tuple[Operand, ...]
    names: tuple[str, ...]
    """The names that its operands use."""


class Directive(NamedTuple):
    """A directive (lower case, with its dot) and the tokens after it, up to the end of the line."""

    name: str
    tokens: tuple[Token, ...]


class Assignment(NamedTuple):
    """`name = value`, `.set name, value`, `.equ name, value`."""

    name: str
    value: Node


Body: TypeAlias = Instruction | Directive | Assignment | None


class Statement(NamedTuple):
    """A line: the labels before it (numbers for `1:`), its body and the body's text, and the end of the line."""

    labels: tuple[str, ...]
    body: Body
    text: str
    end: Token


@lru_cache(maxsize=16384)
def parse_line(text: str) -> Statement:
    """The statement of a line; raises `Refusal` if it cannot be parsed.

    The result depends on the text alone, so that it can be remembered.
    """
    if len(text) > 20_000:
        raise Refusal("the line is longer than 20000 characters")
    cursor = Tokens(tokenize(text))
    end = cursor.items[-1]
    if cursor.at_end():
        return Statement((), None, "", end)
    labels: list[str] = []
    while cursor.peek().kind in ("name", "number", "directive") and cursor.peek(1).text == ":":
        labels.append(_label(cursor.take()))
        cursor.expect(":")
    body_text = text[cursor.peek().column - 1 : end.column - 1].rstrip().replace("\t", " ")
    return Statement(tuple(labels), _body(cursor) if body_text else None, body_text, end)


def _label(token: Token) -> str:
    label = token.text
    if token.kind == "number" and not (label.isdigit() and len(label) < 10):
        raise Refusal(f"{label!r} is not a label", "a local label is a number of up to 9 digits", token.column)
    if token.kind == "directive":
        raise Refusal(f"{label!r} is not a label", f"local labels start with .L: .L{label[1:]}", token.column)
    _check_name(token, "be a label")
    return (label.lstrip("0") or "0") if token.kind == "number" else label


def _check_name(token: Token, use: str) -> None:
    kind = RESERVED.get(token.text.lower())
    if kind is not None:
        raise Refusal(f"{token.text!r} is a {kind} and cannot {use}", "choose another name", token.column)


def _body(cursor: Tokens) -> Body:
    if cursor.peek().kind == "name" and cursor.peek(1).text == "=":
        return _assignment(cursor)
    prefixes: list[str] = []
    while cursor.word() in PREFIXES:
        prefixes.append(cursor.word())
        cursor.take()
        if cursor.at_end():
            raise Refusal(f"the prefix {prefixes[-1]} has no instruction", "write it on the line of its instruction")
    token = cursor.take()
    word, following = token.text.lower(), cursor.peek()
    if token.kind not in ("name", "directive"):
        raise Refusal(f"{token.text!r} is neither a label, a directive nor an instruction", column=token.column)
    if word.startswith("."):
        if prefixes:
            raise Refusal(f"the prefix {prefixes[0]} is not allowed before a directive")
        if word not in (".set", ".equ"):
            return Directive(word, tuple(cursor.items[cursor.position :]))
        if following.kind != "name" or cursor.peek(1).text != ",":
            raise Refusal(f"{word} needs a name and a value", f"{word} NAME, VALUE")
        return _assignment(cursor)
    if cursor.at_end():
        return Instruction(tuple(prefixes), word, (), ())
    if following.column == token.column + len(word):
        raise Refusal(f"{following.text!r} follows {word!r} without a blank", column=following.column)
    operands = parse_operands(cursor)
    return Instruction(tuple(prefixes), word, operands, names_in(operands))


def _assignment(cursor: Tokens) -> Assignment:
    """A name, then `=` or a comma, then its value."""
    name = cursor.take()
    _check_name(name, "be given a value")
    cursor.take()
    node = parse_expression(cursor)
    cursor.finish()
    refuse_registers(node)
    return Assignment(name.text, node)
