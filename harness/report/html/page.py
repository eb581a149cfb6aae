"""The HTML report as one document."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from harness.one_line import one_line
from harness.report.comparison import Change, ChangeKind
from harness.report.html.grid import make_grid
from harness.report.html.model import ReportContent, ReportedRun
from harness.report.html.packing import PER_CHUNK, pack
from harness.report.html.sections import ICONS, section, template
from harness.report.text import seconds
from harness.run.record import Verdict

__all__ = ["render_page"]

_WHOLE = 40  # fails and errors whose sections are in the page itself, for readers without JavaScript
_FAILURES = 60  # in the list at the top
_CHANGES = 400  # of one kind
_SLOWEST = 10


@dataclass(frozen=True)
class RunRow:
    """One run in the list of results."""

    number: int
    run: ReportedRun
    time: str
    reason: str
    section: Markup | None = None


@dataclass(frozen=True)
class AreaRow:
    """A row of the table of verdicts."""

    area: str
    target: str
    counts: Sequence[tuple[Verdict, int]]
    time: str


@dataclass(frozen=True)
class Inline:
    """A style sheet or a script of the page, with its digest for the Content Security Policy."""

    text: Markup
    digest: str


def render_page(report: ReportContent, version: str, changes: Sequence[Change] | None = None, old: str = "") -> bytes:
    """The document: UTF-8, complete in itself. `changes`: those since the report `old`."""
    runs = report.runs
    counts = Counter(run.verdict for run in runs)
    verdicts = [verdict for verdict in Verdict if counts[verdict] or verdict is Verdict.PASS]
    red = [number for number, run in enumerate(runs) if not run.ok]
    whole = set(red[:_WHOLE])
    sections = [section(run) for run in runs]
    rows = [
        RunRow(
            number,
            run,
            seconds(run.ms),
            one_line(run.reason),
            Markup(sections[number]) if number in whole else None,
        )
        for number, run in enumerate(runs)
    ]
    areas = sorted({run.area for run in runs})
    text = template("page.html.j2").render(
        report=report,
        version=version,
        headline=report.title,
        worst=_worst(counts),
        icons=ICONS,
        verdicts=verdicts,
        failures=[rows[number] for number in red[:_FAILURES]],
        failures_left_out=max(len(red) - _FAILURES, 0),
        grid=make_grid(runs),
        comparison=None if changes is None else _comparison(changes, old),
        areas=_area_rows(runs, verdicts),
        totals=[(verdict, counts[verdict]) for verdict in verdicts],
        total_time=seconds(sum(run.ms for run in runs)),
        slowest=sorted(rows, key=lambda row: -row.run.ms)[:_SLOWEST],
        area_names=[area for area in areas if area],
        target_names=list(dict.fromkeys(run.target for run in runs)),
        deviation_names=sorted({run.deviation for run in runs if run.deviation}),
        groups=[{"area": area, "rows": [row for row in rows if row.run.area == area]} for area in areas],
        packed=len(whole) < len(runs),
        chunks=pack(["" if number in whole else text for number, text in enumerate(sections)]),
        per_chunk=PER_CHUNK,
        style=_inline("report.css"),
        script=_inline("report.js"),
    )
    return text.encode()


def _comparison(changes: Sequence[Change], old: str) -> dict[str, Any]:
    groups = [(kind, [change for change in changes if change.kind is kind]) for kind in ChangeKind]
    return {
        "old": old,
        "groups": [(kind, found[:_CHANGES], len(found) - len(found[:_CHANGES])) for kind, found in groups if found],
    }


def _worst(counts: Counter[Verdict]) -> Verdict:
    return next((verdict for verdict in (Verdict.ERROR, Verdict.FAIL) if counts[verdict]), Verdict.PASS)


def _area_rows(runs: Iterable[ReportedRun], verdicts: Sequence[Verdict]) -> list[AreaRow]:
    groups: dict[tuple[str, str], list[ReportedRun]] = {}
    for run in runs:
        groups.setdefault((run.area, run.target), []).append(run)
    found = []
    for (area, target), members in sorted(groups.items(), key=lambda item: item[0][0]):
        counts = Counter(run.verdict for run in members)
        found.append(
            AreaRow(
                area, target, [(verdict, counts[verdict]) for verdict in verdicts], seconds(sum(r.ms for r in members))
            )
        )
    return found


def _inline(name: str) -> Inline:
    text = (files(__package__) / "templates" / name).read_text(encoding="utf-8")
    digest = b64encode(sha256(text.encode()).digest()).decode()
    return Inline(Markup(text), f"sha256-{digest}")
