"""A wait in vain: the reason names the cause, the report the program that waits, the record the line that waited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.probes.loader import load_probes
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

GUESTS = Path(__file__).parents[1] / "data" / "time_outs"
CASES = {probe.name: probe.cases()[0] for probe in load_probes([GUESTS])}
CAME = {"no_eoi": "× 2, 1", "once_and_no_eoi": "× 2, 1", "no_eoi_to_the_8259": "× 2, 1"}
PENDING = "vector 0x50 is pending in the local APIC of processor 0 (IRR), but "
IRQ_0 = "input 0 of the master 8259 (IRQ 0) has vector 0x20"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as made:
        yield made


def line_of(case: Case, text: str) -> int:
    """The line of a case's function that holds the text."""
    lines = case.probe.path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if number >= case.probe.line and text in line)


def section(record: RunRecord, title: str) -> str:
    return next((each.text for each in record.detail.sections if each.title == title), "")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("interrupts_off", PENDING + "interrupts are off there (IF=0)"),
        ("task_priority", PENDING + "the task priority holds it back (TPR=0x50)"),
        ("no_eoi", PENDING + "vector 0x50 is still in service there (ISR), as no EOI was sent for it"),
        ("no_eoi_of_another", PENDING + "vector 0x61 is still in service there (ISR), as no EOI was sent for it"),
        ("once_and_no_eoi", "vector 0x50 is still in service on processor 0 (ISR): no EOI was sent"),
        ("masked_pin", "IO APIC pin 5 has vector 0x50 and is masked"),
        ("nobody_there", "IO APIC pin 5 has vector 0x50 and sends it to APIC ID 9, which no started processor has (0)"),
        ("masked_timer", "LVT TIMER of processor 0 has vector 0x50 and is masked"),
        ("timer_not_started", "the timer does not run: its initial count is 0"),
        ("timer_too_slow", "the timer still counts: "),
        ("apic_disabled_by_software", "disabled by software (SVR bit 8 is 0)"),
        ("apic_disabled", "the local APIC of processor 0 is disabled (IA32_APIC_BASE bit 11 is 0)"),
        ("wrong_vector", "0x51 × 2 came instead"),
        ("gate_leads_away", "the IDT gate of vector 0x50 on processor 0 leads to stub_51"),
        ("gate_absent", "the IDT gate of vector 0x50 on processor 0 is not present (P=0)"),
        ("masked_8259", f"{IRQ_0} and is masked (IMR bit 0 is 1)"),
        ("no_eoi_to_the_8259", f"{IRQ_0}, and input 0 is still in service there (ISR)"),
        ("lint0_masked", f"{IRQ_0} and is pending (IRR), but LVT LINT0 of processor 0, through which it comes, is"),
        ("nothing_at_all", "vector 0x50 was not requested: no local APIC"),
        ("off_on_the_other", "pending in the local APIC of processor 1 (IRR), but interrupts are off there (IF=0)"),
    ],
)
def test_the_reason_names_the_cause(executor: Executor, name: str, cause: str) -> None:
    record = executor.run(CASES[name])
    assert record.verdict is Verdict.FAIL, record.reason
    vector = "0x20" if "0x20" in cause else "0x50"
    assert record.reason.startswith(f"time-out: waited for vector {vector} {CAME.get(name, '× 1, 0')} came: ")
    assert cause in record.reason
    assert record.detail.line == line_of(CASES[name], "k.wait_for(")
    registers = section(record, "Registers of the program that waits")
    assert f"waits.py:{record.detail.line}" in registers, "the program, not the runtime"
    assert "signal" not in registers


def test_a_gate_that_is_not_present_is_named_for_an_unexpected_exception(executor: Executor) -> None:
    record = executor.run(CASES["gate_absent_unexpected"])
    assert record.reason.startswith("unexpected #NP(")
    assert record.reason.endswith(": the IDT gate of vector 0x50 is not present (P=0)")


def test_a_wait_that_sleeps_names_its_cause_too(executor: Executor) -> None:
    record = executor.run(CASES["asleep"])
    assert "waited for vector 0x50 × 1, 0 came: LVT TIMER of processor 0 has vector 0x50 and is masked" in record.reason
    assert record.detail.line == line_of(CASES["asleep"], "k.wait_for(")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("a_word", "waited for done & 0xffffffffffffffff == 0x1: it is 0x5"),
        ("an_unwritten_word", "waited for done & 0xffffffffffffffff == 0x1: done was never written"),
        ("another_processor_spins", "processor 1 to end its routine: processor 1 executes at cpu1_1"),
    ],
)
def test_the_time_out_of_a_wait_for_memory_has_its_content(executor: Executor, name: str, cause: str) -> None:
    assert cause in executor.run(CASES[name]).reason


def test_the_registers_are_those_of_the_program(executor: Executor) -> None:
    registers = section(executor.run(CASES["a_word"]), "Registers of the program that waits")
    assert "RBX 0000000001234567" in registers
    assert "R15 0000000007654321" in registers


def test_an_interrupt_in_a_wait_is_recorded_at_the_line_that_waits(executor: Executor) -> None:
    case = CASES["interrupted_in_a_wait"]
    record = executor.run(case)
    assert record.verdict is Verdict.PASS, record.reason
    calls = ("k.wait_for(VECTOR, 1)", "k.stay_quiet(", "k.wait_until(go", "k.wait_for(VECTOR, 4")
    file = "tests/data/time_outs/waits.py"
    assert [i.where for i in record.interrupts[:4]] == [f"waiting at {file}:{line_of(case, call)}" for call in calls]
    assert record.interrupts[4].where.startswith("program+")


def test_marks_and_values_are_in_the_record(executor: Executor) -> None:
    record = executor.run(CASES["marks_and_values"])
    document = record.to_json()
    assert [mark["name"] for mark in document["marks"]] == ["armed", "done"]
    assert [mark["seq"] for mark in document["marks"]] == [0, 2]
    assert document["interrupts"][0]["seq"] == 1
    assert document["values"] == {"number": 5, "never": None}
