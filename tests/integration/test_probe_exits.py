"""A probe that tries to end the process is an error of that probe; all other probes still run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import run_pytest, trapgate

HEAD = """
import os, sys
import pytest
from harness import Kernel, ProbeBody, probe

@probe(spec="none")
def a_first(k: Kernel) -> ProbeBody:
    \"\"\"Tries to end the process.\"\"\"
"""
REST = '''

@probe(spec="none")
def b_second(k: Kernel) -> ProbeBody:
    """Fails."""
    k.asm("nop")
    run = yield
    assert run.vectors == [1]
'''
ABOVE = "    {}\n    k.asm('nop')\n    run = yield\n    assert run.vectors == []\n"
BELOW = "    k.asm('nop')\n    run = yield\n    assert run.vectors == []\n    {}\n"
CALLS = (
    "sys.exit(0)",
    "os._exit(0)",
    "__import__('posix')._exit(0)",
    "raise KeyboardInterrupt",
    "raise SystemExit",
    "pytest.skip('x')",
    "pytest.exit('x', 0)",
    "__import__('ctypes').CDLL(None)._exit(0)",
    "__import__('ctypes').CDLL(None).exit(0)",
    "os.execv('/bin/true', ['true'])",
    "os.execlp('true', 'true')",
)


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("where", [ABOVE, BELOW], ids=["above", "below"])
def test_an_exit_in_a_probe_is_its_error_and_the_next_probe_runs(tmp_path: Path, where: str, jobs: str) -> None:
    for number, call in enumerate(CALLS):
        (tmp_path / f"t{number}.py").write_text(HEAD + where.format(call) + REST)
    done = trapgate("run", "--probes", ".", "-j", jobs, "--json", "o.json", cwd=tmp_path)
    document = json.loads((tmp_path / "o.json").read_text())
    verdicts = [(run["probe"].rpartition("::")[2], run["verdict"]) for run in document["runs"]]
    assert verdicts == [("a_first", "error"), ("b_second", "fail")] * len(CALLS), done.stdout + done.stderr
    assert done.returncode == 3
    assert document["complete"] is True
    reasons = [run["reason"] for run in document["runs"] if run["verdict"] == "error"]
    assert all(re.search("called|raised|looked up", reason) for reason in reasons), reasons


def test_a_process_that_a_probe_forked_may_end(tmp_path: Path) -> None:
    body = "    k.asm('nop')\n    run = yield\n    child = os.fork()\n    if child == 0:\n        os._exit(5)\n"
    body += "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5\n"
    (tmp_path / "t.py").write_text(HEAD + body + REST)
    done = trapgate("run", "--probes", ".", "--json", "o.json", cwd=tmp_path)
    document = json.loads((tmp_path / "o.json").read_text())
    assert [run["verdict"] for run in document["runs"]] == ["pass", "fail"], done.stdout + done.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("where", [ABOVE, BELOW], ids=["above", "below"])
def test_a_process_that_a_probe_forked_does_not_run_the_rest(tmp_path: Path, where: str, jobs: str) -> None:
    (tmp_path / "t.py").write_text(HEAD + where.format("child = os.fork()\n    if child: os.waitpid(child, 0)") + REST)
    done = trapgate("run", "--probes", ".", "-j", jobs, "--json", "o.json", cwd=tmp_path)
    document = json.loads((tmp_path / "o.json").read_text())
    assert [run["verdict"] for run in document["runs"]] == ["pass", "fail"], done.stdout + done.stderr
    assert done.returncode == 1
    assert done.stderr.count("returned from the probe") == 1
    assert done.stdout.count("2 runs on 1 target") == 1, done.stdout


@pytest.mark.parametrize(
    "call",
    ["sys.exit(0)", "os._exit(0)", "raise KeyboardInterrupt", "os.execv('/bin/true', ['true'])"],
)
@pytest.mark.parametrize("where", [ABOVE, BELOW], ids=["above", "below"])
def test_an_exit_in_a_probe_does_not_end_pytest(tmp_path: Path, where: str, call: str) -> None:
    (tmp_path / "t.py").write_text(HEAD + where.format(call) + REST)
    done = run_pytest("t.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 failed" in done.stdout and "1 error" in done.stdout


def test_an_exit_at_import_is_an_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text("import os\nfrom harness import probe\nos._exit(0)\n")
    done = trapgate("run", "--probes", ".", cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert "t.py:3" in done.stderr + done.stdout
    assert "must not end the process" in done.stderr + done.stdout
