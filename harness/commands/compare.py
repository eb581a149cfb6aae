"""`trapgate compare`: the changes between two JSON reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.commands.options import HtmlFile
from harness.commands.planning import usage_error
from harness.report.summary import STYLES
from harness.report.terminal import make_console
from harness.run.record import Verdict

if TYPE_CHECKING:
    from harness.report.comparison import Change
    from harness.report.html.model import ReportContent

__all__ = ["compare_command"]

_SHOWN = 20  # changes of one kind


def compare_command(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="The report before the change.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The report after it.")],
    html_file: HtmlFile = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every change, not only 20 of each kind.")] = False,
) -> None:
    """Compare two files of `trapgate run --json`: of two releases of QEMU, of two branches, of two days.

    Worse is a verdict that is later in this order: pass, deviation, unsupported, fail or error. Runs that appeared or
    disappeared, and other evidence with the same verdict, are listed and are not worse (docs/report.md).

    Exit codes: 0 nothing became worse; 1 something did, or the new report is not complete; 2 a report cannot be read;
    3 the HTML report cannot be written.
    """
    from harness.report.comparison import ChangeKind, compare_runs  # loads register maps: not for --help
    from harness.report.html.html_file import write_page

    before, after = _read(old), _read(new)
    changes = compare_runs(before.runs, after.runs)
    console = make_console()
    for kind in ChangeKind:
        _show(console, str(kind), [change for change in changes if change.kind is kind], everything=everything)
    counts = Counter(change.kind for change in changes)
    _sum_up(console, before, after, {str(kind): counts[kind] for kind in ChangeKind})
    code = 1 if counts[ChangeKind.WORSE] or not after.complete else 0
    if html_file is not None:
        try:
            write_page(html_file, after, changes, str(old))
        except OSError as error:
            problem = f"--html {html_file}: {error.strerror}; it was not written"
            make_console(stderr=True).print(Text(problem, "bold magenta"), soft_wrap=True)
            code = code or 3
    raise typer.Exit(code)


def _read(path: Path) -> ReportContent:
    from harness.report.html.html_file import read_report_file
    from harness.report.html.model import ReportFileError

    try:
        return read_report_file(path)
    except ReportFileError as error:
        usage_error(f"{path}: {error}")


def _show(console: Console, kind: str, changes: Sequence[Change], *, everything: bool) -> None:
    if not changes:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=kind, title_justify="left")
    table.title_style = "bold"
    table.add_column("was", no_wrap=True)
    table.add_column("is", no_wrap=True)
    table.add_column("run", overflow="fold", ratio=1)
    shown = changes if everything else changes[:_SHOWN]
    for change in shown:
        run = Text(change.probe)
        run.append(f"  {change.target}", "dim")
        if change.difference:
            run.append(f"\n{change.difference}", "dim")
        table.add_row(_word(change.before), _word(change.after), run)
    console.print(table)
    if len(shown) < len(changes):
        console.print(Text(f"{len(changes) - len(shown)} more: --all shows them\n", "dim"))


def _word(verdict: Verdict | None) -> Text:
    return Text("–", "dim") if verdict is None else Text(str(verdict), STYLES[verdict])


def _sum_up(console: Console, before: ReportContent, after: ReportContent, counts: dict[str, int]) -> None:
    for name, content in (("old", before), ("new", after)):
        incomplete = "" if content.complete else f"; not complete: {content.cause}"
        console.print(Text(f"{name}: {content.title}{incomplete}", "dim"), soft_wrap=True)
    word, style = ("WORSE", "bold red") if counts["worse"] else ("NOT WORSE", "green")
    if not after.complete and not counts["worse"]:
        word, style = "INCOMPLETE", "bold yellow"
    text = Text(word, style)
    parts = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)
    text.append(f"  {parts or 'no change'}", "default not bold")
    console.print(text, soft_wrap=True)
