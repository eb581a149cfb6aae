"""Source lines that know where they were written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Origin", "SourceLine", "source_from_text"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The place that a line of assembly was written at.

    `line` counts from 1, `column` (of the first character of the line of assembly or of what is wrong in it) from 1.
    `within` is the line inside a text that was built elsewhere, for which `line` can only be that of the call.
    """

    file: str
    line: int
    column: int | None = None
    within: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        if self.column is not None:
            place += f":{self.column}"
        if self.within is not None:
            place += f" (line {self.within} of the text)"
        return place


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of assembly. `block` is the scope in which its local labels (`1:`, `.Lname`) are known."""

    text: str
    origin: Origin
    block: int = 0


def source_from_text(text: str, file: str, first_line: int = 1, block: int = 0) -> list[SourceLine]:
    """Split a whole text, such as that of an `.asm` file, into lines that know their place."""
    return [
        SourceLine(line, Origin(file, number), block) for number, line in enumerate(text.splitlines(), start=first_line)
    ]
