"""GitHub Actions: annotations of fails and errors, the summary of the job's step, and no commands from guests.

Sources: GitHub's documentation, "Workflow commands for GitHub Actions" (`stop-commands`, `error`, job summaries), and
`escapeData` and `escapeProperty` of actions/toolkit (packages/core/src/command.ts). GitHub shows ten errors of a step;
a summary has at most 1 MiB.
"""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TextIO

from harness.one_line import one_line
from harness.report.summary import Result
from harness.report.text import plural, printable, seconds
from harness.run.record import RunRecord, Verdict

__all__ = ["commands_stopped", "error_commands", "github_environment", "step_summary", "write_step_summary"]

_ANNOTATIONS = 10
_EXPLAINED, _REASON = 40, 4_000  # runs whose reasons the summary has, and characters of each
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")
_RED = (Verdict.FAIL, Verdict.ERROR)


def github_environment() -> Mapping[str, str] | None:
    """The environment where a workflow of GitHub Actions runs this process, else None."""
    return os.environ if os.environ.get("GITHUB_ACTIONS") == "true" else None


@contextmanager
def commands_stopped(stream: TextIO) -> Iterator[None]:
    """A block in which GitHub ignores workflow commands in the output: a guest may print one (`::add-mask::x`).

    The token that ends this is random, so that no guest can print it.
    """
    token = secrets.token_hex(16)
    stream.write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        stream.write(f"\n::{token}::\n")
        stream.flush()


def error_commands(results: Sequence[Result], environment: Mapping[str, str]) -> Iterator[str]:
    """An `error` command for each fail and error, at its place in the repository; of many the first ten."""
    red = [result.record for result in results if result.record.verdict in _RED]
    left_out = len(red) - _ANNOTATIONS
    shown = red[: _ANNOTATIONS - 1] if left_out > 0 else red
    workspace = environment.get("GITHUB_WORKSPACE", "")
    for record in shown:
        place = _place(record, workspace)
        properties = {**place, "title": f"{record.verdict} {record.probe} on {record.target}"}
        listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::error {listed}::{_data(record.reason or str(record.verdict))}"
    if left_out > 0:
        yield f"::error title=Trapgate::{plural(len(red) - len(shown), 'more run')} failed; the job's summary has them"


def _place(record: RunRecord, workspace: str) -> dict[str, str]:
    """File and line, where the file is in the repository."""
    path, line = record.detail.path, record.detail.line
    if not workspace or not path or not Path(path).is_relative_to(workspace):
        return {}
    return {"file": Path(path).relative_to(workspace).as_posix(), **({"line": str(line)} if line else {})}


def _data(text: str) -> str:
    return printable(text[:_REASON]).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write_step_summary(results: Sequence[Result], headline: str, environment: Mapping[str, str]) -> None:
    """Append the summary to the file that GitHub names; without one nothing happens. Raises OSError."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if path:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - a path of the runner
            file.write(step_summary(results, headline))


def step_summary(results: Sequence[Result], headline: str) -> str:
    """Markdown: the counts by area and target, and the reasons of fails and errors."""
    counts = Counter(result.record.verdict for result in results)
    verdicts = [verdict for verdict in Verdict if counts[verdict] or verdict is Verdict.PASS]
    lines = [f"## Trapgate: {_text(headline)}", ""]
    lines += [f"| area | target | {' | '.join(verdicts)} | time |", f"|---|---|{'---:|' * (len(verdicts) + 1)}"]
    rows: dict[tuple[str, str], list[RunRecord]] = {}
    for result in results:
        rows.setdefault((result.area, result.record.target), []).append(result.record)
    for (area, target), records in sorted(rows.items()):
        own = Counter(record.verdict for record in records)
        cells = " | ".join(str(own[verdict] or "·") for verdict in verdicts)
        lines.append(f"| {_text(area)} | {_text(target)} | {cells} | {seconds(sum(record.ms for record in records))} |")
    red = [result.record for result in results if result.record.verdict in _RED]
    for record in red[:_EXPLAINED]:
        lines += [
            "",
            f"**{record.verdict}** {_text(record.probe)} on {_text(record.target)}",
            "",
            _block(record.reason),
        ]
        if record.rerun:
            lines.append(_block(record.rerun))
    if len(red) > _EXPLAINED:
        lines += ["", f"{len(red) - _EXPLAINED} more are in the reports of the run."]
    return "\n".join(lines) + "\n\n"


def _text(text: str) -> str:
    """Text inside a line of Markdown."""
    return _MARKDOWN.sub(r"\\\1", escape(printable(one_line(text[:_REASON]))))


def _block(text: str) -> str:
    """A block whose text is neither Markdown nor HTML: it ends at `</pre>` alone."""
    return f"<pre>{escape(printable(text[:_REASON])).strip() or '(no reason)'}</pre>"
