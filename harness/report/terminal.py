"""The output of `trapgate run`: progress, an explanation of each failure, the verdict table."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from textwrap import indent
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from harness.one_line import one_line
from harness.report.documents import with_documents
from harness.report.failure import explain
from harness.report.summary import STYLES, Result, headline, verdict_table
from harness.report.text import plural, printable, seconds
from harness.run.record import RunRecord, Verdict

__all__ = ["Terminal", "make_console"]

_PLAIN_WIDTH = 100
_EXPLAINED = (Verdict.FAIL, Verdict.ERROR)


class _Console(Console):
    """A console that never cuts tables: text continues in the next line, numbers keep their column."""

    def print(self, *objects: Any, **options: Any) -> None:
        for table in objects:
            for column in table.columns if isinstance(table, Table) else ():
                column.overflow = "fold"
                column.no_wrap = column.no_wrap or column.justify == "right"
        super().print(*objects, **options)


def make_console(*, stderr: bool = False, file: IO[str] | None = None, markup: bool = False) -> Console:
    """A console that neither wraps nor highlights text; 100 columns where there is no terminal."""
    stream = file or (sys.stderr if stderr else sys.stdout)
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return _Console(file=stream, width=width, highlight=False, emoji=False, markup=markup, soft_wrap=False)


class Terminal:
    """The reporter of one `trapgate run`: a context manager around its runs.

    On a terminal a progress bar stays below what is printed; elsewhere each run gets a line of its own.
    """

    def __init__(self, console: Console, planned: int, *, verbose: bool = False) -> None:
        self.results: list[Result] = []
        self._console = console
        self._planned = planned
        self._live = console.is_terminal and not console.is_dumb_terminal
        self._verbose = verbose or not self._live
        self._progress = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[counts]}"),
            TextColumn("{task.description}", style="dim", markup=False),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID = self._progress.add_task("", total=planned, counts="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def starting(self, case: str, target: str) -> None:
        """Show which run is under way."""
        self._progress.update(self._task, description=f"{case}  {target}")

    def finished(self, result: Result) -> None:
        """Add one result; a fail or an error is explained at once."""
        self.results.append(result)
        record = result.record
        counts = Counter(done.record.verdict for done in self.results if not done.record.ok)
        self._progress.update(
            self._task,
            advance=1,
            counts="  ".join(f"[{STYLES[verdict]}]{number} {verdict}[/]" for verdict, number in counts.items()),
        )
        if self._verbose:
            self._line(record)
        if record.verdict in _EXPLAINED:
            self._explain(record)

    def _line(self, record: RunRecord) -> None:
        text = Text()
        text.append(f"{record.verdict:<11} ", STYLES[record.verdict])
        text.append(f"{record.probe}  {record.target}  ")
        text.append(seconds(record.ms), "dim")
        if record.verdict in (Verdict.DEVIATION, Verdict.UNSUPPORTED):
            text.append(f"  {printable(with_documents(record.reason))}", "dim")
        self._console.print(text, soft_wrap=True)

    def _explain(self, record: RunRecord) -> None:
        console, style = self._console, STYLES[record.verdict]
        if self._verbose:
            console.print()
        console.print(
            Rule(Text(f"{record.verdict} {record.probe} on {record.target}", style), style=style, align="left")
        )
        for section in explain(record, console.width - 2):
            console.print(Text(section.title, "bold"), soft_wrap=True)
            console.print(Text(indent(section.text, "  ")), soft_wrap=True)
        console.print()

    def summary(self, note: str, elapsed_ms: float) -> None:
        """Print the verdict table, one line for each run that is not green, a note, and the headline."""
        console = self._console
        if self.results:
            console.print(verdict_table(self.results))
        self._list([result.record for result in self.results])
        if note:
            console.print(Text(note, "bold yellow"), soft_wrap=True)
        console.print(headline(self.results, self._planned, elapsed_ms), soft_wrap=True)

    def _list(self, records: Sequence[RunRecord]) -> None:
        """Each fail and error in a line; what is unsupported or deviates by its reason, which many runs share."""
        lines: Counter[tuple[Verdict, str, str]] = Counter()
        for verdict in (Verdict.UNSUPPORTED, Verdict.DEVIATION, Verdict.FAIL, Verdict.ERROR):
            for record in records:
                if record.verdict is verdict:
                    reason = printable(with_documents(one_line(record.reason)))
                    if verdict is Verdict.DEVIATION:
                        reason = f"recorded: {with_documents(record.deviation)}"
                    shared = verdict in (Verdict.UNSUPPORTED, Verdict.DEVIATION)
                    lines[verdict, record.target if shared else f"{record.probe}  {record.target}", reason] += 1
        for (verdict, what, reason), number in lines.items():
            text = Text(f"{verdict:<11} ", STYLES[verdict])
            shared = verdict in (Verdict.UNSUPPORTED, Verdict.DEVIATION)
            text.append(f"{plural(number, 'run')} on {what}" if shared else what, "default not bold")
            text.append(f": {reason}" if reason else "", "dim not bold")
            self._console.print(text, soft_wrap=True)
        if lines:
            self._console.print()
