"""A recorded deviation is found whatever pytest's options, and is no fail where the host lacks descriptors."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path

import pytest
from commands import TRAPGATE, run_pytest

PROBE = """
from harness import Deviation, Kernel, ProbeBody, probe

@probe(spec="none", deviation=Deviation(targets="*", versions="*", kind="bug", sees="At index 1 diff: 2 != 3", ref="https://example.org/1"))
def differs(k: Kernel) -> ProbeBody:
    \"\"\"Two lists are equal.\"\"\"
    k.asm("nop")
    run = yield
    assert [1, 2, 4] == [1, 3, 4]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "differs.py").write_text(PROBE)
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [[], ["-q"], ["-vv"], ["-o", "truncation_limit_lines=1"], ["-o", "truncation_limit_chars=10"], ["--assert=plain"]],
    ids=" ".join,
)
def test_no_option_of_pytest_changes_a_verdict(project: Path, options: list[str]) -> None:
    done = run_pytest("probes", "--trapgate-json=o.json", *options, cwd=project)
    assert done.returncode == 0, done.stdout
    (run,) = json.loads((project / "o.json").read_text())["runs"]
    assert run["verdict"] == "deviation"


@pytest.mark.parametrize("descriptors", range(16, 40, 8))
def test_with_few_descriptors_a_deviation_is_one_or_an_error(project: Path, descriptors: int) -> None:
    done = subprocess.run(
        [TRAPGATE, "run", "probes/differs.py", "--json", "o.json", "-j", "1"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)),
    )
    assert done.returncode in (0, 2, 3), done.stdout + done.stderr
    if (project / "o.json").exists():
        runs = json.loads((project / "o.json").read_text())["runs"]
        assert {run["verdict"] for run in runs} <= {"deviation", "error"}
