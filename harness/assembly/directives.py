"""Directives: data, padding, and those that are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

from harness.assembly.expression import Node, Number, names_of, parse_expression, refuse_registers
from harness.assembly.items import Item
from harness.assembly.settled import check_value, little_endian
from harness.assembly.source import Refusal
from harness.assembly.statement import Directive
from harness.assembly.tokens import Tokens, unescape

__all__ = ["MODES", "apply_directive", "arguments"]

T = TypeVar("T")

LIMIT: Final = 64 << 20
"""The most bytes that one directive may make."""

MODES: Final = {".code16": 16, ".code32": 32, ".code64": 64}
"""The directives that switch the processor mode."""

_DATA: Final = {".byte": 1, ".word": 2, ".short": 2, ".hword": 2, ".long": 4, ".int": 4, ".quad": 8}
_MOST: Final = 9999
_REFUSED: Final[dict[str, tuple[str, str | None]]] = {
    **dict.fromkeys(
        (".section", ".text", ".data", ".bss", ".rodata", ".pushsection", ".popsection", ".previous", ".subsection"),
        ("there are no sections: the bytes follow each other in source order", "leave the directive out"),
    ),
    **dict.fromkeys(
        (".macro", ".endm", ".irp", ".irpc"),
        ("macros are not supported", "write the repetition in Python, or use .rept"),
    ),
    **dict.fromkeys(
        (".if", ".ifdef", ".ifndef", ".else", ".endif"),
        ("conditions are not supported", "write the condition in Python"),
    ),
    ".include": ("files are not included", "assemble their source lines together"),
    ".incbin": ("files are not included", "write the bytes with .byte"),
    ".endr": (".endr without .rept", None),
    ".att_syntax": ("only Intel syntax is supported", None),
    ".align": (".align means bytes or a power of two, depending on the assembler", "write .balign BYTES"),
    ".extern": (".extern is not needed: symbols from outside are given by name", "leave it out"),
}


def apply_directive(item: Item, directive: Directive) -> None:
    """Give the item the kind, size and bytes that a directive makes; raises `Refusal` if it is not supported."""
    if directive.name in _REFUSED:
        raise Refusal(*_REFUSED[directive.name])
    if directive.name not in _SUPPORTED:
        raise Refusal(f"unknown directive {directive.name}")
    _SUPPORTED[directive.name](item, directive)


def _listed(directive: Directive, parse: Callable[[Tokens], T]) -> list[T]:
    """What is after a directive, with commas between."""
    cursor = Tokens(list(directive.tokens))
    found: list[T] = []
    while not cursor.at_end():
        if found:
            cursor.expect(",")
        found.append(parse(cursor))
    return found


@lru_cache(maxsize=4096)
def arguments(directive: Directive, least: int, most: int) -> tuple[Node, ...]:
    """The expressions after a directive; raises `Refusal` if there are fewer or more."""
    nodes = _listed(directive, parse_expression)
    for node in nodes:
        refuse_registers(node)
    if not least <= len(nodes) <= most:
        wanted = str(least) if least == most else f"{least} to {most}" if most < _MOST else f"at least {least}"
        raise Refusal(f"{directive.name} takes {wanted} value{'s' if wanted != '1' else ''}, here are {len(nodes)}")
    return tuple(nodes)


def _known(item: Item, nodes: tuple[Node, ...], position: int, what: str, low: int, high: int, default: int) -> int:
    """The value of an argument, which must be known before layout; the default where it is left out."""
    if len(nodes) <= position:
        return default
    value = item.early(nodes[position])
    if value is None:
        raise Refusal(f"{what} must be known before layout: numbers and constants only")
    if not low <= value <= high:
        raise Refusal(f"{what} is {value}: it must be {low} to {high}")
    return value


def _checked(value: int, size: int) -> bytes:
    check_value(value, 8 * size, "immediate")
    return little_endian(value, 8 * size)


def _values(item: Item, directive: Directive) -> None:
    """`.byte`, `.word`, `.long`, `.quad`, and their synonyms."""
    size = _DATA[directive.name]
    if any(token.kind == "string" for token in directive.tokens):
        raise Refusal(f"text in {directive.name}", "write .ascii or .asciz")
    nodes = arguments(directive, 1, _MOST)
    if len(nodes) > 1 and any("." in names_of(node) for node in nodes):
        raise Refusal("'.' in a list of several values is not clear", "write one value a line")
    item.kind, item.size = "data", len(nodes) * size
    item.data = lambda: b"".join([_checked(item.number(node), size) for node in nodes])


def _text(item: Item, directive: Directive) -> None:
    """`.ascii`, and `.asciz` (`.string`) with a zero after each text."""
    texts = _listed(directive, Tokens.take)
    for token in texts:
        if token.kind != "string":
            raise Refusal(f"{token.text!r} is not allowed here", "texts are quoted, with commas between", token.column)
    if not texts:
        raise Refusal(f"{directive.name} needs a text in double quotes")
    end = b"" if directive.name == ".ascii" else b"\0"
    item.kind, item.data = "data", b"".join([unescape(token.text[1:-1]) + end for token in texts])
    item.size = len(item.data)


def _space(item: Item, directive: Directive) -> None:
    """`.zero COUNT`, `.skip COUNT, VALUE` (`.space`), `.fill COUNT, SIZE, VALUE`."""
    sized = directive.name == ".fill"
    nodes = arguments(directive, 1, {".zero": 1, ".fill": 3}.get(directive.name, 2))
    size = _known(item, nodes, 1, "the size", 1, 8, 1) if sized else 1
    if len(nodes) > 2 and size > 4:
        raise Refusal(".fill of more than 4 bytes each: GNU as fills only 4 of them", "write .quad in a .rept")
    value = nodes[1 + sized] if len(nodes) > 1 + sized else Number(0)

    def times() -> int:
        count = item.value(nodes[0])
        if count.weight:
            raise Refusal("the count is an address", "the difference of two labels is a number")
        if not 0 <= count.number * size <= LIMIT:
            raise Refusal(f"a count of {count.number}: it must be 0 to {LIMIT // size}")
        return count.number

    item.kind, item.size = "data", lambda: times() * size
    item.data = lambda: _checked(item.number(value), size) * times()


def _align(item: Item, directive: Directive) -> None:
    """`.balign BOUNDARY, FILLING, LIMIT`, and `.p2align`, whose boundary is the power of two."""
    nodes = arguments(directive, 1, 3)
    power = directive.name == ".p2align"
    boundary = _known(item, nodes, 0, "the power of two" if power else "the boundary", 0, 24 if power else 1 << 24, 0)
    boundary = 1 << boundary if power else boundary
    if boundary == 0 or boundary & (boundary - 1):
        raise Refusal(f"a boundary of {boundary}: it must be a power of two")
    fill = bytes([_known(item, nodes, 1, "the filling", 0, 255, 0x90)])
    limit = _known(item, nodes, 2, "the limit", 0, 1 << 24, boundary)

    def missing() -> int:
        count = -item.address % boundary
        return count if count <= limit else 0

    item.size = missing
    item.data = lambda: fill * missing()


def _org(item: Item, directive: Directive) -> None:
    """`.org ADDRESS, FILLING`."""
    nodes = arguments(directive, 1, 2)
    fill = bytes([_known(item, nodes, 1, "the filling", 0, 255, 0)])

    def missing() -> int:
        return item.number(nodes[0]) - item.address

    def data() -> bytes:
        count = missing()
        target = f"{item.address + count:#x}"
        if count < 0:
            raise Refusal(
                f".org moves back: {item.address:#x} is {-count:#x} bytes past {target}",
                "the code before it is too long",
            )
        if count > LIMIT:
            raise Refusal(f".org to {target} would fill {count:#x} bytes", "it takes an address: LABEL + OFFSET")
        return fill * count

    # While layout is past the address the size is 0: `data` refuses that in the end.
    item.size = lambda: max(0, min(missing(), LIMIT + 1))
    item.data = data


def _mode(_: Item, directive: Directive) -> None:
    """`.code16`, `.code32`, `.code64`, which the unit interprets."""
    arguments(directive, 0, 0)


def _no_effect(_: Item, directive: Directive) -> None:
    """`.global NAME`: every label is global. `.intel_syntax noprefix`: there is no other."""
    names = _listed(directive, Tokens.take)
    if directive.name == ".intel_syntax" and [token.text for token in names] != ["noprefix"]:
        raise Refusal("only .intel_syntax noprefix is supported")
    if not names or any(token.kind != "name" for token in names):
        raise Refusal(f"{directive.name} needs a name")


_SUPPORTED: Final[dict[str, Callable[[Item, Directive], None]]] = {
    **dict.fromkeys(_DATA, _values),
    **dict.fromkeys((".ascii", ".asciz", ".string"), _text),
    **dict.fromkeys((".zero", ".skip", ".space", ".fill"), _space),
    **dict.fromkeys((".balign", ".p2align"), _align),
    ".org": _org,
    **dict.fromkeys(MODES, _mode),
    **dict.fromkeys((".global", ".globl", ".intel_syntax"), _no_effect),
}
