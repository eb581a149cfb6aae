"""One line of text, parsed: labels, then a directive or an instruction with its operands."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Node, names_of, parse_expression, refuse_registers
from harness.assembly.operands import RESERVED, Operand, nodes_of, parse_operands
from harness.assembly.registers import REGISTERS
from harness.assembly.source import Refusal
from harness.assembly.tokens import Token, Tokens, tokenize

__all__ = ["Assignment", "Body", "Directive", "Instruction", "Statement", "parse_line", "strip_comment"]

PREFIXES: Final = frozenset({"lock", "rep", "repe", "repz", "repne", "repnz", "o32", "data32"})
_LABEL = re.compile(r"\s*(?P<label>[0-9]+|[A-Za-z_][\w.]*|\.[\w.]+)\s*:(?!:)", re.ASCII)
_ASSIGNMENT = re.compile(r"\s*(?P<name>[A-Za-z_][\w.]*|\.L[\w.]*)\s*=(?!=)", re.ASCII)
_WORD = re.compile(r"\s*(?P<word>\.?[A-Za-z][\w.]*)(?P<gap>\s*)", re.ASCII)
_PART = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)'|/\*|//|[#;]""")


class Instruction(NamedTuple):
    """A mnemonic (lower case) with its prefixes and operands."""

    prefixes: tuple[str, ...]
    mnemonic: str
    operands: tuple[Operand, ...]
    names: tuple[str, ...]
    """The names that its operands use."""


class Directive(NamedTuple):
    """A directive (lower case, with its dot) and the tokens after it."""

    name: str
    tokens: tuple[Token, ...]


class Assignment(NamedTuple):
    """`name = value`, `.set name, value`, `.equ name, value`."""

    name: str
    value: Node


Body: TypeAlias = Instruction | Directive | Assignment | None


class Statement(NamedTuple):
    """A line: the labels before it (numbers for `1:`), its body, and its text without comment."""

    labels: tuple[str, ...]
    body: Body
    text: str


def strip_comment(text: str) -> str:
    """The text without its `#`, `;` or `//` comment; quoted text is left alone."""
    if "#" not in text and ";" not in text and "/" not in text and "\\" not in text:
        return text
    position = 0
    while True:
        match = _PART.search(text, position)
        if match is None:
            return text
        found = match.group()
        if found == "/*":
            raise Refusal("/* */ comments are not supported", "use # to the end of the line", match.start() + 1)
        if found[0] in "#;" or found == "//":
            return text[: match.start()]
        position = match.end()


@lru_cache(maxsize=16384)
def parse_line(text: str) -> Statement:
    """The statement of a line; raises `Refusal` if it cannot be parsed.

    The result depends on the text alone, so that it can be remembered.
    """
    if len(text) > 20_000:
        raise Refusal("the line is longer than 20000 characters")
    bare = strip_comment(text).rstrip()
    if not bare.isprintable() and "\t" in bare:
        bare = bare.replace("\t", " ")
    if not bare.isprintable():
        raise Refusal("the line holds a control character")
    labels: list[str] = []
    position = 0
    while (match := _LABEL.match(bare, position)) is not None:
        _check_label(match.group("label"), match.start("label") + 1)
        labels.append(match.group("label"))
        position = match.end()
    rest = bare[position:].strip()
    if not rest:
        return Statement(tuple(labels), None, bare.strip())
    return Statement(tuple(labels), _body(bare, position), rest)


def _check_label(label: str, column: int) -> None:
    if label.isdigit():
        if len(label) > 9:
            raise Refusal(f"the local label {label} is too large", column=column)
        return
    if label.startswith(".") and not label.startswith(".L"):
        raise Refusal(f"{label!r} is not a label", f"local labels start with .L: .L{label[1:]}", column)
    if label.lower() in REGISTERS:
        raise Refusal(f"{label!r} is a register and cannot be a label", "choose another name", column)
    if label.lower() in RESERVED:
        raise Refusal(f"{label!r} is a keyword and cannot be a label", "choose another name", column)


def _body(text: str, position: int) -> Body:
    match = _ASSIGNMENT.match(text, position)
    if match is not None:
        return _assignment(match.group("name"), tokenize(text, match.end()))
    prefixes: list[str] = []
    while True:
        match = _WORD.match(text, position)
        if match is None:
            raise Refusal(f"{text[position:].strip()!r} is neither a label, a directive nor an instruction")
        word = match.group("word").lower()
        position = match.end()
        if word.startswith(".") and prefixes:
            raise Refusal(f"the prefix {prefixes[0]} is not allowed before a directive")
        if not word.startswith(".") and position < len(text) and not match.group("gap"):
            raise Refusal(f"{text[position]!r} follows {word!r} without a blank", column=position + 1)
        if word not in PREFIXES:
            break
        prefixes.append(word)
        if position >= len(text):
            raise Refusal(f"the prefix {word} has no instruction", "write it on the line of its instruction")
    tokens = tokenize(text, position)
    if word in (".set", ".equ"):
        if len(tokens) < 3 or tokens[0].kind != "name" or tokens[1].text != ",":
            raise Refusal(f"{word} needs a name and a value", f"{word} NAME, VALUE")
        return _assignment(tokens[0].text, tokens[2:])
    if word.startswith("."):
        return Directive(word, tuple(tokens))
    operands = parse_operands(Tokens(tokens)) if tokens else ()
    names = [name for operand in operands for node in nodes_of(operand) for name in names_of(node)]
    return Instruction(tuple(prefixes), word, operands, tuple(names))


def _assignment(name: str, value: list[Token]) -> Assignment:
    if name.lower() in REGISTERS or name.lower() in RESERVED:
        raise Refusal(f"{name!r} is reserved and cannot be given a value", "choose another name")
    cursor = Tokens(value)
    node = parse_expression(cursor)
    cursor.finish()
    refuse_registers(node)
    return Assignment(name, node)
