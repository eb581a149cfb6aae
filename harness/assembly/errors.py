"""What is told to a person when a statement cannot be assembled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.assembly.source import Origin

__all__ = ["AssemblyError", "Problem", "Refusal"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One refused statement: where it stands, what it says, why it is refused and what to write instead."""

    origin: Origin
    statement: str
    reason: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        statement = f" `{self.statement}`:" if self.statement else ""
        return f"{self.origin}:{statement} {self.reason}{hint}"


class AssemblyError(Exception):
    """The source was refused; `problems` says every reason that was found, in source order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[AssemblyError], tuple[tuple[Problem, ...]]]:
        return (type(self), (self.problems,))


class Refusal(Exception):  # noqa: N818 - a reason on its way to becoming a Problem, not an error by itself
    """Raised inside the assembler by whoever knows a reason but not the line; becomes a `Problem`."""

    def __init__(self, reason: str, suggestion: str | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.suggestion = suggestion
        self.column = column
