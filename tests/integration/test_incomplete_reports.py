"""A report that lacks a run is marked incomplete, with the cause."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from example_project import write_project

CRASH = """
import os, signal
from harness import Kernel, ProbeBody, probe

@probe(spec="none")
def ends_its_process(k: Kernel) -> ProbeBody:
    \"\"\"Ends the worker.\"\"\"
    os.kill(os.getpid(), signal.SIGKILL)
    run = yield
    assert run.vectors == []
"""

_HEAD = "from harness import Deviation, probe\n"
_BODY = 'def p(k):\n    """Rule."""\n    run = yield\n    assert run\n'
_WRONG = "deviation=Deviation(targets='*', versions='*', kind='bug', sees='(', ref='x')"
BROKEN = {  # the digit is the line
    "a syntax error in line 3": f"{_HEAD}@probe(spec='S')\ndef p(k:\n",
    "an import that fails in line 2": f"{_HEAD}1 / 0\n@probe(spec='S')\n{_BODY}",
    "a wrong declaration in line 2": f"{_HEAD}@probe(spec='S', {_WRONG})\n{_BODY}",
    "a wrong option in line 2": f"{_HEAD}@probe(spec='S', boots=['rmo'])\n{_BODY}",
    "an exit in line 2": f"{_HEAD}import os; os._exit(0)\n@probe(spec='S')\n{_BODY}",
}


def report(folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--trapgate-json=o.json", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 1, done.stdout + done.stderr
    document: dict[str, Any] = json.loads((folder / "o.json").read_text())
    return document


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_an_error_in_the_report_of_pytest(
    tmp_path: Path, broken: str, workers: tuple[str, ...]
) -> None:
    write_project(tmp_path)
    (tmp_path / "probes" / "broken.py").write_text(BROKEN[broken])
    document = report(tmp_path, *workers, f"--junitxml={tmp_path / 'o.xml'}", "probes")
    (run,) = [run for run in document["runs"] if run["probe"] == "probes/broken.py"]
    assert (run["verdict"], run["target"]) == ("error", "q35-tcg")
    assert run["reason"].startswith(f"probes/broken.py:{broken[-1]}: ")
    assert len(document["runs"]) == 8
    assert (document["complete"], document["cause"]) == (True, "")
    assert document["counts"]["error"] == 2
    suite = ElementTree.parse(tmp_path / "o.xml").getroot()[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["8", "2", "2"]


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "xdist"])
def test_a_collection_error_makes_the_report_of_pytest_incomplete(tmp_path: Path, workers: tuple[str, ...]) -> None:
    write_project(tmp_path)
    (tmp_path / "tests" / "test_broken.py").write_text("1 / 0\n")
    document = report(tmp_path, "--continue-on-collection-errors", *workers, "tests/test_broken.py", "probes/ipi")
    assert len(document["runs"]) > 1
    assert document["complete"] is False
    assert "tests/test_broken.py could not be collected" in document["cause"]


def test_a_worker_that_crashed_makes_the_report_of_pytest_incomplete(tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "probes" / "crash.py").write_text(CRASH)
    document = report(tmp_path, "-n1", "probes/ipi/self_ipi.py", "probes/crash.py")
    assert len(document["runs"]) == 3
    assert document["complete"] is False
    assert "crashed" in document["cause"]


def test_a_report_of_all_runs_has_no_cause(tmp_path: Path) -> None:
    write_project(tmp_path)
    document = report(tmp_path, "probes/ipi/self_ipi.py")
    assert (document["complete"], document["cause"]) == (True, "")
