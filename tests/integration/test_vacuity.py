"""Steps are taken away from real probes, good and bad ones, and what is found is true."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from harness.campaign.vacuity import CaseVacuity, Effect, TriggerFinding, examine
from harness.cli import app
from harness.probes.loader import load_file
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.build import Built
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import AtFault, RunRecord, Verdict

HEAD = """
from harness import Kernel, ProbeBody, probe

SPEC = "SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure"
"""
GOOD = '''
@probe(spec=SPEC)
def good(k: Kernel) -> ProbeBody:
    """INT n goes through gate n."""
    seen = k.value("seen")
    k.asm("nop")
    k.expect(0x50)
    k.asm("mov ebx, 7")
    with k.trigger():
        k.int_n(0x50)
    k.store(seen, "rbx")
    run = yield
    assert run.vectors == [0x50]
    assert run[seen] == 7
'''
VACUOUS = '''
@probe(spec=SPEC)
def vacuous(k: Kernel) -> ProbeBody:
    """It judges nothing that its trigger causes."""
    with k.trigger():
        k.asm("nop")
    run = yield
    assert run.vectors == []
'''
UNMARKED = '''
@probe(spec=SPEC)
def unmarked(k: Kernel) -> ProbeBody:
    """No cause is marked."""
    k.expect(0x50)
    k.int_n(0x50)
    run = yield
    assert run.vectors == [0x50]
'''
BROKEN = '''
@probe(spec=SPEC)
def broken(k: Kernel) -> ProbeBody:
    """Without its trigger its judgement falls over instead of failing."""
    k.expect(0x50)
    with k.trigger():
        k.int_n(0x50)
    run = yield
    assert run.interrupts[0].vector == 0x50
'''
HOST = '''
@probe(spec="SDM vol. 3A, Nonmaskable Interrupt (NMI)")
def by_the_host(k: Kernel) -> ProbeBody:
    """An NMI of the board arrives on vector 2."""
    k.expect(2)
    k.checkpoint("armed")
    k.stay_quiet()
    run = yield
    run.reached("armed")
    run.trigger(run.qmp, "inject-nmi")
    run.resume()
    assert run.vectors == [2]
'''
JUMPS = '''
@probe(spec=SPEC)
def jumps(k: Kernel) -> ProbeBody:
    """One step needs the label of another."""
    k.asm("jmp over")
    k.asm("over:")
    with k.trigger():
        k.int_n(0x50)
    run = yield
    assert run.vectors == [0x50]
'''
RED = '''
@probe(spec=SPEC)
def red(k: Kernel) -> ProbeBody:
    """Its verdict is fail without any removal."""
    with k.trigger():
        k.asm("nop")
    run = yield
    assert run.vectors == [0x50]
'''


def write(tmp_path: Path, *probes: str) -> Path:
    file = tmp_path / "cases.py"
    file.write_text(HEAD + "\n\n".join(dedent(text) for text in probes))
    return file


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CaseVacuity]:
    folder = tmp_path_factory.mktemp("vacuity")
    probes = load_file(write(folder, GOOD, VACUOUS, UNMARKED, BROKEN, HOST, JUMPS, RED), folder)
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        return {probe.name: examine(executor, probe.cases()[0]) for probe in probes}


def test_a_probe_that_depends_on_its_trigger(found: dict[str, CaseVacuity]) -> None:
    good = found["good"]
    assert good.trigger is TriggerFinding.FAIL
    effects = {removal.what: removal.effect for removal in good.removals if removal.what != "asm"}
    assert effects["int 0x50"] is Effect.RED
    assert effects["seen = rbx"] is Effect.RED
    nop, move = [removal for removal in good.removals if removal.what == "asm"]
    assert (nop.effect, move.effect) == (Effect.GREEN, Effect.RED)
    assert [removal.what for removal in good.removals if removal.trigger] == ["int 0x50"]
    assert 0 < good.score < 1


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("vacuous", TriggerFinding.STILL_GREEN),
        ("unmarked", TriggerFinding.NO_TRIGGER),
        ("broken", TriggerFinding.ERROR),
        ("by_the_host", TriggerFinding.FAIL),
        ("jumps", TriggerFinding.FAIL),
    ],
)
def test_what_removing_the_triggers_shows(found: dict[str, CaseVacuity], name: str, finding: TriggerFinding) -> None:
    assert found[name].verdict is Verdict.PASS, found[name].reason
    assert found[name].trigger is finding


def test_the_hosts_trigger_is_left_out(found: dict[str, CaseVacuity]) -> None:
    assert found["by_the_host"].host_trigger
    assert not found["good"].host_trigger


def test_a_step_that_cannot_go_counts_for_nothing(found: dict[str, CaseVacuity]) -> None:
    jumps = found["jumps"]
    assert jumps.count(Effect.BROKEN) == 1
    assert jumps.removable == len(jumps.removals) - 1


def test_a_probe_that_is_not_green_is_set_apart(found: dict[str, CaseVacuity]) -> None:
    assert found["red"].apart
    assert found["red"].verdict is Verdict.FAIL
    assert found["red"].removals == ()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["vacuity", *arguments])
    return result.exit_code, result.output


def test_the_command_keeps_scores(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    baseline = tmp_path / "baseline.json"
    code, output = run("--probes", str(tmp_path), "--write-baseline", str(baseline))
    assert code == 0, output
    assert "1 of 1 case fail without their trigger" in output
    document = json.loads(baseline.read_text())
    entry = document["cases"][f"{tmp_path.name}/cases.py::good"]
    assert entry["score"] == round(entry["red"] / entry["removable"], 4) == document["score"]
    assert run("--probes", str(tmp_path), "--check", str(baseline))[0] == 0
    write(tmp_path, GOOD.replace("    assert run[seen] == 7\n", ""))
    code, output = run("--probes", str(tmp_path), "--check", str(baseline))
    assert code == 1
    assert f"fallen: {tmp_path.name}/cases.py::good was" in output


def test_only_the_first_case_of_each_probe(tmp_path: Path) -> None:
    family = GOOD.replace("@probe(", "@probe.each(number=[1, 2])\n@probe(").replace(
        "(k: Kernel)", "(k: Kernel, number: int)"
    )
    write(tmp_path, family)
    baseline = tmp_path / "baseline.json"
    code, output = run("--probes", str(tmp_path), "--first", "--write-baseline", str(baseline))
    assert code == 0, output
    assert list(json.loads(baseline.read_text())["cases"]) == [f"{tmp_path.name}/cases.py::good[number1]"]


def test_the_command_fails_for_a_vacuous_probe(tmp_path: Path) -> None:
    write(tmp_path, GOOD, VACUOUS)
    code, output = run("--probes", str(tmp_path), "--triggers")
    assert code == 1
    assert "cases.py::vacuous: still green without its trigger" in output


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2, "target": "q35-tcg", "cases": {}}'])
def test_a_baseline_that_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "baseline.json").write_text(text)
    code, output = run("--probes", str(tmp_path), "--check", str(tmp_path / "baseline.json"))
    assert code == 2
    assert "baseline.json" in output


class HeldUp(Executor):
    """An executor whose first `times` runs of each mutant end as those of a host that held QEMU up."""

    times = 0

    def __init__(self, times: int) -> None:
        super().__init__(target("q35-tcg"), RunOptions(cold=False))
        self.times = times
        self.seen: Counter[frozenset[int]] = Counter()

    def run(self, case: Case, options: RunOptions | None = None) -> RunRecord:
        record = super().run(case, options)
        omit = options.omit if options is not None else frozenset()
        self.seen[omit] += 1
        if omit and self.seen[omit] <= self.times:
            return replace(record, verdict=Verdict.ERROR, at_fault=AtFault.HOST, reason="QEMU was held up")
        return record


@pytest.mark.parametrize(
    ("times", "finding", "held_up"), [(1, TriggerFinding.FAIL, 0), (99, TriggerFinding.HELD_UP, 1)]
)
def test_a_mutant_that_the_host_held_up_runs_again(
    tmp_path: Path, times: int, finding: TriggerFinding, held_up: int
) -> None:
    (probe,) = load_file(write(tmp_path, GOOD), tmp_path)
    with HeldUp(times) as executor:
        found = examine(executor, probe.cases()[0])
    assert found.trigger is finding
    assert found.count(Effect.HELD_UP) == held_up * len(found.removals)
    assert found.count(Effect.RED) == (0 if held_up else 3)


class Chance(Executor):
    """An executor whose first `times` runs of each mutant pass, as where a device acts before its trigger."""

    times = 0

    def __init__(self, times: int) -> None:
        super().__init__(target("q35-tcg"), RunOptions(cold=False))
        self.times = times
        self.mutants = 0

    def host_paced(self, case: Case, built: Built) -> bool:
        return True

    def run(self, case: Case, options: RunOptions | None = None) -> RunRecord:
        record = super().run(case, options)
        if options is None or not options.omit:
            return record
        self.mutants += 1
        return replace(record, verdict=Verdict.PASS, reason="") if self.mutants <= self.times else record


@pytest.mark.parametrize(("times", "finding"), [(3, TriggerFinding.FAIL), (4, TriggerFinding.STILL_GREEN)])
def test_one_red_run_shows_a_trigger_where_a_device_works_in_the_hosts_time(
    tmp_path: Path, times: int, finding: TriggerFinding
) -> None:
    (probe,) = load_file(write(tmp_path, GOOD), tmp_path)
    with Chance(times) as executor:
        assert examine(executor, probe.cases()[0], triggers_only=True).trigger is finding
