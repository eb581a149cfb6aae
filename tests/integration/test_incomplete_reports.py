"""A report that lacks a run is marked incomplete, with the cause."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def report(folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--trapgate-json=o.json", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 1, done.stdout + done.stderr
    document: dict[str, Any] = json.loads((folder / "o.json").read_text())
    return document


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "xdist"])
def test_a_collection_error_makes_the_report_of_pytest_incomplete(tmp_path: Path, workers: tuple[str, ...]) -> None:
    write_project(tmp_path)
    (tmp_path / "probes" / "broken.py").write_text("from harness import probe\n1 / 0\n")
    document = report(tmp_path, "--continue-on-collection-errors", *workers, "probes/broken.py", "probes/ipi")
    assert len(document["runs"]) > 1
    assert document["complete"] is False
    assert "probes/broken.py could not be collected" in document["cause"]


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
