from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness import abi
from harness.campaign.compare import first_difference, warm_difference
from harness.evidence.interrupts import InterruptRecord
from harness.probes.probe import Case, Probe, ProbeBody
from harness.qemu.target import target
from harness.run.record import RunRecord, Verdict

ICOUNT, REAL = target("q35-tcg"), target("q35-tcg-rt")
WAIT = "waiting at probe.py:5"
CODE = "program+0x4 (guest/probes/x.py:9)"


def body(k: object) -> ProbeBody:
    yield


CASE = Case(Probe(body, "spec"), {})
DISK = Case(Probe(body, "spec", needs=("nvme",)), {})


def interrupt(seq: int = 0, **fields: Any) -> InterruptRecord:
    plain: dict[str, Any] = dict.fromkeys(("cs", "rflags", "ss", "rsp", "cr2"), 0)
    plain |= {"cpu": 0, "vector": 0x50, "name": "", "error_code": None, "rip": 0x110004, "where": CODE, "tsc": 100}
    return InterruptRecord(seq=seq, in_service=False, **plain | fields)


def record(*interrupts: InterruptRecord, **fields: Any) -> RunRecord:
    plain: dict[str, Any] = {"snapshot": bytes(abi.SNAPSHOT_SIZE), "interrupts": interrupts, "verdict": Verdict.PASS}
    return RunRecord(probe="p", target="t", rule="", citation="", ms=1.0, **plain | fields)


BASE = record(interrupt(), interrupt(1))


def test_equal_runs() -> None:
    assert first_difference(CASE, ICOUNT, BASE, BASE) is None
    assert warm_difference(CASE, BASE, BASE) is None


@pytest.mark.parametrize(
    ("other", "said", "timing"),
    [
        (
            replace(BASE, verdict=Verdict.FAIL, reason="why\nmore"),
            "the verdict is fail (why; more), it was pass",
            False,
        ),
        (record(interrupt(), interrupt(1, vector=0x51)), "interrupt 1 is vector 0x51 on CPU 0", False),
        (record(interrupt(), interrupt(1, cpu=1)), "on CPU 1", False),
        (record(interrupt(error_code=0), interrupt(1)), "with error code 0x0", False),
        (record(interrupt()), "1 interrupts came, there were 2", False),
        (record(interrupt(), interrupt(1, tsc=101)), "interrupt 1 (vector 0x50 on CPU 0) came at tick 101", True),
        (record(interrupt(rip=0x110005), interrupt(1)), "interrupt 0", True),
    ],
)
def test_differences(other: RunRecord, said: str, timing: bool) -> None:
    found = first_difference(CASE, ICOUNT, BASE, other)
    assert found is not None
    assert said in found.text
    assert found.timing is timing


def test_real_time_compares_verdicts_alone() -> None:
    assert first_difference(CASE, REAL, BASE, record()) is None
    assert first_difference(CASE, REAL, BASE, replace(BASE, verdict=Verdict.ERROR)) is not None


def test_what_depends_on_the_host_has_no_exact_time() -> None:
    late = record(interrupt(), interrupt(1, tsc=101))
    assert first_difference(DISK, ICOUNT, BASE, late) is None
    assert first_difference(CASE, ICOUNT, replace(BASE, host_acted=True), late) is None


def test_which_processor_a_disk_serves_first_is_chance() -> None:
    one = record(interrupt(0, cpu=0), interrupt(1, cpu=1, vector=0x51))
    other = record(interrupt(0, cpu=1, vector=0x51), interrupt(1, cpu=0))
    assert first_difference(DISK, ICOUNT, one, other) is None
    assert first_difference(CASE, ICOUNT, one, other) is not None


def test_warm_waits_may_be_interrupted_elsewhere() -> None:
    waiting = [record(interrupt(rip=rip, where=WAIT)) for rip in (0x101000, 0x101004)]
    assert warm_difference(CASE, *waiting) is None
    running = [record(interrupt(rip=rip)) for rip in (0x110000, 0x110004)]
    assert warm_difference(CASE, *running) is not None


def changed(name: str, at: int = 0) -> RunRecord:
    snapshot = bytearray(abi.SNAPSHOT_SIZE)
    snapshot[abi.SNAPSHOT.offset(name) + at] = 0x40
    return replace(BASE, snapshot=bytes(snapshot))


@pytest.mark.parametrize(
    ("name", "at"), [("LAPIC", 8), ("IOAPIC", 20), ("PIC", 3), ("HPET", 8), ("HPET", 48), ("CR4", 0), ("TR", 1)]
)
def test_warm_state_counts(name: str, at: int) -> None:
    found = warm_difference(CASE, BASE, changed(name, at))
    assert found is not None
    assert name in found


@pytest.mark.parametrize(("name", "at"), [("TSC", 0), ("VALID", 0), ("PIT", 0), ("PIT", 2)])
def test_what_a_reset_leaves_does_not(name: str, at: int) -> None:
    assert warm_difference(CASE, BASE, changed(name, at)) is None
