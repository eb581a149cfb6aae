"""Standard output and error that cannot end a run where they are full or closed, or lack characters of a report."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

__all__ = ["GuardedStream", "guard_streams"]

_READER_LEFT = 141  # as a shell shows a program that SIGPIPE ended
_FAILED = 3
_PLAIN = {
    "─": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+",
    "┤": "+", "…": "...", "·": ".", "×": "x", "–": "-", "—": "--", "µ": "u", "μ": "u", "→": "->",
    "≥": ">=", "≤": "<=", "⁶": "^6",
    "‘": "'", "’": "'", "“": '"', "”": '"', "━": "-", "╸": "-", "╺": "-", "•": "*",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    """The characters of our reports in ASCII; any other as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


codecs.register_error("trapgate", _replace)


class GuardedStream:
    """A text stream that accepts every text, also where the stream below fails."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.problem: OSError | None = None  # the first failure to write; all later output is dropped
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        """Write, or drop the text where an earlier write failed."""
        if self.problem is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As `write`, for each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what can be flushed."""
        if self.problem is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.problem = error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())  # the rest of the buffer is written there, now or when Python ends
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def settle(self, code: int) -> int:
        """The exit code, after the last flush; reports on standard error that output was lost."""
        self.flush()
        if self.problem is None:
            return code
        if self.problem.errno == errno.EPIPE:
            return code or _READER_LEFT
        if self._name == "standard output":
            text = f"trapgate: {self._name}: {self.problem.strerror}: the output is not complete"
            print(text, file=sys.stderr)
        return _FAILED


def guard_streams() -> tuple[GuardedStream, GuardedStream]:
    """Put guards before standard output and standard error; the caller lets them `settle` the exit code.

    A stream that is closed is replaced by the null device, so that no file of ours gets its number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    guards = []
    for descriptor, name, attribute in ((1, "standard output", "stdout"), (2, "standard error", "stderr")):
        stream = getattr(sys, attribute) or os.fdopen(descriptor, "w", encoding="utf-8", closefd=False)
        if hasattr(stream, "reconfigure") and not codecs.lookup(stream.encoding).name.startswith("utf"):
            stream.reconfigure(errors="trapgate")
        guard = GuardedStream(stream, name)
        setattr(sys, attribute, cast(TextIO, guard))
        guards.append(guard)
    return guards[0], guards[1]
