"""Directives: data, padding, and those that are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from harness.assembly.expression import Node, Number, names_of, parse_expression, refuse_registers
from harness.assembly.items import DATA, DIRECTIVE, Item, ItemPosition, align, org, space, values
from harness.assembly.source import Refusal
from harness.assembly.statement import Directive
from harness.assembly.tokens import Tokens, unescape

__all__ = ["MODES", "arguments", "directive_item"]

MODES: Final = {".code16": 16, ".code32": 32, ".code64": 64}
"""The directives that switch the processor mode."""

_DATA: Final = {".byte": 8, ".word": 16, ".short": 16, ".hword": 16, ".long": 32, ".int": 32, ".quad": 64}
_NOTHING: Final = frozenset({".global", ".globl"})
_SECTIONS: Final = frozenset(
    [".section", ".text", ".data", ".bss", ".rodata", ".pushsection", ".popsection", ".previous", ".subsection"]
)
_REFUSED: Final = {
    ".macro": ("macros are not supported", "write the repetition in Python, or use .rept"),
    ".endm": ("macros are not supported", None),
    ".irp": (".irp is not supported", "write the repetition in Python, or use .rept"),
    ".irpc": (".irpc is not supported", "write the repetition in Python, or use .rept"),
    ".endr": (".endr without .rept", None),
    ".if": ("conditions are not supported", "write the condition in Python"),
    ".ifdef": ("conditions are not supported", "write the condition in Python"),
    ".include": ("files are not included", "assemble their source lines together"),
    ".incbin": ("files are not included", "write the bytes with .byte"),
    ".att_syntax": ("only Intel syntax is supported", None),
    ".align": (".align means bytes or a power of two, depending on the assembler", "write .balign BYTES"),
    ".extern": (".extern is not needed: symbols from outside are given by name", "leave it out"),
}

Early = Callable[[Node], int | None]


def directive_item(directive: Directive, place: ItemPosition, early: Early) -> Item:
    """The items of a directive; raises `Refusal` with the reason if it is not supported.

    `early` returns the value of an expression if it is known before layout, else None.
    """
    name = directive.name
    if name in _DATA:
        return _data(directive, place)
    if name in (".ascii", ".asciz", ".string"):
        return _text(directive, place)
    if name in (".zero", ".skip", ".space"):
        nodes = arguments(directive, 1, 1 if name == ".zero" else 2)
        return space(place, nodes[0], 8, nodes[1] if len(nodes) > 1 else Number(0))
    if name == ".fill":
        return _fill(directive, place, early)
    if name in (".balign", ".p2align"):
        return _align(directive, place, early)
    if name == ".org":
        nodes = arguments(directive, 1, 2)
        fill = _known(nodes[1], early, "the filling", 0, 255) if len(nodes) > 1 else 0
        return org(place, nodes[0], fill)
    if name == ".intel_syntax":
        if [token.text for token in directive.tokens] != ["noprefix"]:
            raise Refusal("only .intel_syntax noprefix is supported")
        return Item(place, DIRECTIVE)
    if name in _NOTHING:
        names = [token for token in directive.tokens if token.text != ","]
        if not names or any(token.kind != "name" for token in names):
            raise Refusal(f"{name} needs a name")
        return Item(place, DIRECTIVE)
    if name in MODES:
        if directive.tokens:
            raise Refusal(f"{name} takes no operand")
        return Item(place, DIRECTIVE)
    if name in _SECTIONS:
        raise Refusal("there are no sections: the bytes follow each other in source order", "leave the directive out")
    if name in _REFUSED:
        raise Refusal(*_REFUSED[name])
    raise Refusal(f"unknown directive {name}")


@lru_cache(maxsize=4096)
def arguments(directive: Directive, least: int, most: int) -> tuple[Node, ...]:
    """The expressions after a directive; raises `Refusal` if there are fewer or more."""
    cursor = Tokens(list(directive.tokens))
    nodes: list[Node] = []
    if cursor.peek() is not None:
        while True:
            node = parse_expression(cursor)
            refuse_registers(node)
            nodes.append(node)
            token = cursor.peek()
            if token is None:
                break
            cursor.expect(",")
    if not least <= len(nodes) <= most:
        wanted = str(least) if least == most else f"{least} to {most}" if most < 9999 else f"at least {least}"
        raise Refusal(f"{directive.name} takes {wanted} value{'s' if wanted != '1' else ''}, here are {len(nodes)}")
    return tuple(nodes)


def _data(directive: Directive, place: ItemPosition) -> Item:
    width = _DATA[directive.name]
    if any(token.kind == "string" for token in directive.tokens):
        raise Refusal(f"text in {directive.name}", "write .ascii or .asciz")
    nodes = arguments(directive, 1, 9999)
    if len(nodes) > 1 and any("." in names_of(node) for node in nodes):
        raise Refusal("'.' in a list of several values is not clear", "write one value a line")
    return values(place, width, nodes)


def _text(directive: Directive, place: ItemPosition) -> Item:
    texts, commas = directive.tokens[::2], directive.tokens[1::2]
    for token in directive.tokens:
        if token not in (texts if token.kind == "string" else commas if token.text == "," else ()):
            raise Refusal(f"{token.text!r} is not allowed here", "texts are quoted, with commas between", token.column)
    if len(texts) == len(commas):
        raise Refusal(
            f"{directive.name} needs a text in double quotes" if not texts else "a text must follow the comma"
        )
    end = b"" if directive.name == ".ascii" else b"\0"
    content = b"".join([unescape(token.text[1:-1]) + end for token in texts])
    return Item(place, DATA, len(content), content)


def _known(node: Node, early: Early, what: str, low: int, high: int) -> int:
    value = early(node)
    if value is None:
        raise Refusal(f"{what} must be known before layout: numbers and constants only")
    if not low <= value <= high:
        raise Refusal(f"{what} is {value}: it must be {low} to {high}")
    return value


def _fill(directive: Directive, place: ItemPosition, early: Early) -> Item:
    nodes = arguments(directive, 1, 3)
    size = _known(nodes[1], early, "the size", 1, 8) if len(nodes) > 1 else 1
    if len(nodes) > 2 and size > 4:
        raise Refusal(".fill of more than 4 bytes each: GNU as fills only 4 of them", "write .quad in a .rept")
    return space(place, nodes[0], size * 8, nodes[2] if len(nodes) > 2 else Number(0))


def _align(directive: Directive, place: ItemPosition, early: Early) -> Item:
    nodes = arguments(directive, 1, 3)
    boundary = _known(nodes[0], early, "the boundary", 0, 1 << 24)
    if directive.name == ".p2align":
        boundary = 1 << _known(nodes[0], early, "the power of two", 0, 24)
    if boundary == 0 or boundary & (boundary - 1):
        raise Refusal(f"a boundary of {boundary}: it must be a power of two")
    fill = _known(nodes[1], early, "the filling", 0, 255) if len(nodes) > 1 else 0x90
    limit = _known(nodes[2], early, "the limit", 0, 1 << 24) if len(nodes) > 2 else None
    return align(place, boundary, fill, limit)
