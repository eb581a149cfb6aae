"""`with k.faults(…):` in which no exception comes is a fail at its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import trapgate

PROBE = '''
from harness import probe


@probe(spec="SDM vol. 2, UD")
def rule(k):
    """A rule."""
    with k.faults({arguments}):
        k.asm("{instruction}")
    k.mark("end")
    run = yield
    assert run.sequence[-1] == "end"
'''


@pytest.mark.parametrize(
    ("arguments", "instruction", "status", "text"),
    [
        ("13", "nop", 1, "rule.py:8: no #GP came in the block of k.faults"),
        ("", "nop", 1, "rule.py:8: no exception came in the block of k.faults"),
        ("6", "ud2", 0, "1 pass"),
        ("", "ud2", 0, "1 pass"),
        ("6, optional=True", "nop", 0, "1 pass"),
        ("6, optional=True", "ud2", 0, "1 pass"),
    ],
)
def test_a_block_without_its_exception_fails(
    tmp_path: Path, arguments: str, instruction: str, status: int, text: str
) -> None:
    file = tmp_path / "area" / "rule.py"
    file.parent.mkdir()
    file.write_text(PROBE.format(arguments=arguments, instruction=instruction))
    done = trapgate("run", "--probes", ".", cwd=tmp_path)
    assert (done.returncode, text in done.stdout) == (status, True), done.stdout + done.stderr
