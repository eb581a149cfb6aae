"""GitHub Actions: annotations, the step's summary, and text from a guest that looks like a command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from html_reports import HOSTILE
from records import record
from test_terminal import run

from harness.report.github import error_commands, step_summary
from harness.report.summary import Result
from harness.run.record import FailureDetail, RunRecord, Verdict

COMMAND = re.compile(r"::error (?P<properties>[^:\n]*)::(?P<data>[^\n]*)")


def results(*records: RunRecord) -> list[Result]:
    return [Result("timers", each) for each in records]


def test_an_annotation_has_the_place_in_the_repository() -> None:
    detail = FailureDetail(path="/work/repo/probes/x.py", line=7)
    (line,) = error_commands(results(replace(record(Verdict.FAIL), detail=detail)), {"GITHUB_WORKSPACE": "/work/repo"})
    assert line == (
        "::error file=probes/x.py,line=7,title=fail timers/hpet.py%3A%3Aone on q35-tcg::assert [64, 13] == [64]"
    )


@pytest.mark.parametrize("workspace", ["", "/work/other", "/work/rep"])
def test_a_file_outside_the_repository_has_no_place(workspace: str) -> None:
    detail = FailureDetail(path="/work/repo/probes/x.py", line=7)
    (line,) = error_commands(results(replace(record(Verdict.FAIL), detail=detail)), {"GITHUB_WORKSPACE": workspace})
    assert line.startswith("::error title=fail ")


def test_text_of_a_guest_stays_in_its_command() -> None:
    hostile = f"50% a,b:c\r\n::set-env name=PATH::x\n{HOSTILE}"
    bad = replace(record(Verdict.ERROR), reason=hostile, probe=f"a/{hostile}.py::x", target="t,u:v%")
    (line,) = error_commands(results(bad), {})
    found = COMMAND.fullmatch(line)
    assert found is not None
    assert found["properties"].startswith("title=error a/50%25 a%2Cb%3Ac%0A%3A%3Aset-env name=PATH%3A%3Ax%0A")
    assert found["data"].startswith("50%25 a,b:c%0A::set-env name=PATH::x%0A")


def test_the_first_ten_annotations_are_shown_by_github() -> None:
    many = [record(Verdict.FAIL, f"t{n}") for n in range(30)]
    lines = list(error_commands(results(*many), {}))
    assert len(lines) == 10
    assert lines[-1] == "::error title=Trapgate::21 more runs failed; the job's summary has them"
    assert list(error_commands(results(*map(record, (Verdict.PASS, Verdict.DEVIATION, Verdict.UNSUPPORTED))), {})) == []


def test_the_summary_is_a_table_and_the_reasons() -> None:
    text = step_summary(results(*map(record, Verdict)), "ERROR  5 runs")
    assert "| timers | q35\\-tcg | 1 | 1 | 1 | 1 | 1 | 7.5 ms |" in text
    assert "<pre>assert [64, 13] == [64]</pre>" in text and "<pre>QEMU was killed by SIGSEGV</pre>" in text


def test_the_summary_escapes_and_is_bounded() -> None:
    hostile = f"</pre>\n\n[x](http://example.com) ![y](z) | `code` {HOSTILE}"
    bad = replace(record(Verdict.FAIL), reason=hostile * 1000, probe=hostile, target=hostile)
    text = step_summary([Result(hostile, bad)] * 3000, hostile)
    assert len(text.encode()) < 1 << 20
    assert "<script" not in text and "<img" not in text and "\x1b" not in text
    assert text.count("</pre>") == text.count("<pre>") > 0
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6, 6]
    assert "](" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert "2960 more are in the reports of the run." in text


def test_a_run_in_a_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    hostile = replace(record(Verdict.FAIL), reason="::add-mask::x")
    code, _ = run(lambda case: hostile, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    token = lines[0].removeprefix("::stop-commands::")
    assert len(token) == 32
    end = lines.index(f"::{token}::")
    assert any("::add-mask::x" in line for line in lines[1:end])
    assert len(lines[end + 1 :]) == 4 and all(line.startswith("::error title=fail ") for line in lines[end + 1 :])
    text = summary.read_text()
    assert text.startswith("before\n## Trapgate: FAIL") and "4 fail" in text


def test_commands_are_read_again_after_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(case: object) -> RunRecord:
        raise RuntimeError("broken")

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(RuntimeError):
        run(broken, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"::{lines[0].removeprefix('::stop-commands::')}::"


def test_a_summary_that_cannot_be_written_loses_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    code, _ = run(lambda case: record(Verdict.PASS), tmp_path)
    captured = capsys.readouterr()
    assert (code, "4 pass" in captured.out) == (3, True)
    assert captured.err == "GITHUB_STEP_SUMMARY: No space left on device; the summary was not written\n"


def test_outside_of_a_workflow_nothing_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    run(lambda case: record(Verdict.FAIL), tmp_path)
    assert "::error" not in capsys.readouterr().out
    assert not (tmp_path / "summary.md").exists()
