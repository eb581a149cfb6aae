"""A hostile guest before a case, on the same machine, changes nothing; what differs on a fresh machine is an error."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from thorough import THOROUGH
from typer.testing import CliRunner

from harness.campaign.compare import warm_difference
from harness.campaign.hostile import Attack, attacks
from harness.campaign.leaks import hostile_case
from harness.campaign.sharding import Shard
from harness.campaign.verify import a_second_moved_the_turns
from harness.cli import app
from harness.hardware.platform import PLATFORMS
from harness.probes.loader import load_probes
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict
from harness.run.sticky_writes import sticky_write

PORTS = (
    0x20,
    0x21,
    0x40,
    0x42,
    0x43,
    0x60,
    0x61,
    0x64,
    0x70,
    0x71,
    0x81,
    0x8F,
    0xA1,
    0x1F2,
    0x3F9,
    0x4D0,
    0xCF8,
    0x2005,
)
SAMPLE = Shard(5, 60)  # of the catalogue, where not all of it is run


def neighbour(case: Case, machine: str, chosen: random.Random) -> Attack:
    """A single write, mostly one behind which the machine is used again."""
    attack = chosen.choice(list(attacks(PLATFORMS[machine], case.probe.needs, PORTS)))
    part = attack.parts(lambda text: sticky_write(text.splitlines(), machine) is None)[0]
    return Attack(part.kind, (chosen.choice(part.items),), part.pattern)


@pytest.mark.parametrize("on", ["q35-tcg", "pc-tcg", "microvm-tcg"])
def test_hostile_neighbours_change_no_verdict(on: str) -> None:
    chosen = random.Random(on)
    cases = [case for found in load_probes() for case in found.cases() if THOROUGH or SAMPLE.holds(case.id)]
    found = {}
    kept = 0
    with Executor(target(on), RunOptions(cold=False)) as executor, Executor(target(on), RunOptions(cold=True)) as fresh:
        for case in cases:
            cold = fresh.run(case)
            if cold.verdict is Verdict.UNSUPPORTED:
                continue
            attack = neighbour(case, target(on).machine, chosen)
            executor.run(hostile_case(attack, case.probe))
            kept += any(machine.alive for machine in executor._pool._idle.values())
            warm = executor.run(case)
            text = warm_difference(case, cold, warm)
            if text is not None and not a_second_moved_the_turns(executor, case, cold):
                found[case.id] = f"after {attack.name}: {text} {warm.reason}"
    assert found == {}
    assert kept > 5


LEAK = """
from harness import Kernel, ProbeBody, probe

@probe.each(number=[1, 2])
@probe(spec="none")
def reads_what_it_has_written(k: Kernel, number: int) -> ProbeBody:
    \"\"\"CMOS is as a fresh machine has it.\"\"\"
    found = k.value("found")
    k.asm("mov al, 0x40\\nout 0x70, al\\nin al, 0x71\\nmovzx eax, al\\nmov qword ptr [found], rax")
    k.asm("mov al, 0x40\\nout 0x70, al\\nmov al, 0x5A\\nout 0x71, al")
    run = yield
    assert (run[found] == 0x5A) == (number == 2)
"""


def test_a_pass_that_a_fresh_machine_does_not_give_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leak.py").write_text(LEAK)
    monkeypatch.setattr("harness.run.leftovers.sticky_write", lambda texts, machine: None)
    monkeypatch.setattr("harness.run.execute.reads_clock", lambda texts: False)
    file = tmp_path / "o.json"
    call = ["run", str(tmp_path / "leak.py"), "-j", "1", "--json", str(file)]
    assert CliRunner().invoke(app, call).exit_code == 0  # the second case passes by what the first one left
    done = CliRunner().invoke(app, [*call, "--verify-warm"])
    assert done.exit_code == 3
    first, second = json.loads(file.read_text())["runs"]
    assert (first["verdict"], second["verdict"]) == ("pass", "error")
    assert second["reason"].startswith("a warm machine and a fresh one differ: the verdict is pass, cold fail (assert ")


def test_what_passes_on_both_passes(tmp_path: Path) -> None:
    file = tmp_path / "o.json"
    done = CliRunner().invoke(app, ["run", "lapic/self_ipi.py", "--verify-warm", "--json", str(file)])
    assert done.exit_code == 0
    assert {run["verdict"] for run in json.loads(file.read_text())["runs"]} == {"pass"}


@pytest.mark.parametrize("other", [["--cold"], ["--repeat", "2"]])
def test_options_that_exclude_each_other(other: list[str]) -> None:
    done = CliRunner().invoke(app, ["run", "lapic/self_ipi.py", "--verify-warm", *other])
    assert done.exit_code == 2
