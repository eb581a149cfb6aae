"""One line of text to what it says: labels, then a directive or an instruction with its operands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from harness.assembly.errors import Refusal
from harness.assembly.expression import (
    Binary,
    Here,
    LocalReference,
    Node,
    Number,
    Token,
    Tokens,
    Unary,
    names_of,
    parse_expression,
    tokenize,
)
from harness.assembly.registers import REGISTERS, Register

__all__ = [
    "RESERVED",
    "SIZES",
    "UNSCALED",
    "Assignment",
    "Body",
    "Directive",
    "Far",
    "Immediate",
    "Instruction",
    "Memory",
    "Operand",
    "Statement",
    "has_position",
    "parse_line",
    "strip_comment",
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

UNSCALED: Final = Number(1)
"""The scale of a register that is written without one (known by identity; `*1` written out is another)."""

PREFIXES: Final = frozenset({"lock", "rep", "repe", "repz", "repne", "repnz", "o32", "data32"})
RESERVED: Final = frozenset({*SIZES, "ptr", "offset", "short", "near", "far", "flat"})
"""Words, in any case, that cannot be names."""

_SEGMENTS: Final = frozenset({"es", "cs", "ss", "ds", "fs", "gs"})

_LABEL = re.compile(r"\s*(?P<label>[0-9]+|[A-Za-z_][\w.]*|\.[\w.]+)\s*:(?!:)", re.ASCII)
_ASSIGNMENT = re.compile(r"\s*(?P<name>[A-Za-z_][\w.]*|\.L[\w.]*)\s*=(?!=)\s*(?P<value>.*)", re.ASCII | re.DOTALL)
_WORD = re.compile(r"\s*(?P<word>\.?[A-Za-z][\w.]*)(?P<gap>\s*)", re.ASCII)
_PART = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)'|/\*|//|[#;]""")


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory operand as written: `size` in bits or None, `terms` are (register, scale) pairs."""

    size: int | None
    segment: str | None
    terms: tuple[tuple[Register, Node], ...]
    displacement: Node
    far: bool = False


@dataclass(frozen=True, slots=True)
class Immediate:
    """A value; `short` marks `jmp short x`."""

    value: Node
    short: bool = False


@dataclass(frozen=True, slots=True)
class Far:
    """`selector:offset`."""

    selector: Node
    offset: Node


Operand: TypeAlias = Register | Memory | Immediate | Far


@dataclass(frozen=True, slots=True)
class Instruction:
    """A mnemonic (lower case) with its prefixes and operands."""

    prefixes: tuple[str, ...]
    mnemonic: str
    operands: tuple[Operand, ...]
    names: tuple[str, ...]
    """The names that its operands use."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive (lower case, with its dot) and the tokens after it."""

    name: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name = value`, `.set name, value`, `.equ name, value`."""

    name: str
    value: Node


Body: TypeAlias = Instruction | Directive | Assignment | None


@dataclass(frozen=True, slots=True)
class Statement:
    """A line: the labels before it (numbers for `1:`), what it says, and its text without comment."""

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
            raise Refusal("/* */ comments are not understood", "use # to the end of the line", match.start() + 1)
        if found[0] in "#;" or found == "//":
            return text[: match.start()]
        position = match.end()


@lru_cache(maxsize=16384)
def parse_line(text: str) -> Statement:
    """What a line says; raises `Refusal` with the reason if it says nothing understood.

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
    while True:
        match = _LABEL.match(bare, position)
        if match is None:
            break
        label = match.group("label")
        _check_label(label, match.start("label") + 1)
        labels.append(label)
        position = match.end()
    rest = bare[position:]
    if not rest.strip():
        return Statement(tuple(labels), None, bare.strip())
    try:
        body = _body(rest)
    except Refusal as refusal:
        if refusal.column is not None:
            refusal.column += position
        raise
    return Statement(tuple(labels), body, rest.strip())


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


def _body(text: str) -> Body:
    match = _ASSIGNMENT.match(text)
    if match is not None:
        return _assignment(match.group("name"), match.group("value"), match.start("value"))
    prefixes: list[str] = []
    position = 0
    while True:
        match = _WORD.match(text, position)
        if match is None:
            raise Refusal(f"{text[position:].strip()!r} is neither a label, a directive nor an instruction")
        word = match.group("word").lower()
        position = match.end()
        if word.startswith("."):
            if prefixes:
                raise Refusal(f"the prefix {prefixes[0]} stands before a directive")
            return _directive(word, text, position)
        if position < len(text) and not match.group("gap"):
            raise Refusal(f"{text[position]!r} follows {word!r} without a blank", column=position + 1)
        if word not in PREFIXES:
            break
        prefixes.append(word)
        if position >= len(text):
            raise Refusal(f"the prefix {word} stands alone", "write it on the line of its instruction")
    tokens = _tokens(text, position)
    operands = _operands(Tokens(tokens)) if tokens else ()
    names: list[str] = []
    for operand in operands:
        for node in _nodes(operand):
            names.extend(names_of(node))
    return Instruction(tuple(prefixes), word, operands, tuple(names))


def _tokens(text: str, position: int) -> list[Token]:
    try:
        tokens = tokenize(text[position:])
    except Refusal as refusal:
        if refusal.column is not None:
            refusal.column += position
        raise
    return [Token(kind, body, column + position) for kind, body, column in tokens]


def _assignment(name: str, value: str, position: int) -> Assignment:
    if name.lower() in REGISTERS or name.lower() in RESERVED:
        raise Refusal(f"{name!r} is reserved and cannot be given a value", "choose another name")
    cursor = Tokens([Token(kind, body, column + position) for kind, body, column in tokenize(value)])
    node = parse_expression(cursor)
    _finish(cursor)
    _no_register(node)
    return Assignment(name, node)


def _directive(word: str, text: str, position: int) -> Body:
    tokens = _tokens(text, position)
    if word in (".set", ".equ"):
        if len(tokens) < 3 or tokens[0].kind != "name" or tokens[1].text != ",":
            raise Refusal(f"{word} needs a name and a value", f"{word} NAME, VALUE")
        name = tokens[0].text
        if name.lower() in REGISTERS or name.lower() in RESERVED:
            raise Refusal(f"{name!r} is reserved and cannot be given a value", "choose another name")
        cursor = Tokens(tokens[2:])
        node = parse_expression(cursor)
        _finish(cursor)
        _no_register(node)
        return Assignment(name, node)
    return Directive(word, tuple(tokens))


def _finish(cursor: Tokens) -> None:
    token = cursor.peek()
    if token is not None:
        raise Refusal(f"{token.text!r} is too much here", column=token.column)


def _no_register(node: Node) -> None:
    if isinstance(node, Register):
        raise Refusal(f"a register ({node.name}) cannot stand in this expression")
    if isinstance(node, Unary):
        _no_register(node.operand)
    elif isinstance(node, Binary):
        _no_register(node.left)
        _no_register(node.right)


def _operands(cursor: Tokens) -> tuple[Operand, ...]:
    operands = [_operand(cursor)]
    while cursor.next_is(","):
        cursor.take()
        operands.append(_operand(cursor))
    _finish(cursor)
    if len(operands) > 4:
        raise Refusal(f"{len(operands)} operands: no instruction takes so many")
    return tuple(operands)


def _operand(cursor: Tokens) -> Operand:
    first = cursor.peek()
    size: int | None = None
    far = short = False
    if first is not None and first.kind == "name":
        word = first.text.lower()
        if word in SIZES or word == "far":
            cursor.take()
            far = word == "far"
            size = SIZES.get(word)
            following = cursor.peek()
            if following is None or following.text.lower() != "ptr" or following.kind != "name":
                raise Refusal(
                    f"{first.text!r} is a keyword and ptr must follow", f"write {word} ptr [...]", first.column
                )
            cursor.take()
            first = cursor.peek()
            if first is None:
                raise Refusal("the statement ends where an address is expected")
        elif word == "offset":
            cursor.take()
            return _value(cursor, short=False)
        elif word == "short":
            cursor.take()
            return _value(cursor, short=True)
        elif word in RESERVED:
            raise Refusal(f"{first.text!r} is a keyword and cannot stand here", column=first.column)
    segment: str | None = None
    if (
        first is not None
        and first.text.lower() in _SEGMENTS
        and cursor.position + 1 < len(cursor.items)
        and cursor.items[cursor.position + 1].text == ":"
    ):
        segment = first.text.lower()
        cursor.position += 2
    if cursor.next_is("["):
        return _memory(cursor, size, segment, far)
    if size is not None or segment is not None or far:
        raise Refusal("a memory operand is written in brackets", "write [ADDRESS]", first.column if first else None)
    return _value(cursor, short)


def _value(cursor: Tokens, short: bool) -> Operand:
    node = parse_expression(cursor)
    if isinstance(node, Register) and not short:
        return node
    _no_register(node)
    if cursor.next_is("["):
        raise Refusal("an address in two parts", "write it inside the brackets: [rip+NAME] or [NAME+rax*8]")
    if cursor.next_is(":"):
        cursor.take()
        offset = parse_expression(cursor)
        _no_register(offset)
        return Far(node, offset)
    return Immediate(node, short)


def _memory(cursor: Tokens, size: int | None, segment: str | None, far: bool) -> Memory:
    opening = cursor.take()
    node = parse_expression(cursor)
    if cursor.next_is(":"):
        raise Refusal("a segment inside the brackets", "write it before them: fs:[...]", opening.column)
    cursor.expect("]")
    if cursor.next_is("["):
        raise Refusal("an address in two brackets", "write [BASE + INDEX*SCALE + DISPLACEMENT]")
    terms: list[tuple[Register, Node]] = []
    displacement = _linear(node, terms, negative=False)
    return Memory(size, segment, tuple(terms), Number(0) if displacement is None else displacement, far)


def _linear(node: Node, terms: list[tuple[Register, Node]], negative: bool) -> Node | None:
    """Take the register terms out of a sum; what is left is the displacement."""
    if isinstance(node, Register):
        _add_term(terms, node, UNSCALED, negative)
        return None
    if isinstance(node, Binary) and node.operator in "+-":
        left = _linear(node.left, terms, negative)
        right = _linear(node.right, terms, negative != (node.operator == "-"))
        if right is None:
            return left
        if left is None:
            return right if node.operator == "+" else Unary("-", right)
        return Binary(node.operator, left, right, True)
    if isinstance(node, Binary) and node.operator == "*":
        for register, scale in ((node.left, node.right), (node.right, node.left)):
            if isinstance(register, Register):
                _no_register(scale)
                _add_term(terms, register, scale, negative)
                return None
    _no_register(node)
    return node


def _add_term(terms: list[tuple[Register, Node]], register: Register, scale: Node, negative: bool) -> None:
    if negative:
        raise Refusal(f"{register.name} is subtracted: an address can only add registers")
    terms.append((register, scale))


def _nodes(operand: Operand) -> tuple[Node, ...]:
    if isinstance(operand, Immediate):
        return (operand.value,)
    if isinstance(operand, Memory):
        return (operand.displacement, *(scale for _, scale in operand.terms))
    if isinstance(operand, Far):
        return (operand.selector, operand.offset)
    return ()


def has_position(node: Node) -> bool:
    """Whether the value depends on where the statement stands (`.`, `1b`, `1f`)."""
    if isinstance(node, (Here, LocalReference)):
        return True
    if isinstance(node, Unary):
        return has_position(node.operand)
    if isinstance(node, Binary):
        return has_position(node.left) or has_position(node.right)
    return False
