"""`trapgate matrix`: compare all targets that this host can run."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, product
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.campaign.sharding import default_workers
from harness.campaign.worker_pool import WorkerPoolError
from harness.commands.options import HtmlFile, Jobs, Selection, selecting
from harness.commands.other_qemus import other_qemus
from harness.commands.planning import usage_error
from harness.one_line import one_line
from harness.probes.probe import Case
from harness.qemu.errors import QemuError
from harness.report.atomic import check_writable, write_atomic
from harness.report.entry import report_entry
from harness.report.summary import STYLES, exit_code
from harness.report.terminal import make_console
from harness.report.text import plural, printable
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

if TYPE_CHECKING:
    from harness.campaign.matrix import Column, Row

__all__ = ["matrix_command"]

_SHORT = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "FAIL",
    Verdict.DEVIATION: "dev",
    Verdict.UNSUPPORTED: "–",
    Verdict.ERROR: "ERROR",
}


@selecting
def matrix_command(
    selection: Selection,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every record as JSON, with its QEMU's version.")
    ] = None,
    html_file: HtmlFile = None,
    jobs: Jobs = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show each probe, not only those whose verdicts differ.")
    ] = False,
) -> None:
    """Run probes on every target (or those of --target) and every QEMU, and show the differences.

    Each --qemu is one more QEMU (repeatable); without it those of TRAPGATE_QEMU (paths separated by colons), else all
    that `make qemu-all` put into qemus/.

    Exit codes: those of `trapgate run`.
    """
    from harness.campaign.matrix import columns, rows

    given = selection.qemu if "qemu" not in selection.defaults else None
    binaries = given or [path for path in os.environ.get("TRAPGATE_QEMU", "").split(os.pathsep) if path]
    binaries = binaries or selection.qemu or [str(path) for path in other_qemus()]
    choice = selection.plan(("all",), qemu=False)
    cases = choice.cases
    try:
        found = columns([target for target, chosen in choice.runs if chosen], binaries)
    except QemuError as error:
        usage_error(str(error))
    try:
        if html_file is not None:
            check_writable(html_file)
    except OSError as error:
        usage_error(f"--html {html_file}: {error.strerror}")
    records = _run(found, cases, selection.run_options(), jobs)
    lacking = [number for number, column in enumerate(records) if _lacks_all(column)]
    shown = [number for number in range(len(found)) if number not in lacking]
    _show(
        [found[number] for number in shown], rows(cases, [records[number] for number in shown]), everything=everything
    )
    console = make_console()
    for number in lacking:
        console.print(Text(f"{found[number].title}: {records[number][0].reason}", "cyan"), soft_wrap=True)
    entries = [
        {"qemu": column.version, **report_entry(record)}
        for column, cells in zip(found, records, strict=True)
        for record in cells
    ]
    if json_file is not None:
        try:
            write_atomic(json_file, (json.dumps(entries, indent=1) + "\n").encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    code = exit_code(record for column in records for record in column)
    if html_file is not None:
        from harness.report.html.html_file import write_html  # loads jinja2 and the register maps: not for --help

        try:
            write_html(html_file, entries)
        except OSError as error:
            problem = f"--html {html_file}: {error.strerror}; it was not written"
            make_console(stderr=True).print(Text(problem, "bold magenta"), soft_wrap=True)
            code = code or 3
    raise typer.Exit(code)


def _run(
    found: Sequence[Column], cases: Sequence[Case], options: RunOptions, jobs: int | None
) -> list[list[RunRecord]]:
    from harness.campaign.parallel import run_cases

    runs = [(column.target, case) for column in found for case in cases]
    records: dict[int, RunRecord] = {}
    console = make_console(stderr=True)
    bar = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*bar, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(runs))
        try:
            for number, record in run_cases(runs, options, jobs or default_workers(len(runs))):
                records[number] = record
                progress.update(task, advance=1, description=f"{record.probe}  {record.target}")
        except WorkerPoolError as error:
            console.print(Text(str(error), "bold magenta"), soft_wrap=True)
            raise typer.Exit(3) from None
    size = len(cases)
    return [[records[at * size + number] for number in range(size)] for at in range(len(found))]


def _lacks_all(records: Sequence[RunRecord]) -> bool:
    return all(record.verdict is Verdict.UNSUPPORTED for record in records)


def _show(found: Sequence[Column], table_rows: Sequence[Row], *, everything: bool) -> None:
    console = make_console()
    chosen = [row for row in table_rows if everything or row.bad or row.differs]
    if chosen:
        console.print(_table(found, chosen))
    for row in chosen:
        if row.bad or row.differs:
            _explain(found, row)
    same = [row for row in table_rows if row not in chosen]
    areas = Counter(row.area for row in same)
    listed = ", ".join(f"{area} {number}" for area, number in sorted(areas.items()))
    text = f"{plural(len(same), 'probe')} the same on all {plural(len(found), 'target')}"
    console.print(f"{text}: {listed}" if listed else text, soft_wrap=True)


def _table(found: Sequence[Column], chosen: Sequence[Row]) -> Table:
    """A column for each group of targets with equal verdicts, named by a letter that the caption explains."""
    groups: dict[tuple[tuple[Verdict, ...], ...], list[int]] = {}
    for number in range(len(found)):
        groups.setdefault(tuple(tuple(r.verdict for r in row.cells[number]) for row in chosen), []).append(number)
    legend = [
        f"{letter}: {', '.join(found[number].title for number in members)}"
        for letter, members in zip(_letters(), groups.values(), strict=False)
    ]
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        caption="\n".join(legend),
        caption_justify="left",
        caption_style="default",
    )
    table.add_column("probe", overflow="fold", ratio=1)
    for letter, _ in zip(_letters(), groups, strict=False):
        table.add_column(letter, justify="center", no_wrap=True)
    for row in chosen:
        table.add_row(row.probe, *(_cell(row.cells[members[0]]) for members in groups.values()))
    return table


def _letters() -> Iterator[str]:
    """A to Z, then AA, AB and so on."""
    for length in count(1):
        yield from map("".join, product(ascii_uppercase, repeat=length))


def _cell(records: Sequence[RunRecord]) -> Text:
    """`pass`, or where a probe's cases differ: `12 pass` over `3 dev`."""
    counts = Counter(record.verdict for record in records)
    text = Text()
    for verdict in Verdict:
        if counts[verdict]:
            text.append("\n" if text else "")
            word = _SHORT[verdict]
            text.append(word if len(counts) == 1 else f"{counts[verdict]} {word}", STYLES[verdict])
    return text


def _explain(found: Sequence[Column], row: Row) -> None:
    """Each reason once, with the targets that have it."""
    console = make_console()
    console.print(Text(row.probe, "bold"), soft_wrap=True)
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for column, cell in zip(found, row.cells, strict=True):
        for record in cell:
            if record.verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.DEVIATION):
                reason = printable(one_line(record.reason))
                titles = reasons.setdefault((record.verdict, reason), [])
                if column.title not in titles:
                    titles.append(column.title)
    for (verdict, reason), titles in reasons.items():
        line = Text(f"  {verdict} ", STYLES[verdict])
        line.append(f"{reason} ", "default not bold")
        line.append(f"on {', '.join(titles)}", "dim not bold")
        console.print(line, soft_wrap=True)
