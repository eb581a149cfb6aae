"""Two reports compared: the kind of each change, its first difference, and the exit status of `trapgate compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from html_reports import HOSTILE, interrupt, report, run
from typer.testing import CliRunner

from harness.cli import app
from harness.report.comparison import Change, ChangeKind, compare_runs
from harness.report.html.model import read_report
from harness.run.record import Verdict


def changes(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[Change]:
    return compare_runs(read_report(report(*old)).runs, read_report(report(*new)).runs)


ORDER = ["pass", "deviation", "unsupported", "fail"]


@pytest.mark.parametrize("before", [*ORDER, "error"])
@pytest.mark.parametrize("after", [*ORDER, "error"])
def test_the_order_of_verdicts(before: str, after: str) -> None:
    found = changes([run(verdict=before, reason="")], [run(verdict=after, reason="")])
    ranks = {verdict: rank for rank, verdict in enumerate(ORDER)} | {"error": 3}
    if before == after:
        assert found == []
    elif ranks[before] == ranks[after]:
        assert [change.kind for change in found] == [ChangeKind.EVIDENCE]
    else:
        worse = ranks[after] > ranks[before]
        assert [change.kind for change in found] == [ChangeKind.WORSE if worse else ChangeKind.BETTER]
        assert (found[0].before, found[0].after) == (Verdict(before), Verdict(after))


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ({"interrupts": [interrupt(0)]}, {"interrupts": []}, "0 interrupts came, there were 1"),
        ({"interrupts": [interrupt(0)]}, {"interrupts": [interrupt(0, 0x41)]}, "interrupt 0 is vector 0x41 on CPU 0"),
        (
            {"interrupts": [interrupt(0, 13, error_code=0)]},
            {"interrupts": [interrupt(0, 13, error_code=8)]},
            "code 0x8",
        ),
        ({}, {"marks": [{"seq": 0, "cpu": 0, "name": "EOI", "tsc": 1}]}, "the marks are EOI, they were none"),
        ({"deviation": "a.md"}, {"deviation": "b.md"}, "the recorded deviation is b.md, it was a.md"),
        ({"reason": "x" * 300 + "1"}, {"reason": "x" * 300 + "2"}, f"…{60 * 'x'}2; it was: …{60 * 'x'}1"),
    ],
)
def test_the_first_difference_of_the_evidence(old: dict[str, Any], new: dict[str, Any], difference: str) -> None:
    (found,) = changes([run(**old)], [run(**new)])
    assert found.kind is ChangeKind.EVIDENCE
    assert difference in found.difference


def test_what_a_change_of_the_guest_always_changes_is_no_difference() -> None:
    old = run(interrupts=[interrupt(0, tsc=5, rip=1)], values={"ticks": 5}, ms=1)
    assert changes([old], [run(interrupts=[interrupt(0, tsc=9, rip=2)], values={"ticks": 9}, ms=2)]) == []


def test_processors_are_compared_each_on_its_own() -> None:
    """Which of two processors comes first may depend on the host."""
    one, two = interrupt(0, cpu=0), interrupt(1, 0x50, cpu=1)
    assert changes([run(interrupts=[one, two])], [run(interrupts=[two, one])]) == []


def test_runs_that_appear_and_disappear_and_repeated_runs() -> None:
    old = [run("a/x.py::gone"), run("a/x.py::twice"), run("a/x.py::twice", "fail")]
    new = [run("a/x.py::new", "fail"), run("a/x.py::twice"), run("a/x.py::twice")]
    assert [(change.kind, change.probe, change.number) for change in changes(old, new)] == [
        (ChangeKind.BETTER, "a/x.py::twice", 2),
        (ChangeKind.APPEARED, "a/x.py::new", 0),
        (ChangeKind.DISAPPEARED, "a/x.py::gone", None),
    ]


def compare(folder: Path, old: dict[str, Any], new: dict[str, Any], *options: str) -> tuple[int, str]:
    (folder / "old.json").write_text(json.dumps(old))
    (folder / "new.json").write_text(json.dumps(new))
    done = CliRunner().invoke(app, ["compare", str(folder / "old.json"), str(folder / "new.json"), *options])
    return done.exit_code, done.output


def test_the_exit_status(tmp_path: Path) -> None:
    green, red = report(run()), report(run(verdict="fail"))
    assert compare(tmp_path, green, green)[0] == 0
    assert compare(tmp_path, red, green)[0] == 0
    assert compare(tmp_path, red, red)[0] == 0
    assert compare(tmp_path, green, red)[0] == 1
    assert compare(tmp_path, green, report())[0] == 0
    code, text = compare(tmp_path, green, report(run(), complete=False, cause="SIGINT"))
    assert (code, "INCOMPLETE" in text, "SIGINT" in text) == (1, True, True)
    assert compare(tmp_path, {"runs": 3}, green)[0] == 2
    assert compare(tmp_path, green, red, "--html", "/dev/full")[0] == 1
    assert compare(tmp_path, red, green, "--html", "/dev/full")[0] == 3


def test_the_tables_fit_80_columns_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"timers/{'long_' * 20}.py::case_{n}" for n in range(30)]
    old, new = [run(name) for name in names], [run(name, "fail", reason=HOSTILE * 9) for name in names]
    code, text = compare(tmp_path, report(*old), report(*new))
    assert code == 1
    assert max(map(len, text.splitlines()[:-3])) <= 80
    assert "10 more: --all shows them" in text and "\x1b" not in text
    assert "10 more" not in compare(tmp_path, report(*old), report(*new), "--all")[1]


def test_the_page_has_the_changes_with_links(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    compare(tmp_path, report(run()), report(run(verdict="fail", reason=HOSTILE)), "--html", str(path))
    text = path.read_text(encoding="utf-8")
    part = text[text.index('id="h-changes"') : text.index('id="h-failures"')]
    assert "<b>worse</b>: 1" in part and 'href="#run-0"' in part and "old.json" in part
    assert "<img" not in part and "&lt;img" in part
