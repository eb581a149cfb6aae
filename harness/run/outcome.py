"""The outcome of a run before it is a record: the verdict, its reason and the recorded deviation."""

from __future__ import annotations

from typing import NamedTuple

from harness.one_line import one_line
from harness.run.record import Verdict

__all__ = ["Outcome", "recorded"]


class Outcome(NamedTuple):
    """`deviation`: the reference of the deviation that the run shows, or that a `fail` no longer shows; else empty."""

    verdict: Verdict
    reason: str
    deviation: str = ""


def recorded(reason: str, reference: str) -> Outcome:
    """A failure that is recorded as a deviation."""
    return Outcome(Verdict.DEVIATION, f"{one_line(reason)} (recorded: {reference})", reference)
