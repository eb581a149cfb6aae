"""Source lines with their origin, and the problems that are reported about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["AssemblyError", "AssemblyProblem", "Origin", "Refusal", "SourceLine", "source_from_text"]


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
        column = f":{self.column}" if self.column is not None else ""
        within = f" (line {self.within} of the text)" if self.within is not None else ""
        return f"{self.file}:{self.line}{column}{within}"


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of assembly. `block` is the scope in which its local labels (`1:`, `.Lname`) are known."""

    text: str
    origin: Origin
    block: int = 0


def source_from_text(text: str, file: str, first_line: int = 1, block: int = 0) -> list[SourceLine]:
    """Split a whole text, such as that of an `.asm` file, into lines with their origin."""
    return [
        SourceLine(line, Origin(file, number), block) for number, line in enumerate(text.splitlines(), start=first_line)
    ]


@dataclass(frozen=True, slots=True)
class AssemblyProblem:
    """One refused statement: its place, its text, why it is refused and what to write instead."""

    origin: Origin
    statement: str
    reason: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        statement = f" `{self.statement}`:" if self.statement else ""
        return f"{self.origin}:{statement} {self.reason}{hint}"


class AssemblyError(Exception):
    """The source was refused; `problems` holds every reason, in source order."""

    def __init__(self, problems: Iterable[AssemblyProblem]) -> None:
        self.problems: tuple[AssemblyProblem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[AssemblyError], tuple[tuple[AssemblyProblem, ...]]]:
        return (type(self), (self.problems,))


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - a reason on its way to becoming an AssemblyProblem, not an error of its own
    """Raised inside the assembler where the reason is known but not the line; becomes an `AssemblyProblem`."""

    reason: str
    suggestion: str | None = None
    column: int | None = None
