"""The verdict table: counts and time by area and target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from harness.report.text import plural, seconds
from harness.run.record import RunRecord, Verdict

__all__ = ["STYLES", "Result", "exit_code", "headline", "verdict_table"]

STYLES: Mapping[Verdict, str] = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.DEVIATION: "yellow",
    Verdict.UNSUPPORTED: "cyan",
    Verdict.ERROR: "bold magenta",
}


@dataclass(frozen=True)
class Result:
    """One run's record, with the area that its probe belongs to."""

    area: str
    record: RunRecord


def exit_code(records: Iterable[RunRecord]) -> int:
    """3 if any `error`, else 1 if any `fail`, else 0; `unsupported` and `deviation` alone are 0."""
    verdicts = {record.verdict for record in records}
    if Verdict.ERROR in verdicts:
        return 3
    return 1 if Verdict.FAIL in verdicts else 0


def verdict_table(results: Sequence[Result]) -> Table:
    """A row for each area and target, a column for each verdict that occurred, and the total."""
    shown = [v for v in Verdict if v is Verdict.PASS or any(r.record.verdict is v for r in results)]
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, header_style="bold", footer_style="bold")
    totals = Counter(result.record.verdict for result in results)
    table.add_column("area", "total")
    table.add_column("target")
    for verdict in shown:
        table.add_column(str(verdict), str(totals[verdict]), justify="right")
    table.add_column("time", seconds(sum(result.record.ms for result in results)), justify="right")
    rows: dict[tuple[str, str], list[RunRecord]] = {}
    for result in results:
        rows.setdefault((result.area, result.record.target), []).append(result.record)
    before = ""
    for (area, target), records in sorted(rows.items(), key=lambda row: row[0][0]):
        counts = Counter(record.verdict for record in records)
        cells = [Text(str(counts[v]), STYLES[v]) if counts[v] else Text("·", "dim") for v in shown]
        table.add_row(
            Text(area if area != before else ""), target, *cells, seconds(sum(record.ms for record in records))
        )
        before = area
    return table


def headline(results: Sequence[Result], planned: int, elapsed_ms: float) -> Text:
    """The last line: one word, and the counts that it follows from."""
    counts = Counter(result.record.verdict for result in results)
    worst = {3: Verdict.ERROR, 1: Verdict.FAIL, 0: Verdict.PASS}[exit_code(result.record for result in results)]
    if len(results) < planned and worst is Verdict.PASS:
        word, style = "INCOMPLETE", "bold yellow"
    elif worst is Verdict.PASS and not counts[Verdict.PASS] and not counts[Verdict.DEVIATION]:
        word, style = "UNSUPPORTED", "bold cyan"
    else:
        word, style = str(worst).upper(), STYLES[worst]
    targets = {result.record.target for result in results}
    did = plural(len(results), "run") + (f" of {planned}" if len(results) < planned else "")
    parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    text = Text(word, style)
    text.append(f"  {did} on {plural(len(targets), 'target')}", "default not bold")
    text.append(f": {parts}" if parts else "", "default not bold")
    text.append(f", in {seconds(elapsed_ms)}", "default not bold")
    return text
