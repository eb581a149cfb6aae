"""A mistake in a probe is reported as one, with its line and a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import run_pytest, trapgate

PROBE = '''
from harness import Kernel, ProbeBody, probe


@probe(spec="none")
def rule(k: Kernel) -> ProbeBody:
    """A rule."""
    seen = k.value("seen")
    k.store(seen, 1)
    k.checkpoint("here")
    k.expect(0x80)
    k.mark("armed")
    k.int_n(0x80)
    {above}
    run = yield
    run.resume()
    {below}
    assert run.vectors == [0x80]
'''


def run(folder: Path, text: str) -> tuple[dict[str, Any], str]:
    """The only record of `trapgate run`, and what it printed."""
    (folder / "rule.py").write_text(text)
    done = trapgate("run", "--probes", ".", "--json", "out.json", cwd=folder)
    (record,) = json.loads((folder / "out.json").read_text())["runs"]
    return record, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("above", "below", "words"),
    [
        ("", "assert run.events == ['armed', 0x80]", "To fix: compare run.sequence"),
        (
            "",
            "assert run.interrupts == [0x80]",
            "is compared with 0x80, which is no record. To fix: compare run.vectors",
        ),
        ("", "assert run['sen'] == 1", "the program has no value 'sen'. Did you mean 'seen'?"),
        ("", "run.at('her')", "the program has no checkpoint 'her'. Did you mean 'here'?"),
        ("", "run.resume()", "run.resume(): the run has ended already"),
        ("", "assert run.vectr == []", "Did you mean vectors?"),
        ("", "1 / 0", "ZeroDivisionError"),
        ("1 / 0", "", "ZeroDivisionError"),
        ("k.asm('mov eax, [rip+nowhere]')", "", "nowhere"),
        ("k.lapc.EOI.write(0)", "", "Did you mean lapic?"),
    ],
)
def test_a_mistake_is_an_error_of_the_probe(tmp_path: Path, above: str, below: str, words: str) -> None:
    record, printed = run(tmp_path, PROBE.format(above=above, below=below))
    assert (record["verdict"], record["at_fault"]) == ("error", "probe"), printed
    assert words in record["reason"]
    assert "harness or QEMU broke" not in printed


@pytest.mark.parametrize(
    ("head", "decorator", "words"),
    [
        ("import helper", "spec='none'", "'helper'. helper is beside this file. To fix: from . import helper, or from"),
        ("import hellper", "spec='none'", "No module named 'hellper'"),
        ("", "spec='none', need=['hpet']", "@probe has no option need=. Did you mean needs=?"),
        ("", "spec='none', zzz=1", "@probe has no option zzz=. Expected: spec, needs"),
        ("", "cpus=1", "To fix: @probe(spec=…)"),
        ("", "spec='none', needs=['hpett']", "no device is named 'hpett'; did you mean 'hpet'?"),
    ],
)  # fmt: skip
def test_the_error_of_a_file_that_cannot_be_loaded_has_a_remedy(
    tmp_path: Path, head: str, decorator: str, words: str
) -> None:
    (tmp_path / "helper.py").write_text("X = 1\n")
    text = f"\n{head}\n{PROBE.format(above='', below='')}".replace('spec="none"', decorator)
    (tmp_path / "rule.py").write_text(text)
    done = trapgate("run", "--probes", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("trapgate: rule.py:")
    assert words in done.stderr


def test_pytest_calls_it_a_mistake_in_the_probe(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text(PROBE.format(above="", below="run.resume()"))
    done = run_pytest("rule.py", cwd=tmp_path)
    assert "rule.py:17: mistake in the probe" in done.stdout
    assert "QEMU broke" not in done.stdout


def test_records_compare_with_records(tmp_path: Path) -> None:
    below = "assert run.events == list(run.events) and run.events[:0] == () and run.interrupts != []"
    record, printed = run(tmp_path, PROBE.format(above="", below=below))
    assert record["verdict"] == "pass", printed
    assert record["at_fault"] == ""
