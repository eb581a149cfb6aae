"""The spine on real QEMU: boot paths, turns of host and guest, processors, privilege levels; and strict verdicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from harness.abi import MAILBOX, MAILBOX_STRUCT, RECORDER
from harness.evidence.run import Run
from harness.probes.deviation import Deviation
from harness.probes.loader import load_file, load_probes
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

DATA = Path(__file__).parents[1] / "data"
CASES = [case for probe in load_probes([DATA / "spine"]) for case in probe.cases()]
WRONG = {p.name: p.cases()[0] for p in load_probes([DATA / "bad_luck"])}


def run(case: Case, name: str = "q35-tcg", *, cold: bool = True) -> RunRecord:
    with Executor(target(name), RunOptions(cold=cold)) as executor:
        return executor.run(case)


@pytest.mark.parametrize("name", ["q35-tcg", "pc-tcg", "q35-tcg-rt"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_sound_guests_pass(case: Case, name: str) -> None:
    record = run(case, name)
    assert record.verdict is Verdict.PASS, record.reason


def test_a_host_trigger_left_out_turns_it_red() -> None:
    case = next(case for case in CASES if case.probe.name == "host_and_guest_take_turns")
    with Executor(target("q35-tcg"), RunOptions(act=False)) as executor:
        assert executor.run(case).verdict is Verdict.FAIL


def test_a_guest_that_lacks_a_feature_of_the_processor_is_unsupported() -> None:
    record = run(WRONG["lacks_a_feature"])
    assert (record.verdict, record.reason) == (Verdict.UNSUPPORTED, "CPUID.01H:EDX.RESERVED[bit 10] is 0")


def recorded(targets: str, sees: str, ref: str) -> Deviation:
    return Deviation(targets=targets, sees=sees, ref=ref, kind="bug", versions="*")


def with_deviation(case: Case, deviation: Deviation) -> Case:
    return replace(case, probe=replace(case.probe, deviations=(deviation,)))


def test_a_recorded_deviation_is_one_only_if_it_is_that_failure() -> None:
    failing = WRONG["fails_its_assertion"]
    assert run(with_deviation(failing, recorded("q35-*", r"\[0x80\] == \[0x81\]", "x"))).verdict is Verdict.DEVIATION
    assert run(with_deviation(failing, recorded("q35-*", "something else", "x"))).verdict is Verdict.FAIL
    assert run(with_deviation(failing, recorded("pc-*", r"\[0x80\] == \[0x81\]", "x"))).verdict is Verdict.FAIL


def test_a_deviation_that_has_disappeared_is_a_failure() -> None:
    record = run(with_deviation(WRONG["well_behaved"], recorded("*", "anything", "docs/deviations.md#x")))
    assert record.verdict is Verdict.FAIL
    assert "disappeared" in record.reason
    assert record.deviation == "docs/deviations.md#x"


def test_an_error_is_never_a_deviation() -> None:
    record = run(with_deviation(WRONG["left_at_checkpoint"], recorded("*", "resume", "x")))
    assert record.verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (RECORDER + 24, "recorder's CRC-32"),  # a RIP in the first record
        (MAILBOX + MAILBOX_STRUCT.offset("RECORD_CRC"), "recorder's CRC-32"),
        (0x20_1000, "values"),
        (0x20_2000 + 4 * 0x41, "counts"),
    ],
)
def test_witnesses_that_disagree_are_an_error(monkeypatch: pytest.MonkeyPatch, address: int, words: str) -> None:
    case = next(case for case in CASES if case.id.endswith("boots_every_way[rom]"))
    stopped = Run.stopped

    def tamper(self: Run, stop: object) -> None:
        self.machine.ram[address] ^= 1
        stopped(self, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "stopped", tamper)
    record = run(case)
    assert record.verdict is Verdict.ERROR
    assert "witnesses disagree" in record.reason
    assert words in record.reason


def test_two_images_that_differ_in_one_immediate_do_not_blur_on_a_warm_machine(tmp_path: Path) -> None:
    file = tmp_path / "pair.py"
    file.write_text(
        '''"""Two programs that differ in one immediate."""
from harness import Kernel, ProbeBody, probe

@probe.each(number=[0x11111111, 0x22222222])
@probe(spec="none")
def immediate(k: Kernel, number: int) -> ProbeBody:
    """The guest stores the number that its own image holds."""
    seen = k.value("seen")
    k.store(seen, number)
    run = yield
    assert run[seen] == number
'''
    )
    first, second = load_probes([file])[0].cases()
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        verdicts = [executor.run(case).verdict for _ in range(10) for case in (first, second)]
    assert verdicts == [Verdict.PASS] * 20


def test_virtual_time_keeps_the_hosts_pace_where_the_host_has_a_part(tmp_path: Path) -> None:
    file = tmp_path / "pace.py"
    file.write_text(
        dedent("""
        from harness import Kernel, ProbeBody, Run, abi, probe

        PACED = abi.PARAMETERS + abi.PARAMETERS_STRUCT.offset("PACED")
        QUIET_MS = 20


        def waits(k: Kernel) -> None:
            k.mark("before")
            k.stay_quiet(ms=QUIET_MS)
            k.mark("after")


        def is_exact(run: Run, paced: bool) -> bool:
            before, after = run.events
            took = (after.tsc - before.tsc) / run.tsc_khz
            return QUIET_MS <= took < QUIET_MS + 0.1 and run.machine.memory(PACED, 4)[0] == paced


        @probe.each(said=[False, True])
        @probe(spec="none: the harness itself")
        def bare(k: Kernel, said: bool) -> ProbeBody:
            \"""Only a probe that requests it keeps the host's pace.\"""
            if said:
                k.keep_host_pace()
            waits(k)
            run = yield
            assert is_exact(run, said)


        @probe(spec="none: the harness itself", needs=["hpet"])
        def timer(k: Kernel) -> ProbeBody:
            \"""A timer has no part in the host's time.\"""
            waits(k)
            run = yield
            assert is_exact(run, False)


        @probe(spec="none: the harness itself", needs=["virtio-blk"])
        def disk(k: Kernel) -> ProbeBody:
            \"""A disk has.\"""
            waits(k)
            run = yield
            assert is_exact(run, True)
        """)
    )
    cases = [case for found in load_file(file, tmp_path) for case in found.cases()]
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        records = [executor.run(case) for case in cases]
    assert [record.verdict for record in records] == [Verdict.PASS] * 4, [record.reason for record in records]
