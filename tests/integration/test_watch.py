"""`trapgate run --watch`, driven as a user does: files are saved, Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
from commands import TRAPGATE, trapgate

WAITING = r"Waiting for changes in \d+ folders?\. Ctrl-C ends\."
CLEAR = "\x1b[2J"
TIMER = "mine/timer.py::one_shot_fires_once"


@contextmanager
def watching(folder: Path, *words: str, terminal: bool = True) -> Iterator[Any]:
    """The command on a terminal of 100 columns, or with its output in a pipe."""
    command = [TRAPGATE, "run", "--watch", *words]
    if not terminal:
        command = ["/bin/sh", "-c", 'exec "$@" 2>&1 | cat', "sh", *command]
    environment = os.environ | {"TERM": "xterm", "PYTHONUNBUFFERED": "1"}
    environment.pop("NO_COLOR", None)
    child = pexpect.spawn(
        command[0], command[1:], cwd=str(folder), env=environment, encoding="utf-8", timeout=120, dimensions=(50, 100)
    )
    try:
        yield child
    finally:
        child.close(force=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for kind in ("timer", "smp"):
        assert trapgate("new", f"mine/{kind}", "--from", kind, cwd=tmp_path).returncode == 0
    return tmp_path


def save(file: Path, old: str, new: str) -> None:
    """As an editor does that writes a new file and renames it."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    beside = file.with_name(f".{file.name}.swp")
    beside.write_text(text.replace(old, new), encoding="utf-8")
    beside.replace(file)


def end(child: Any) -> int:
    """The exit status after Ctrl-C."""
    child.sendintr()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.signalstatus is None
    assert "Traceback" not in child.before
    return int(child.exitstatus)


def test_a_saved_file_runs_again_alone_and_ctrl_c_ends_with_the_last_status(project: Path) -> None:
    with watching(project, "--probes", ".", "-v") as child:
        child.expect("2 pass")
        child.expect(WAITING)
        save(project / "mine/timer.py", "current_count == 0", "current_count == 1")
        child.expect_exact(CLEAR)
        child.expect("run 2: mine/timer.py changed")
        child.expect("1 fail")
        child.expect(WAITING)
        assert end(child) == 1


def test_a_syntax_error_is_shown_and_the_next_save_runs(project: Path) -> None:
    file = project / "mine/timer.py"
    with watching(project, "mine/timer.py") as child:
        child.expect("1 pass")
        child.expect(WAITING)
        with file.open("a", encoding="utf-8") as text:  # an editor that writes in place
            text.write("def (\n")
        child.expect(r"mine/timer.py:\d+: SyntaxError")
        child.expect(WAITING)
        save(file, "def (\n", "")
        child.expect("1 pass")
        child.expect(WAITING)
        assert end(child) == 0


def test_a_helper_counts_and_so_does_a_new_file_in_a_new_folder(project: Path) -> None:
    (project / "mine/_values.py").write_text("COUNT = 0\n", encoding="utf-8")
    timer = project / "mine/timer.py"
    save(timer, "from harness import", "from ._values import COUNT\nfrom harness import")
    save(timer, "current_count == 0", "current_count == COUNT")
    with watching(project, "--probes", ".", "-v") as child:
        child.expect("2 pass")
        child.expect(WAITING)
        save(project / "mine/_values.py", "0", "1")
        child.expect("run 2: mine/_values.py changed")
        child.expect("1 fail")
        child.expect(WAITING)
        (project / "other").mkdir()
        text = (project / "mine/smp.py").read_text(encoding="utf-8")
        (project / "other/more.py").write_text(text, encoding="utf-8")
        child.expect("run 3: other/more.py changed")
        child.expect("other/more.py::each_processor")
        child.expect("1 pass")
        child.expect(WAITING)
        assert end(child) == 0


def test_a_change_during_a_run_is_not_lost(project: Path) -> None:
    """The probe itself saves a change, once, while it runs."""
    timer = project / "mine/timer.py"
    flag = project / "flag"
    change = f"""
    from pathlib import Path
    if not Path({str(flag)!r}).exists():
        Path({str(flag)!r}).touch()
        Path({str(project / "mine/smp.py")!r}).open("a").write("# changed\\n")
"""
    save(timer, "    run = yield\n", f"    run = yield\n{change}")
    with watching(project, "--probes", ".", "-v") as child:
        child.expect("2 pass")
        child.expect("run 2: mine/smp.py changed")
        child.expect("1 pass")
        child.expect(WAITING)
        assert end(child) == 0


def test_reports_and_caches_do_not_start_a_run(project: Path) -> None:
    with watching(project, "--probes", ".", "--json", "mine/report.json") as child:
        child.expect(WAITING)
        (project / "mine/notes.txt").write_text("x", encoding="utf-8")
        (project / "mine/__pycache__").mkdir(exist_ok=True)
        (project / "mine/__pycache__/x.py").write_text("x", encoding="utf-8")
        with pytest.raises(pexpect.TIMEOUT):
            child.expect("run 2", timeout=3)
        save(project / "mine/smp.py", "cpus=2", "cpus=3")
        child.expect("run 2: mine/smp.py changed")
        child.expect(WAITING)
        assert end(child) == 0


def test_without_a_terminal_a_line_separates_the_runs(project: Path) -> None:
    with watching(project, "mine/timer.py", terminal=False) as child:
        child.expect(WAITING)
        assert "\x1b" not in child.before
        save(project / "mine/timer.py", "10_000", "20_000")
        child.expect(f"run 2: mine/timer.py changed ─+\r\npass +{TIMER}")
        child.expect(WAITING)
        assert "\x1b" not in child.before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_a_run_ends_its_machines_and_the_watch(
    project: Path, number: signal.Signals, status: int
) -> None:
    save(project / "mine/timer.py", "    run = yield\n", "    run = yield\n    import time; time.sleep(100)\n")
    with watching(project, "mine/timer.py", "--target", "q35-tcg") as child:
        child.expect(TIMER)
        child.kill(number)
        child.expect(f"interrupted by {number.name}")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == status


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "q35-tgc"], "no target is named 'q35-tgc'"),
        (["--record", "x.toml"], "--watch: cannot be combined with --record"),
        (["--probes", "none"], "--watch: there is no folder to watch"),
    ],
)
def test_wrong_usage_ends_at_once(project: Path, words: list[str], message: str) -> None:
    done = trapgate("run", "--watch", *words, cwd=project)
    assert done.returncode == 2
    assert message in done.stderr
