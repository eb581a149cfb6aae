"""Compares two reports: what became worse or better, what has other evidence, what appeared and what disappeared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.evidence.differences import sequence_difference
from harness.one_line import one_line
from harness.report.html.model import ReportedRun
from harness.run.record import Verdict

__all__ = ["Change", "ChangeKind", "compare_runs"]

_RED = (Verdict.FAIL, Verdict.ERROR)
_BEFORE, _PART = 60, 120  # characters of a reason before its first difference, and altogether
_RANK = {Verdict.PASS: 0, Verdict.DEVIATION: 1, Verdict.UNSUPPORTED: 2, Verdict.FAIL: 3, Verdict.ERROR: 3}


class ChangeKind(StrEnum):
    """The kinds of changes, the most important one first."""

    WORSE = "worse"  # pass, deviation, unsupported, fail or error: in this order
    BETTER = "better"
    EVIDENCE = "other evidence"  # with the same verdict, or a fail that is an error now
    APPEARED = "appeared"
    DISAPPEARED = "disappeared"


@dataclass(frozen=True)
class Change:
    """A run that differs. `number` is its place in the new report; `before` and `after` are None where there is no run.

    `difference`: the first one, in a line.
    """

    kind: ChangeKind
    probe: str
    target: str
    before: Verdict | None
    after: Verdict | None
    difference: str
    number: int | None = None


def compare_runs(old: Sequence[ReportedRun], new: Sequence[ReportedRun]) -> list[Change]:
    """Every change, by kind, then in the order of the new report. Runs are equal by case and target."""
    before = dict(_named(old))
    changes = []
    for number, (key, run) in enumerate(_named(new)):
        earlier = before.pop(key, None)
        if earlier is None:
            changes.append(
                Change(ChangeKind.APPEARED, run.probe, run.target, None, run.verdict, one_line(run.reason), number)
            )
        elif (found := _change(earlier, run, number)) is not None:
            changes.append(found)
    changes += [
        Change(ChangeKind.DISAPPEARED, run.probe, run.target, run.verdict, None, one_line(run.reason))
        for run in before.values()
    ]
    order = list(ChangeKind)
    return sorted(changes, key=lambda change: (order.index(change.kind), change.after not in _RED))


def _named(runs: Iterable[ReportedRun]) -> Iterable[tuple[tuple[str, str, int], ReportedRun]]:
    """Each run with its key; a case that ran several times is numbered."""
    seen: dict[tuple[str, str], int] = {}
    for run in runs:
        times = seen[run.probe, run.target] = seen.get((run.probe, run.target), -1) + 1
        yield (run.probe, run.target, times), run


def _change(old: ReportedRun, new: ReportedRun, number: int) -> Change | None:
    was, now = _RANK[old.verdict], _RANK[new.verdict]
    if was == now:
        kind, difference = ChangeKind.EVIDENCE, _evidence(old, new)
    else:
        kind = ChangeKind.WORSE if now > was else ChangeKind.BETTER
        difference = one_line(new.reason) or _evidence(old, new)
    if was == now and not difference:
        return None
    return Change(kind, new.probe, new.target, old.verdict, new.verdict, difference, number)


def _evidence(old: ReportedRun, new: ReportedRun) -> str:
    """The first difference in the evidence: verdict, interrupts of each processor, marks, recorded deviation, reason.

    Times and the program's values are not compared, because they change with every change of the guest.
    """
    found = sequence_difference(
        sorted(old.interrupts, key=lambda interrupt: interrupt.cpu),
        sorted(new.interrupts, key=lambda interrupt: interrupt.cpu),
    )
    if found:
        return found
    marks, earlier = [[(mark.cpu, mark.name) for mark in run.marks] for run in (new, old)]
    if sorted(marks) != sorted(earlier):
        return f"the marks are {_names(marks)}, they were {_names(earlier)}"
    if old.deviation != new.deviation:
        return f"the recorded deviation is {new.deviation or 'none'}, it was {old.deviation or 'none'}"
    if (old.verdict, old.reason) != (new.verdict, new.reason):
        return _texts(one_line(new.reason), one_line(old.reason))
    return ""


def _texts(new: str, old: str) -> str:
    """Both reasons, shortened to the part around their first difference."""
    common = next((n for n, (a, b) in enumerate(zip(new, old, strict=False)) if a != b), min(len(new), len(old)))
    start = max(common - _BEFORE, 0)
    shown, was = [
        "…" * (start > 0) + text[start : start + _PART] + "…" * (len(text) > start + _PART) for text in (new, old)
    ]
    return f"{shown or 'no reason'}; it was: {was or 'no reason'}"


def _names(marks: Sequence[tuple[int, str]]) -> str:
    most = 6
    names = [name for _, name in marks[:most]] + ["…"] * (len(marks) > most)
    return ", ".join(names) or "none"
