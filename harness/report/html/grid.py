"""The grid of probes × targets, differences first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.html.model import ReportedRun
from harness.run.record import Verdict

__all__ = ["CellPart", "Grid", "GridRow", "make_grid"]

_ROWS = 2000  # of probes


@dataclass(frozen=True)
class CellPart:
    """The cases of one probe on one target that have one verdict; `number` is the first of them."""

    verdict: Verdict
    text: str
    number: int


@dataclass(frozen=True)
class GridRow:
    """One probe: for each target the parts of its cell; empty where it was not run."""

    probe: str
    cells: Sequence[Sequence[CellPart]]


@dataclass(frozen=True)
class Grid:
    """`differing`: probes with a fail, an error, or with verdicts that differ between targets; `same`: all others."""

    targets: Sequence[str]
    differing: Sequence[GridRow]
    same: Sequence[GridRow]
    left_out: int


def make_grid(runs: Sequence[ReportedRun]) -> Grid | None:
    """The grid; None where all runs are on one target."""
    targets = list(dict.fromkeys(run.target for run in runs))
    if len(targets) < 2:
        return None
    places = {target: number for number, target in enumerate(targets)}
    probes: dict[str, list[list[tuple[int, ReportedRun]]]] = {}
    for number, run in enumerate(runs):
        cells = probes.setdefault(run.probe.partition("[")[0], [[] for _ in targets])
        cells[places[run.target]].append((number, run))
    rows: list[tuple[int, GridRow]] = []
    for probe, cells in probes.items():
        found = [run for cell in cells for _, run in cell]
        rank = 0 if any(not run.ok for run in found) else 1 if _differs(found) else 2
        rows.append((rank, GridRow(probe, [_parts(cell) for cell in cells])))
    rows.sort(key=lambda row: row[0])
    return Grid(
        targets,
        [row for rank, row in rows[:_ROWS] if rank < 2],
        [row for rank, row in rows[:_ROWS] if rank == 2],
        max(len(rows) - _ROWS, 0),
    )


def _differs(runs: Sequence[ReportedRun]) -> bool:
    """Whether the verdict of a case differs between targets; `unsupported` does not count."""
    verdicts: dict[str, set[Verdict]] = {}
    for run in runs:
        verdicts.setdefault(run.probe, set()).add(run.verdict)
    return any(len(found - {Verdict.UNSUPPORTED}) > 1 for found in verdicts.values())


def _parts(cell: Sequence[tuple[int, ReportedRun]]) -> list[CellPart]:
    counts = Counter(run.verdict for _, run in cell)
    first = {run.verdict: number for number, run in reversed(cell)}
    return [
        CellPart(verdict, str(verdict) if len(counts) == 1 else f"{counts[verdict]} {verdict}", first[verdict])
        for verdict in Verdict
        if counts[verdict]
    ]
