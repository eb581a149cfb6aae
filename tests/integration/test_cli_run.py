"""`trapgate` on a user's own project and on real QEMU."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pexpect
import pytest
from commands import TRAPGATE, trapgate
from example_project import write_project

from harness.commands.run import Plan, _note_on_kvm
from harness.commands.streams import Stream
from harness.qemu.target import Accelerator, Target
from harness.report.summary import Result
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


def run_json(path: Path) -> tuple[dict[str, str], dict[str, object]]:
    document = json.loads(path.read_text())
    return {run["probe"]: run["verdict"] for run in document["runs"]}, document


def test_every_verdict_and_its_reports(project: Path, tmp_path: Path) -> None:
    done = trapgate(
        "run", "--probes", "probes", "--json", tmp_path / "o.json", "--junit", tmp_path / "o.xml", cwd=project
    )
    verdicts, document = run_json(tmp_path / "o.json")
    assert verdicts == {
        "devices/floppy.py::needs_an_hpet": "pass",
        "devices/floppy.py::breaks_in_the_judgement": "error",
        "ipi/known.py::known_to_differ": "deviation",
        "ipi/known.py::no_longer_differs": "fail",
        "ipi/self_ipi.py::arrives_once": "pass",
        "ipi/self_ipi.py::vector_is_kept[number0x50]": "pass",
        "ipi/self_ipi.py::vector_is_kept[number0x51]": "fail",
    }
    assert done.returncode == 3
    assert document["complete"] is True
    root = ElementTree.parse(tmp_path / "o.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "2", "1")
    lines = done.stdout.splitlines()
    assert "> 28 │ assert run.vectors == [VECTOR]" in [line.strip() for line in lines]
    assert "First difference at 0: 0x51 came, 0x50 was expected" in done.stdout
    assert "https://example.org/issues/1" in done.stdout
    assert "the recorded deviation has disappeared" in done.stdout
    assert "  trapgate run 'probes/ipi/self_ipi.py::vector_is_kept[number0x51]' --target q35-tcg" in lines
    assert lines[-1].startswith("ERROR  7 runs on 1 target: 3 pass, 2 fail, 1 deviation, 1 error, in ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["arrives_once"], 0),
        (["arrives_once", "-t", "q35-tcg,pc-tcg"], 0),
        (["vector_is_kept"], 1),
        (["needs_an_hpet", "-t", "microvm-tcg"], 0),
        (["known_to_differ"], 0),
        (["no_longer_differs"], 1),
        (["arrive_once"], 2),
        (["-k", "nothing_at_all"], 2),
        (["-k", "and"], 2),
        (["-t", "q36"], 2),
        (["--nonsense"], 2),
        (["--json", "/no/such/folder/o.json"], 2),
        (["arrives_once", "--qemu", "/no/such/qemu"], 2),
        (["arrives_once", "--qemu-arg=-device", "--qemu-arg=no-such-device"], 3),
    ],
)
def test_exit_codes(words: Sequence[str], code: int, project: Path) -> None:
    done = trapgate("run", "--probes", "probes", *words, cwd=project)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code == 2:
        assert done.stdout == ""
        assert done.stderr


@pytest.mark.parametrize("kind", ["is a folder", "is not executable", "not found", "exit"])
def test_a_program_that_cannot_run_is_one_line(kind: str, project: Path, tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    if kind == "is a folder":
        program.mkdir()
    elif kind != "not found":
        program.write_text("#!/bin/sh\nexit 7\n")
        program.chmod(0o755 if kind == "exit" else 0o644)
    done = trapgate("run", "--probes", "probes", "--qemu", program, "--json", tmp_path / "o.json", cwd=project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert str(program) in done.stderr
    assert kind in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_the_rerun_command_runs_that_case(project: Path) -> None:
    done = trapgate("run", "--probes", "probes", "-k", "number0x51", cwd=project)
    (command,) = [line.strip() for line in done.stdout.splitlines() if line.startswith("  trapgate run ")]
    again = trapgate(*shlex.split(command)[1:], cwd=project)
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1].startswith("FAIL  1 run on 1 target: 1 fail")


def test_a_file_outside_of_the_catalogue(project: Path) -> None:
    done = trapgate("run", "probes/ipi/self_ipi.py::arrives_once", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "self_ipi.py::arrives_once" in done.stdout


def test_a_broken_file_stops_only_calls_that_select_it(project: Path, tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "probes" / "ipi" / "broken.py").write_text(
        "from harness import probe\n@probe(spec='S')\ndef p(k): ...\n"
    )
    files = ("--json", tmp_path / "o.json", "--junit", tmp_path / "o.xml")
    whole = trapgate("run", "--probes", "probes", *files, cwd=tmp_path)
    assert whole.returncode == 3
    assert "probes/ipi/broken.py:3: p: has no docstring" in whole.stdout
    assert "probes/ipi/broken.py:3: p: is not a generator" in whole.stdout
    verdicts, document = run_json(tmp_path / "o.json")
    assert (len(verdicts), verdicts["probes/ipi/broken.py"], document["complete"]) == (8, "error", True)
    assert document["planned"] == 8
    assert ElementTree.parse(tmp_path / "o.xml").getroot().get("errors") == "2"
    alone = trapgate("run", "--probes", "probes", "ipi/broken.py", cwd=tmp_path)
    assert alone.returncode == 2
    assert "probes/ipi/broken.py:3: p: has no docstring" in alone.stderr
    exact = trapgate("run", "--probes", "probes", "ipi/self_ipi.py::arrives_once", cwd=tmp_path)
    assert (exact.returncode, exact.stderr) == (0, "")
    part = trapgate("run", "--probes", "probes", "self_ipi.py::arrives_once", cwd=tmp_path)
    assert part.returncode == 0
    assert "probes/ipi/broken.py" in part.stderr


def test_list(project: Path, tmp_path: Path) -> None:
    done = trapgate("list", "--probes", "probes", "--json", tmp_path / "o.json", cwd=project)
    assert done.returncode == 0
    assert "  ipi/self_ipi.py::arrives_once\n    A self IPI arrives exactly once.\n" in done.stdout
    assert done.stdout.endswith("6 probes, 7 cases, in 2 areas\n")
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["schema"] == 1
    entry = next(probe for probe in document["probes"] if probe["id"] == "ipi/self_ipi.py::vector_is_kept")
    assert entry["area"] == "ipi"
    assert entry["rule"] == "An IPI arrives on the vector that the ICR names."
    assert entry["citation"] == "SDM, Issuing Interprocessor Interrupts"
    assert entry["cases"] == [f"ipi/self_ipi.py::vector_is_kept[number{n:#x}]" for n in (0x50, 0x51)]
    some = trapgate("list", "--probes", "probes", "--area", "devices", "-k", "hpet", "--json", "-", cwd=project)
    assert [probe["id"] for probe in json.loads(some.stdout)["probes"]] == ["devices/floppy.py::needs_an_hpet"]
    areas = trapgate("list", "--probes", "probes", "--areas", cwd=project)
    assert areas.stdout == "devices  2 probes, 2 cases\nipi      4 probes, 5 cases\n"
    assert trapgate("list", "--probes", "probes", "--area", "nowhere", cwd=project).returncode == 2


def test_show(project: Path) -> None:
    done = trapgate("show", "--probes", "probes", "vector_is_kept[number0x51]", cwd=project)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index("probes/ipi/self_ipi.py:23  k.sti()")
    assert lines[at + 1].split()[1:3] == ["fb", "sti"]
    assert trapgate("show", "--probes", "probes", "ipi", cwd=project).returncode == 2


def test_help_lists_the_exit_codes(project: Path) -> None:
    text = " ".join(trapgate("run", "--help", cwd=project).stdout.split())
    for word in ("Exit codes:", "--target", "--qemu-arg", "--junit", "130 Ctrl-C"):
        assert word in text


ENDLESS = '''
from harness import Kernel, ProbeBody, probe

@probe(spec="SDM", watchdog_s=300)
def never_ends(k: Kernel) -> ProbeBody:
    """It never ends."""
    k.asm("1: jmp 1b")
    run = yield
    assert run.vectors == []

@probe(spec="SDM")
def another(k: Kernel) -> ProbeBody:
    """It comes after."""
    run = yield
    assert run.vectors == []
'''


def children(pid: int) -> list[int]:
    """Process ids of the QEMUs below a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                name = (entry / "comm").read_text()
            except OSError:
                continue
            if parent == pid and name.startswith("qemu"):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_signals_leave_a_valid_file_and_no_qemu(number: signal.Signals, code: int, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(ENDLESS)
    path = tmp_path / "o.json"
    with pty_process([TRAPGATE, "run", "--probes", str(tmp_path), "--json", str(path)]) as terminal:
        terminal.expect("never_ends")  # the progress bar names what is at work
        terminal.expect("0:00:01")
        deadline = time.monotonic() + 30
        while not (pids := children(terminal.pid)):
            assert time.monotonic() < deadline, "no QEMU was started"
            time.sleep(0.01)
        qemus = [os.pidfd_open(pid) for pid in pids]
        os.kill(terminal.pid, number)
        terminal.expect(pexpect.EOF)
        terminal.wait()
        found = -terminal.signalstatus if terminal.signalstatus else terminal.exitstatus
        assert found == code
        for descriptor in qemus:  # a pidfd becomes readable when its process ends
            with os.fdopen(descriptor) as ended:
                waiter = pexpect.utils.select_ignore_interrupts([ended], [], [], 20)
                assert waiter[0], "QEMU has outlived the harness"
    document = json.loads(path.read_text())
    assert document["complete"] is False
    assert [name.name for name in tmp_path.iterdir() if name.name.startswith(".")] == []


def pty_process(command: list[str]) -> pexpect.spawn[str]:
    return pexpect.spawn(command[0], command[1:], dimensions=(40, 100), encoding="utf-8", timeout=60)


def test_a_terminal_gets_a_progress_bar_and_colour(project: Path) -> None:
    with pty_process([TRAPGATE, "run", "--probes", str(project / "probes"), "ipi/self_ipi.py"]) as terminal:
        terminal.expect(r"\d/3")
        terminal.expect(pexpect.EOF)
        text = terminal.before or ""
    assert "\x1b[" in text
    assert "FAIL" in text


def test_a_reader_that_closes_its_pipe(project: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [TRAPGATE, "list"], stdout=gone, stderr=subprocess.PIPE, text=True, cwd=project, check=False
        )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("kind", "said"), [("software", True), ("hardware", False)])
def test_a_fail_under_a_software_kvm_has_a_note(kind: str, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.commands.run.kvm_kind", lambda: kind)
    accelerators: tuple[Accelerator, ...] = ("kvm", "tcg")
    for accelerator in accelerators:
        target = Target(name="t", accelerator=accelerator, clock="realtime")
        result = Result("area", RunRecord("p", "t", Verdict.FAIL, "", "", 0.0))
        note = _note_on_kvm(Plan([(target, [])], Stream(RunOptions())), [result])
        assert ("docs/software-kvm.md" in note) == (said and accelerator == "kvm")
