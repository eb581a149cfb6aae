"""A report that lacks a run is marked incomplete, with the cause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import run_pytest
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
    done = run_pytest("--trapgate-json=o.json", *words, cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    document: dict[str, Any] = json.loads((folder / "o.json").read_text())
    return document


def check_broken_files(folder: Path, files: dict[str, str], *workers: str) -> None:
    """Run the project with these files, whose probes cannot be loaded; `files`: text of each, by what is wrong."""
    write_project(folder)
    for number, broken in enumerate(files):
        (folder / "probes" / f"broken{number}.py").write_text(files[broken])
    document = report(folder, *workers, f"--junitxml={folder / 'o.xml'}", "probes")
    runs = {run["probe"]: run for run in document["runs"]}
    for number, broken in enumerate(files):
        run = runs[f"probes/broken{number}.py"]
        assert (run["verdict"], run["target"]) == ("error", "q35-tcg")
        assert run["reason"].startswith(f"probes/broken{number}.py:{broken[-1]}: ")
    assert len(document["runs"]) == 7 + len(files)
    assert (document["complete"], document["cause"]) == (True, "")
    assert document["counts"]["error"] == 1 + len(files)
    suite = ElementTree.parse(folder / "o.xml").getroot()[0]
    counts = [str(7 + len(files)), "2", str(1 + len(files))]
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == counts


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_an_error_in_the_report_of_pytest(tmp_path: Path, broken: str) -> None:
    check_broken_files(tmp_path, {broken: BROKEN[broken]})


def test_so_are_broken_files_with_xdist(tmp_path: Path) -> None:
    check_broken_files(tmp_path, BROKEN, "-n2")


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
