"""Where in a Python file the lines of an assembly text were written."""

from __future__ import annotations

from types import FrameType

from harness.assembly.source import Origin, SourceLine

__all__ = ["source_from_call"]


def source_from_call(text: str, frame: FrameType, block: int = 0) -> list[SourceLine]:
    """The lines of a text handed over by a call that `frame` is making, each with its Python line."""
    file, line = frame.f_code.co_filename, frame.f_lineno
    return [
        SourceLine(part, Origin(file, line, None, number), block)
        for number, part in enumerate(text.splitlines(), start=1)
    ]
