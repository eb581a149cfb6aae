"""Lines to statements, with `.rept` written out."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final, TypeAlias

from harness.assembly.directives import arguments
from harness.assembly.expression import early_value, names_of
from harness.assembly.items import SymbolTable
from harness.assembly.mnemonics import KNOWN
from harness.assembly.source import Refusal, SourceLine
from harness.assembly.statement import Directive, Instruction, Statement, parse_line

__all__ = ["expand"]

_LIMIT: Final = 100_000
_DEPTH: Final = 20

Line: TypeAlias = tuple[int, Statement]
"""The index of a source line, and a statement of it."""


def expand(source: Sequence[SourceLine], table: SymbolTable, refuse: Callable[[int, str, Refusal], None]) -> list[Line]:
    """Every statement with the index of its source line; a line that cannot be parsed is refused and left out."""
    statements: list[Line] = []
    for index, line in enumerate(source):
        try:
            statement = parse_line(line.text)
        except Refusal as refusal:
            refuse(index, line.text.strip(), refusal)
            continue
        if statement.body is not None or statement.labels:
            statements.append((index, statement))
    doubtful = [(index, statement.end) for index, statement in statements if statement.end.text[:1] == ";"]
    if doubtful:
        names = {
            *table.constants,
            *table.symbols,
            *(label for _, statement in statements for label in statement.labels),
        }
        for index, comment in doubtful:
            hidden = _statement_in_comment(comment.text[1:], names)
            if hidden is not None:
                reason = f"; begins a comment, but the text after it is a statement: {hidden}"
                hint = "give it a line of its own, or begin the comment with #"
                refuse(index, source[index].text.strip(), Refusal(reason, hint, comment.column))
    return _repeat(statements, table.constants, refuse)


def _statement_in_comment(comment: str, names: Container[str]) -> str | None:
    """The statement that GNU as would find after `;`, whose comments begin with # only: one reading would be wrong.

    `names`: what a statement can refer to. A `;` at the beginning of the line is always a comment.
    """
    try:
        hidden = parse_line(comment)
    except Refusal:
        return None
    body = hidden.body
    if isinstance(body, Instruction) and not (
        body.mnemonic in KNOWN and all(name in names or name == "." or name[0].isdigit() for name in body.names)
    ):
        return None
    return hidden.text or None


def _repeat(
    statements: list[Line], constants: Mapping[str, int], refuse: Callable[[int, str, Refusal], None]
) -> list[Line]:
    """The statements with each `.rept` written out; the labels before `.rept` and `.endr` stay outside."""
    result: list[Line] = []
    unfinished: list[tuple[Line, list[Line]]] = []  # each `.rept`, and the statements before it
    for line, statement in statements:
        name = statement.body.name if isinstance(statement.body, Directive) else None
        if name not in (".rept", ".endr") or (name == ".endr" and not unfinished):
            result.append((line, statement))
            continue
        labels = [(line, statement._replace(body=None))] if statement.labels else []
        if name == ".rept":
            unfinished.append(((line, statement), [*result, *labels]))
            result = []
            continue
        (start, rept), outer = unfinished.pop()
        try:
            count = _count(rept, constants)
            if len(unfinished) >= _DEPTH:
                raise Refusal(f"more than {_DEPTH} .rept inside each other")
            if count * len(result) + len(outer) > _LIMIT:
                raise Refusal(f"more than {_LIMIT} statements")
        except Refusal as refusal:
            refuse(start, rept.text, refusal)
            count = 1
        result = [*outer, *(result * count), *labels]
    for (line, statement), outer in reversed(unfinished):
        refuse(line, statement.text, Refusal(".rept without .endr"))
        result = outer
    return result


def _count(statement: Statement, constants: Mapping[str, int]) -> int:
    assert isinstance(statement.body, Directive)
    (node,) = arguments(statement.body, 1, 1)
    count = early_value(node, constants.get)
    if count is None:
        unknown = next(name for name in names_of(node) if name not in constants)
        raise Refusal(f"the count of .rept uses {unknown!r}, which is not a constant from outside")
    if count < 0:
        raise Refusal(f"a count of {count}")
    return count
