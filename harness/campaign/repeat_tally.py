"""Counts over many rounds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Repeats"]


@dataclass
class Repeats:
    """Counts over the rounds so far."""

    rounds: int
    cases: int
    runs: int = 0
    other_phase: int = 0  # cases whose times differ in warm runs, and nothing in cold ones
    different: int = 0

    def __str__(self) -> str:
        text = f"{self.rounds} rounds, {self.runs} runs: {self.cases - self.different} of {self.cases} cases the same"
        if self.other_phase:
            text += (
                f"; {self.other_phase} of them to the tick only from power-on (a clock that a reset does not restart "
                "has another value in each warm run)"
            )
        return text
