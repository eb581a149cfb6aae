"""Standard output that is full, closed, or plain ASCII: the run goes on, the cause is named, nothing is a defect."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from commands import TRAPGATE

PROBE = '''
from harness import Kernel, ProbeBody, probe


@probe(spec="SDM — “Masking”")
def rule(k: Kernel) -> ProbeBody:
    """A rule with a µ, a × and a ☃."""
    k.expect(0x80)
    k.asm("mov ebx, 9\\n.Lagain: int 0x80\\ndec ebx\\njnz .Lagain")
    run = yield
    assert run.vectors == []
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rule.py").write_text(PROBE, encoding="utf-8")
    return tmp_path


def run(folder: Path, words: str, shell: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of trapgate in a shell that redirects its output."""
    command = f"{TRAPGATE} {words} {shell}"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


RUN = "run --probes . --json out.json"


@pytest.mark.parametrize("words", [RUN, "list --probes .", "--help", "--version"])
def test_a_full_disk_is_named_and_the_run_continues(folder: Path, words: str) -> None:
    done = run(folder, words, ">/dev/full")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "trapgate: standard output: No space left on device: the output is not complete"
    )
    assert "Traceback" not in done.stderr and "defect" not in done.stderr
    if words == RUN:
        document = json.loads((folder / "out.json").read_text())
        assert document["complete"] and document["counts"]["fail"] == 1


@pytest.mark.parametrize("shell", [">&-", ">&- 2>&-", ">&- 2>&- <&-", "<&-"])
def test_closed_streams_change_no_verdict(folder: Path, shell: str) -> None:
    done = run(folder, RUN, shell)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert json.loads((folder / "out.json").read_text())["counts"]["fail"] == 1


def test_a_reader_that_leaves_ends_nothing(folder: Path) -> None:
    done = run(folder, RUN, "| true")
    assert done.stderr == ""
    assert json.loads((folder / "out.json").read_text())["complete"]


ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("environment", ASCII, ids=["ascii", "C"])
@pytest.mark.parametrize(("words", "code"), [(RUN, 1), ("list --probes .", 0), ("run --help", 0)])
def test_plain_ascii_is_enough(folder: Path, environment: dict[str, str], words: str, code: int) -> None:
    done = run(folder, words, "", **environment)
    assert done.returncode == code, done.stderr
    assert done.stdout.isascii() and done.stderr == ""
    if words == RUN:
        assert "A rule with a u, a x and a \\u2603." in done.stdout
        assert "assert [0x80 x 9] == []" in done.stdout
        assert 'SDM -- "Masking"' in done.stdout
