"""Lines to statements, with `.rept` written out."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Final

from harness.assembly.directives import arguments
from harness.assembly.expression import early_value, names_of
from harness.assembly.mnemonics import KNOWN
from harness.assembly.source import Refusal, SourceLine
from harness.assembly.statement import Assignment, Directive, Instruction, Statement, parse_line, strip_comment

__all__ = ["expand"]

_LIMIT: Final = 100_000
_DEPTH: Final = 20


def expand(
    source: Sequence[SourceLine],
    constants: Mapping[str, int],
    symbols: Iterable[str],
    refuse: Callable[[int, str, Refusal], None],
) -> list[tuple[int, Statement]]:
    """Every statement with the index of its source line; a line that cannot be parsed is refused and left out."""
    statements: list[tuple[int, Statement]] = []
    repeats = False
    doubtful: list[int] = []
    for index, line in enumerate(source):
        try:
            statement = parse_line(line.text)
        except Refusal as refusal:
            refuse(index, line.text.strip(), refusal)
            continue
        if statement.body is None and not statement.labels:
            continue
        if isinstance(statement.body, Directive) and statement.body.name == ".rept":
            repeats = True
        if ";" in line.text:
            doubtful.append(index)
        statements.append((index, statement))
    if doubtful:
        names = {*constants, *symbols, *(label for _, statement in statements for label in statement.labels)}
        for index in doubtful:
            try:
                _refuse_statement_in_comment(source[index].text, names)
            except Refusal as refusal:
                refuse(index, source[index].text.strip(), refusal)
    return _repeat(statements, constants, refuse) if repeats else statements


def _refuse_statement_in_comment(text: str, names: Container[str]) -> None:
    """Refuse a line whose comment would be a second statement to GNU as: one of the two readings would be wrong.

    `names`: what a statement can refer to. A `;` at the beginning of the line is always a comment.
    """
    at = len(strip_comment(text))
    if not text[:at].strip() or text[at : at + 1] != ";":
        return
    comment = text[at + 1 :]
    try:
        hidden = parse_line(comment).body
    except Refusal:
        return
    match hidden:
        case Instruction(mnemonic=mnemonic, names=used) if mnemonic in KNOWN and all(
            name in names or name == "." or name[0].isdigit() for name in used
        ):
            pass
        case Directive() | Assignment():
            pass
        case _:
            return
    reason = f"; begins a comment, but the text after it is a statement: {strip_comment(comment).strip()}"
    raise Refusal(reason, "give it a line of its own, or begin the comment with #", at + 1)


def _repeat(
    statements: list[tuple[int, Statement]], constants: Mapping[str, int], refuse: Callable[[int, str, Refusal], None]
) -> list[tuple[int, Statement]]:
    """The statements with each `.rept` written out; the labels before `.rept` and `.endr` stay outside."""
    result: list[tuple[int, Statement]] = []
    open_ones: list[tuple[int, Statement, list[tuple[int, Statement]]]] = []
    for line, statement in statements:
        name = statement.body.name if isinstance(statement.body, Directive) else None
        if name not in (".rept", ".endr") or (name == ".endr" and not open_ones):
            result.append((line, statement))
            continue
        labels = [(line, Statement(statement.labels, None, ""))] if statement.labels else []
        if name == ".rept":
            open_ones.append((line, statement, [*result, *labels]))
            result = []
            continue
        start, rept, outer = open_ones.pop()
        try:
            count = _count(rept, constants)
            if len(open_ones) >= _DEPTH:
                raise Refusal(f"more than {_DEPTH} .rept inside each other")
            if count * len(result) + len(outer) > _LIMIT:
                raise Refusal(f"more than {_LIMIT} statements")
        except Refusal as refusal:
            refuse(start, rept.text, refusal)
            count = 1
        result = [*outer, *(result * count), *labels]
    for line, statement, outer in reversed(open_ones):
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
