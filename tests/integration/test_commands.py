"""A command has the same result in a forked process as in a new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import TRAPGATE, run_pytest, trapgate

TEST = "import os, sys\ndef test_it():\n    print(os.getcwd(), sys.path, repr(sys.stdin.read()))\n    assert False\n"


@pytest.mark.parametrize("words", [("list", "--probes", "."), ("run", "nothing_of_this_name"), ("asm", "nop")])
def test_trapgate(tmp_path: Path, words: tuple[str, ...]) -> None:
    started = subprocess.run([TRAPGATE, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    forked = trapgate(*words, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    words = ("-q", "-s", "-pno:cacheprovider", "-pno:hypothesispytest")
    command = [sys.executable, "-m", "pytest", *words]
    started = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    forked = run_pytest(*words, cwd=tmp_path)
    found = [(done.returncode, done.stdout.rpartition(" in ")[0], done.stderr) for done in (started, forked)]
    assert found[0] == found[1]
    assert found[0][0] == 1 and str(tmp_path) in found[0][1]
