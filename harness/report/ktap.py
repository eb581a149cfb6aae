"""KTAP version 1, which the CI of the kernel reads: a test for each target, a subtest for each run.

Source: Linux, Documentation/dev-tools/ktap.rst.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.report.atomic import write_atomic
from harness.report.failure import explain
from harness.report.text import printable
from harness.run.record import RunRecord, Verdict

__all__ = ["ktap", "write_ktap"]

_DIRECTIVES = {Verdict.DEVIATION: "XFAIL", Verdict.UNSUPPORTED: "SKIP", Verdict.ERROR: "ERROR"}
_LINES, _WIDTH = 40, 500  # of the explanation of one run, and characters of a line


def write_ktap(path: Path, records: Sequence[RunRecord], cause: str = "") -> None:
    """Write the report in one step. Raises OSError."""
    write_atomic(path, ktap(records, cause).encode("utf-8", "backslashreplace"))


def ktap(records: Sequence[RunRecord], cause: str = "") -> str:
    """The document. `cause`: why a part of the plan did not run; it makes the last line a `Bail out!`.

    `pass` is `ok`, `fail` is `not ok`, `error` is `not ok` with the directive ERROR, `deviation` is `ok` with XFAIL,
    and `unsupported` is `ok` with SKIP.
    """
    suites: dict[str, list[RunRecord]] = {}
    for record in records:
        suites.setdefault(record.target, []).append(record)
    lines = ["KTAP version 1", f"1..{len(suites)}"]
    for number, (target, runs) in enumerate(suites.items(), 1):
        lines += ["  KTAP version 1", f"  1..{len(runs)}"]
        for place, record in enumerate(runs, 1):
            lines += (f"  {line}" for line in _run(record, place))
        state = "ok" if all(record.ok for record in runs) else "not ok"
        lines.append(f"{state} {number} {_one_line(target)}")
    if cause:
        lines.append(f"Bail out! {_one_line(cause)}")
    return "\n".join(lines) + "\n"


def _run(record: RunRecord, place: int) -> Iterator[str]:
    if not record.ok:
        text = [line for section in explain(record) for line in (section.title, *section.text.splitlines())]
        yield from (f"# {_one_line(line)}" for line in text[:_LINES])
        if len(text) > _LINES:
            yield f"# and {len(text) - _LINES} more lines: see the JSON report"
    directive = _DIRECTIVES.get(record.verdict)
    note = f" # {directive} {_one_line(record.reason)}".rstrip() if directive else ""
    yield f"{'ok' if record.ok else 'not ok'} {place} {_one_line(record.probe)}{note}"


def _one_line(text: str) -> str:
    """Bounded, printable, and without the `#` that begins a directive."""
    return " ".join(printable(text).split())[:_WIDTH].replace("#", "＃")
