"""Where in a Python file the lines of an assembly text were written.

The call is found by its position in the byte code (`co_positions`, which survives pytest's assertion rewriting), the
text by the string literal among its arguments. Each line is then followed back through quotes, concatenation and
escapes to the Python line that it stands on. A text that was built elsewhere (an f-string, a variable, a helper's
result) can only be traced to the call; `Origin.within` then counts the lines inside the text.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from harness.assembly import Origin, SourceLine

__all__ = ["source_from_call"]

_QUOTES = re.compile(r"(?P<prefix>[a-zA-Z]*)(?P<quote>'''|\"\"\"|'|\")")
_ESCAPE = re.compile(r"\\(?:\r?\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|.)", re.DOTALL)
_LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class _Place(NamedTuple):
    """A place in a file: line and column, both from 1."""

    line: int
    column: int


def source_from_call(text: str, frame: FrameType, block: int = 0) -> list[SourceLine]:
    """The lines of a text handed over by the call that `frame` is making, each with its Python line.

    `block` is the scope of the text's local labels.
    """
    file = frame.f_code.co_filename
    shown = _shown(file, os.getcwd())  # noqa: PTH109 - a plain string is all that is needed
    line = frame.f_lineno or frame.f_code.co_firstlineno
    end = _end(frame)
    places = None
    if end is not None:
        found = _found(text, file, _stamp(file), end)
        if found is not None:
            line, places = found
    parts = text.splitlines()
    if places is None:
        return [SourceLine(part, Origin(shown, line, None, n), block) for n, part in enumerate(parts, start=1)]
    return [
        SourceLine(part, Origin(shown, place.line, place.column if place.column != 1 else None), block)
        for part, place in zip(parts, places, strict=True)
    ]


@lru_cache(maxsize=256)
def _shown(file: str, folder: str) -> str:
    """A file as it is named to a person: relative to the current folder, if it lies below."""
    try:
        return Path(file).resolve().relative_to(folder).as_posix()
    except (ValueError, OSError):
        return file


def _stamp(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _lines(file: str, stamp: int) -> tuple[str, ...]:
    """The lines of a Python file, with their ends; none if it cannot be read."""
    try:
        with tokenize.open(file) as stream:
            return tuple(stream)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ()


@lru_cache(maxsize=256)
def _calls(file: str, stamp: int) -> dict[tuple[int, int], ast.Call]:
    """Every call of a file by where it ends; no two calls end at the same place."""
    try:
        tree = ast.parse("".join(_lines(file, stamp)))
    except (SyntaxError, ValueError):
        return {}
    return {
        (node.end_lineno or 0, node.end_col_offset or 0): node for node in ast.walk(tree) if isinstance(node, ast.Call)
    }


def _end(frame: FrameType) -> tuple[int, int] | None:
    """Where the call that a frame is making ends: line and column."""
    if frame.f_lasti < 0:
        return None
    position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    if position is None or position[1] is None or position[3] is None:
        return None
    return position[1], position[3]


@lru_cache(maxsize=4096)
def _found(text: str, file: str, stamp: int, end: tuple[int, int]) -> tuple[int, list[_Place] | None] | None:
    """The line of the call that ends there, and the places of the text's lines; the same for each of a family."""
    call = _calls(file, stamp).get(end)
    return None if call is None else (call.lineno, _places(text, call, _lines(file, stamp)))


def _places(text: str, call: ast.Call, lines: tuple[str, ...]) -> list[_Place] | None:
    """The place of each line of the text, if one literal among the arguments holds it; else None."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    for argument in arguments:
        literal = argument
        if isinstance(argument, ast.Call) and argument.args:  # as in asm(dedent("""…"""))
            literal = argument.args[0]
        if not isinstance(literal, ast.Constant) or not isinstance(literal.value, str):
            continue
        start = _first_line(text, literal.value)
        if start is None:
            continue
        found = _literal_places(literal, lines)
        if found is None:
            continue
        wanted = text.splitlines()
        written = literal.value.splitlines()[start : start + len(wanted)]
        return [
            _Place(place.line, max(1, place.column + _margin(old) - _margin(new)))
            for place, old, new in zip(found[start:], written, wanted, strict=False)
        ]
    return None


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def _first_line(text: str, value: str) -> int | None:
    """At which line of a literal's value the text starts; indentation may differ. None if it is another text."""
    if text == value:
        return 0
    wanted = [line.strip() for line in text.splitlines()]
    written = [line.strip() for line in value.splitlines()]
    if not any(wanted) or [line for line in wanted if line] != [line for line in written if line]:
        return None
    leading = next(n for n, line in enumerate(written) if line) - next(n for n, line in enumerate(wanted) if line)
    if leading < 0 or written[leading : leading + len(wanted)] != wanted:
        return None
    return leading


def _literal_places(literal: ast.Constant, lines: tuple[str, ...]) -> list[_Place] | None:
    """The place of the first character of every line of a literal's value; None if it cannot be followed."""
    first, last = literal.lineno, literal.end_lineno or literal.lineno
    if last > len(lines):
        return None
    segment = list(lines[first - 1 : last])
    head = segment[0].encode()[: literal.col_offset].decode()
    segment[-1] = segment[-1].encode()[: literal.end_col_offset].decode()
    segment[0] = segment[0][len(head) :]
    characters: list[str] = []
    places: list[_Place] = []
    try:
        # In parentheses, so that pieces on several lines are one expression; both shifts are undone below.
        tokens = list(tokenize.generate_tokens(io.StringIO("(" + "".join(segment) + ")").readline))
    except (tokenize.TokenError, IndentationError):
        return None
    for token in tokens:
        if token.type != tokenize.STRING:
            continue
        row, column = token.start
        place = _Place(first + row - 1, column + 1 + (len(head) - 1 if row == 1 else 0))
        _follow(token.string, place, characters, places)
    if "".join(characters) != literal.value:
        return None
    return _line_starts("".join(characters), places)


def _follow(string: str, place: _Place, characters: list[str], places: list[_Place]) -> None:
    """Add every character of one quoted piece, and where it stands."""
    match = _QUOTES.match(string)
    assert match is not None
    raw = "r" in match.group("prefix").lower()
    end = len(string) - len(match.group("quote"))
    position = match.end()
    line, column = place.line, place.column + position
    while position < end:
        escape = None if raw or string[position] != "\\" else _ESCAPE.match(string, position)
        written = escape.group() if escape else string[position]
        if escape is None:
            meant = written
        elif written[1:].strip("\r") == "\n":
            meant = ""
        else:
            meant = ast.literal_eval(f'"{written}"') if written != "\\'" else "'"
        for character in meant:
            characters.append(character)
            places.append(_Place(line, column))
        position += len(written)
        if written.endswith("\n"):
            line, column = line + 1, 1
        else:
            column += len(written)


def _line_starts(value: str, places: list[_Place]) -> list[_Place]:
    """The place of each line: that of its first character (of its first visible one, where it goes on elsewhere)."""
    starts: list[_Place] = []
    position = 0
    for line in value.splitlines(keepends=True):
        body = line.rstrip(_LINE_ENDS)
        margin = _margin(body)
        visible = places[position + margin] if margin < len(body) else places[position]
        starts.append(_Place(visible.line, visible.column - margin) if margin < len(body) else visible)
        position += len(line)
    return starts
