"""Warm machines have the same results as fresh ones."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from thorough import THOROUGH

from harness.campaign.compare import warm_difference
from harness.campaign.parallel import run_cases
from harness.campaign.sharding import Shard, shuffled
from harness.campaign.verify import a_second_moved_the_turns
from harness.probes.loader import load_file, load_probes
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

Q35 = target("q35-tcg")
SAMPLE = Shard(1, 12)  # of the catalogue, where not all of it is run


@pytest.fixture(scope="module")
def catalogue() -> list[Case]:
    cases = [case for found in load_probes() for case in found.cases()]
    return cases if THOROUGH else [case for case in cases if SAMPLE.holds(case.id)]


def run_all(cases: list[Case], *, cold: bool, workers: int) -> dict[str, RunRecord]:
    runs = [(Q35, case) for case in cases]
    return {record.probe: record for _, record in run_cases(runs, RunOptions(cold=cold), workers)}


@pytest.fixture(scope="module")
def cold(catalogue: list[Case]) -> dict[str, RunRecord]:
    return run_all(catalogue, cold=True, workers=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 1, 2, 3] if THOROUGH else [1])
def test_the_catalogue_warm_is_the_catalogue_cold(
    catalogue: list[Case], cold: dict[str, RunRecord], seed: int | None
) -> None:
    """One machine, in several orders: whatever a run leaves behind meets every kind of successor."""
    cases = shuffled(catalogue, seed)
    assert len(cases) > 40
    warm = run_all(cases, cold=False, workers=1)
    with Executor(Q35, RunOptions(cold=False)) as again:
        found = {
            case.id: text
            for case in cases
            if (text := warm_difference(case, cold[case.id], warm[case.id])) is not None
            and not (
                cold[case.id].verdict is warm[case.id].verdict and a_second_moved_the_turns(again, case, cold[case.id])
            )
        }
    assert found == {}


def test_two_images_that_differ_in_one_immediate(tmp_path: Path) -> None:
    """QEMU keeps translations through a reset and does not see what the host writes: the ROM must copy the code."""
    file = tmp_path / "immediate.py"
    file.write_text(
        dedent('''
        from harness import Kernel, ProbeBody, probe


        @probe.each(number=[0x1111, 0x2222])
        @probe(spec="SDM vol. 2, MOV—Move")
        def immediate(k: Kernel, number: int) -> ProbeBody:
            """MOV puts its immediate into the register."""
            seen = k.value("seen")
            with k.trigger():
                k.asm(f"mov ebx, {number:#x}")
                k.store(seen, "rbx")
            run = yield
            assert run[seen] == number
        ''')
    )
    (found,) = load_file(file, tmp_path)
    first, second = found.cases()
    with Executor(Q35, RunOptions(cold=False)) as executor:
        verdicts = [executor.run(case).verdict for _ in range(25) for case in (first, second, second, first)]
    assert verdicts == [Verdict.PASS] * 100


def test_a_cold_probe_gets_a_machine_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "processes.py"
    file.write_text(
        dedent('''
        from harness import Kernel, ProbeBody, probe

        seen = {"warm": set(), "cold": set()}


        @probe(spec="SDM vol. 2, MOV—Move")
        def warm(k: Kernel) -> ProbeBody:
            """A machine that stays."""
            run = yield
            seen["warm"].add(run.machine.pid)
            assert len(seen["warm"]) == 1


        @probe(spec="SDM vol. 2, MOV—Move", cold=True)
        def cold(k: Kernel) -> ProbeBody:
            """A machine of its own."""
            run = yield
            assert run.machine.pid not in seen["warm"] | seen["cold"]
            seen["cold"].add(run.machine.pid)
        ''')
    )
    cases = {found.name: case for found in load_file(file, tmp_path) for case in found.cases()}
    with Executor(Q35, RunOptions(cold=False)) as executor:
        records = [executor.run(cases[name]) for name in ("warm", "cold", "warm", "cold", "warm")]
    assert [record.verdict for record in records] == [Verdict.PASS] * 5, [record.reason for record in records]
