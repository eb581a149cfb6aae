"""What `trapgate run` prints, and the code it leaves with."""

from __future__ import annotations

import io
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from records import INTERRUPTS, record

from harness.commands.run import Plan, execute
from harness.commands.run_reports import ReportFiles
from harness.commands.streams import Stream
from harness.evidence.failures import Section
from harness.evidence.interrupts import InterruptRecord, Mark
from harness.probes.probe import Case, Probe, ProbeBody
from harness.qemu.target import load_targets
from harness.report.failure import explain, source_excerpt
from harness.report.interrupts import interrupt_table
from harness.report.summary import Result, exit_code, headline, verdict_table
from harness.report.terminal import Terminal, make_console
from harness.report.text import seconds
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

P, F, D, U, E = Verdict


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [((), 0), ((P,), 0), ((P, D, U), 0), ((U,), 0), ((P, F), 1), ((F, E, P), 3), ((E,), 3)],
)
def test_exit_codes(verdicts: tuple[Verdict, ...], code: int) -> None:
    assert exit_code(record(verdict) for verdict in verdicts) == code


def render(thing: object) -> str:
    file = io.StringIO()
    make_console(file=file).print(thing)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_the_table_has_a_row_for_each_area_and_target() -> None:
    results = [
        Result("timers", record(P)),
        Result("timers", record(F, ms=20)),
        Result("timers", record(U, target="q35-kvm", ms=0)),
        Result("lapic", record(P, ms=1234)),
    ]
    assert render(verdict_table(results)) == (
        "\n"
        " area     target    pass   fail   unsupported     time\n"
        " ─────────────────────────────────────────────────────\n"
        " lapic    q35-tcg      1      ·             ·    1.2 s\n"
        " timers   q35-tcg      1      1             ·    22 ms\n"
        "          q35-kvm      ·      ·             1   0.0 ms\n"
        "\n"
        " total                 2      1             1    1.3 s\n"
    )


@pytest.mark.parametrize(
    ("verdicts", "planned", "text"),
    [
        ((P, P), 2, "PASS  2 runs on 1 target: 2 pass, in 1.5 s"),
        ((P,), 3, "INCOMPLETE  1 run of 3 on 1 target: 1 pass, in 1.5 s"),
        ((P, F), 3, "FAIL  2 runs of 3 on 1 target: 1 pass, 1 fail, in 1.5 s"),
        ((F, E), 2, "ERROR  2 runs on 1 target: 1 fail, 1 error, in 1.5 s"),
        ((U, U), 2, "UNSUPPORTED  2 runs on 1 target: 2 unsupported, in 1.5 s"),
        ((D, U), 2, "PASS  2 runs on 1 target: 1 deviation, 1 unsupported, in 1.5 s"),
        ((), 3, "INCOMPLETE  0 runs of 3 on 0 targets, in 1.5 s"),
    ],
)
def test_the_headline_has_the_counts(verdicts: Sequence[Verdict], planned: int, text: str) -> None:
    assert headline([Result("a", record(v)) for v in verdicts], planned, 1500).plain == text


def test_the_interrupt_table() -> None:
    assert interrupt_table(INTERRUPTS) == (
        "#  CPU  vector    error  CS:RIP      TSC  in service  where\n"
        "0    0  0x40             08:11004e   272  yes         program+0xe (hpet.py:12)\n"
        "1    1  0x0d #GP  0x18   08:110052  9000  no          program+0x12 (hpet.py:13)"
    )
    assert "error" not in interrupt_table(INTERRUPTS[:1])
    assert interrupt_table(()) == "none"


def interrupts(number: int, where: str, *, depth: int = 0, first: int = 0) -> list[InterruptRecord]:
    return [
        replace(INTERRUPTS[0], seq=first + at, tsc=100 * at, where=where, depth=depth * at, rip=0x110000 + at)
        for at in range(number)
    ]


def test_marks_stand_among_the_interrupts() -> None:
    table = interrupt_table([replace(INTERRUPTS[0], seq=1)], [Mark(0, 0, "armed", 20), Mark(2, 0, "x\x1b[31m", 400)])
    assert table == (
        "#  CPU  vector  CS:RIP     TSC  in service  where\n"
        "0    0  mark                20              armed\n"
        "1    0  0x40    08:11004e  272  yes         program+0xe (hpet.py:12)\n"
        "2    0  mark               400              x\\x1b[31m"
    )


def test_equal_events_in_a_row_take_three_lines() -> None:
    table = interrupt_table(interrupts(100, "waiting at timer.py:14"))
    assert [line.split("  ")[0].strip() for line in table.splitlines()] == ["#", "0", "… 98 more like it …", "99"]
    assert len(interrupt_table(interrupts(3, "waiting at timer.py:14")).splitlines()) == 4


@pytest.mark.parametrize("width", [78, 100])
def test_the_table_has_no_more_columns_than_it_may(width: int) -> None:
    nested = interrupts(
        300, "handler_80_1+0x2 (probes/an_area_with_a_long_name/a_file_with_a_long_name_too.py:17)", depth=1
    )
    table = interrupt_table(nested + interrupts(1, "program", first=400), width=width)
    assert max(map(len, table.splitlines())) <= width
    assert "… 298 more like it, nested 299 deep …" in table
    assert "(depth 299)" in table
    assert table.count("too.py:17)") == 2


def test_the_source_leads_to_the_line_at_fault(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text("def f():\n    pass\n\n\n    a = 1\n\n    run = yield\n    assert a == 2\n    more\n")
    assert source_excerpt(str(path), 8) == "  5 │ a = 1\n  6 │\n  7 │ run = yield\n> 8 │ assert a == 2"
    assert source_excerpt(str(path), 99) == source_excerpt("", 1) == source_excerpt("/nowhere.py", 3) == ""


def test_findings_come_before_evidence_and_nothing_is_missing() -> None:
    titles = [section.title for section in explain(record(F))]
    assert titles == ["Rule", "Assertion", "Interrupts", "Serial", "QEMU command line", "Run it again"]
    assert Section("Serial", "@run\\x1b[31m") in explain(record(F))
    assert [section.title for section in explain(record(U))] == ["Rule", "Unsupported"]


def test_output_without_a_terminal() -> None:
    file = io.StringIO()
    with Terminal(make_console(file=file), 4) as terminal:
        for verdict in (P, F, D, U):
            terminal.starting("case", "q35-tcg")
            terminal.finished(Result("timers", record(verdict, str(verdict))))
    terminal.summary("stopped early", 12)
    text = file.getvalue()
    assert text.startswith("pass        timers/hpet.py::pass  q35-tcg  1.5 ms\nfail        timers/hpet.py::fail")
    assert "Rule\n  A one-shot comparator interrupts once.\n  IA-PC HPET 1.0a, 2.3.9.2.1\n" in text
    assert "QEMU command line\n  qemu-system-x86_64 -bios rom.bin\n" in text
    assert text.endswith(
        "unsupported 1 run on q35-tcg: /dev/kvm is missing\n"
        "deviation   1 run on q35-tcg: recorded: docs/deviations.md#one\n"
        "fail        timers/hpet.py::fail  q35-tcg: assert [64, 13] == [64]\n\n"
        "stopped early\n"
        "FAIL  4 runs on 1 target: 1 pass, 1 fail, 1 deviation, 1 unsupported, in 12 ms\n"
    )
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("ms", "text"), [(0.84, "0.8 ms"), (34.2, "34 ms"), (1234, "1.2 s"), (99_949, "99.9 s"), (125_000, "2 min 5 s")]
)
def test_times(ms: float, text: str) -> None:
    assert seconds(ms) == text


# ---- the command around it, with an executor that needs no QEMU ----

Behaviour = Callable[[Case], RunRecord]


def function(k: object) -> ProbeBody:
    """A rule."""
    yield


CASES = [Case(Probe(function, "S", path=Path("/p/timers/hpet.py"), root=Path("/p")), {"n": n}) for n in range(4)]


def run(
    behaviour: Behaviour, tmp_path: Path, junit: Path | None = None, html: Path | None = None, **options: Any
) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a plan of four runs."""

    class WithoutQemu(Executor):
        def run(self, case: Case, options: RunOptions | None = None) -> RunRecord:
            return behaviour(case)

    path = tmp_path / "out.json"
    files = ReportFiles(path, junit, html)
    plan = Plan([(load_targets()["q35-tcg"], CASES)], Stream(RunOptions(cold=False)), files, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.run.executors.Executor", WithoutQemu)
        code = execute(plan)
    return code, json.loads(path.read_text())


def test_a_whole_run(tmp_path: Path) -> None:
    code, document = run(lambda case: record(P), tmp_path, junit=tmp_path / "out.xml")
    assert (code, document["complete"], document["planned"], len(document["runs"])) == (0, True, 4, 4)
    assert document["targets"][0]["name"] == "q35-tcg"
    assert (tmp_path / "out.xml").exists()


def test_stop_at_the_first_failure(tmp_path: Path) -> None:
    verdicts = iter([P, U, F, P])
    code, document = run(lambda case: record(next(verdicts)), tmp_path, first_failure=True)
    assert (code, document["complete"], len(document["runs"])) == (1, False, 3)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals(number: signal.Signals, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = itertools.count()

    def behave(case: Case) -> RunRecord:
        if next(count) == 2:
            os.kill(os.getpid(), number)
        return record(F)

    found, document = run(behave, tmp_path, junit=tmp_path / "out.xml")
    assert (found, document["complete"]) == (code, False)
    assert len(document["runs"]) in (2, 3)
    assert (tmp_path / "out.xml").exists()
    assert f"interrupted by {number.name}" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_defect_of_the_harness_leaves_a_valid_file(tmp_path: Path) -> None:
    def behave(case: Case) -> RunRecord:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run(behave, tmp_path)
    assert json.loads((tmp_path / "out.json").read_text())["complete"] is False


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run(lambda case: record(P), tmp_path, junit=tmp_path / "no" / "out.xml")
    assert code == 3
    assert "out.xml: No such file or directory; it was not written" in capsys.readouterr().err
    with pytest.raises(typer.Exit) as caught:
        run(lambda case: record(P), tmp_path / "nowhere")
    assert caught.value.exit_code == 2


def test_an_html_report_that_cannot_be_written_loses_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = run(lambda case: record(P), tmp_path, html=Path("/dev/full"))
    captured = capsys.readouterr()
    assert (code, len(document["runs"])) == (3, 4)
    assert "4 pass" in captured.out
    assert captured.err == "--html /dev/full: No space left on device; it was not written\n"


@pytest.mark.parametrize("verdict", [P, F])
def test_a_renderer_that_breaks_loses_no_verdict(
    verdict: Verdict, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise ValueError("broken")

    monkeypatch.setattr("harness.report.html.html_file.render_page", broken)
    code, document = run(lambda case: record(verdict), tmp_path, html=tmp_path / "out.html")
    captured = capsys.readouterr()
    assert (code, len(document["runs"])) == (3 if verdict is P else 1, 4)
    assert f"4 {verdict}" in captured.out
    assert "out.html: it was not written: ValueError: broken" in captured.err


@pytest.mark.parametrize("place", ["no/out.html", "."])
def test_the_path_of_the_html_report_is_checked_before_the_run(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def behave(case: Case) -> RunRecord:
        raise AssertionError("it was run")

    with pytest.raises(typer.Exit) as caught:
        run(behave, tmp_path, html=tmp_path / place)
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith(f"trapgate: --html {tmp_path / place}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """No file may grow beyond 3 KiB: the records do not fit, so the last complete file stays; the exit code is 3."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_terminal import P, record, run
code, document = run(lambda case: record(P), Path({str(tmp_path)!r}))
print(len(document["runs"]), document["complete"])
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3072, 3072)),
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-1] == "0 False"
    assert "out.json: File too large; the file has the results up to then" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_the_summary_names_the_record_of_a_deviation_without_reading_its_reason() -> None:
    deviating = replace(record(D), reason="assert 0 == 1", deviation="docs/deviations.md#other")
    file = io.StringIO()
    with Terminal(make_console(file=file), 1) as terminal:
        terminal.finished(Result("timers", deviating))
    terminal.summary("", 1.0)
    assert "1 run on q35-tcg: recorded: docs/deviations.md#other" in file.getvalue()
