"""A recorded deviation excuses the assertions that it explains, and no other one behind them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from harness.probes.loader import load_file
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

HEAD = '''
"""Guests whose two values are 1 and 2."""
from harness import Deviation, Kernel, ProbeBody, probe

@probe(
    spec="none: the harness itself",
    deviation=Deviation(targets="*", versions="*", kind="bug", sees={sees!r}, ref="docs/deviations/exceptions-ac.md"),
)
def judged(k: Kernel) -> ProbeBody:
    """Both values are as recorded."""
    a, b = k.value("a", 1), k.value("b", 2)
    run = yield
'''


def run(tmp_path: Path, sees: str | list[str], *lines: str) -> RunRecord:
    file = tmp_path / "excused.py"
    file.write_text(dedent(HEAD.format(sees=sees)).lstrip() + "".join(f"    {line}\n" for line in lines))
    (probe,) = load_file(file, tmp_path)
    with Executor(target("q35-tcg"), RunOptions()) as executor:
        return executor.run(probe.cases()[0])


@pytest.mark.parametrize(
    ("sees", "lines", "verdict", "reason"),
    [
        ("== 8", ["assert run[a] == 8", "assert run[b] == 2"], Verdict.DEVIATION, "1 == 8 (recorded: "),
        ("== 8", ["assert run[a] == 8", "assert run[b] == 9"], Verdict.FAIL, "2 == 9"),
        (["== 8", "== 9"], ["assert run[a] == 8", "assert run[b] == 9"], Verdict.DEVIATION, "1 == 8 (recorded: "),
        ("== [89]", ["for value in (8, 9): assert run[a] == value"], Verdict.DEVIATION, "1 == 8 (recorded: "),
        ("== 8", ["assert run[a] == 9", "assert run[b] == 8"], Verdict.FAIL, "1 == 9"),
        ("== 8", ["assert run[a] == 8", "assert run.interrupts[0]"], Verdict.DEVIATION, "1 == 8 (recorded: "),
        ("== 8", ["assert run.interrupts[0]", "assert run[a] == 8"], Verdict.ERROR, "IndexError"),
    ],
    ids=["alone", "another behind it", "both", "in a loop", "another before it", "no evidence behind it", "mistake"],
)
def test_what_stands_behind_a_deviation_counts(
    tmp_path: Path, sees: str | list[str], lines: list[str], verdict: Verdict, reason: str
) -> None:
    record = run(tmp_path, sees, *lines)
    assert record.verdict is verdict, record.reason
    assert reason in record.reason
    titles = [section.title for section in record.detail.sections]
    assert ("Recorded deviation" in titles) == (verdict is Verdict.FAIL and "== 8" in lines[0])
    assert ("Not judged" in titles) == ("interrupts[0]" in lines[-1])


@pytest.mark.parametrize(
    ("sees", "part"), [("== 8", "has disappeared: '== 8'"), (["== 8", "== 9"], "has disappeared in part: '== 8'")]
)
def test_a_deviation_that_is_gone_reports_what_is_seen_now(tmp_path: Path, sees: str | list[str], part: str) -> None:
    second = "assert run[b] == 9" if isinstance(sees, list) else "assert run[b] == 2"
    record = run(tmp_path, sees, "assert run[a] == 1", second)
    assert record.verdict is Verdict.FAIL
    assert part in record.reason
    assert "Seen now: events []; a = 0x1; b = 0x2" in record.reason
