"""The section "Delivery path" names the gate that a guest closed, and the field that opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evidence import delivery
from harness.probes.loader import load_probes
from harness.qemu.errors import QemuError
from harness.qemu.machine import Machine
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

GUESTS = Path(__file__).parents[1] / "data" / "delivery_path"
CASES = {probe.name: probe.cases()[0] for probe in load_probes([GUESTS])}
ENTRY = "IOREDTBL[5]"
CLOSED = {
    "ioapic_mask": ("likely", f"{ENTRY}.MASK (1: masked)", f"{ENTRY}.MASK = 0"),
    "ioapic_remote_irr": ("likely", f"{ENTRY}.REMOTE_IRR (1: no EOI for the last one)", "an EOI for 0x50"),
    "ioapic_destination": (
        "likely",
        f"{ENTRY}.DESTINATION (0x9, physical: no processor)",
        "a DESTINATION that matches APIC ID (0x0)",
    ),
    "ioapic_logical_destination": (
        "likely",
        f"{ENTRY}.DESTINATION (0x80, logical: no processor)",
        "a DESTINATION that matches LDR.LOGICAL_APIC_ID (0x1)",
    ),
    "ioapic_cluster_destination": (
        "likely",
        f"{ENTRY}.DESTINATION (0x21, logical: no processor)",
        "a DESTINATION that matches LDR.LOGICAL_APIC_ID (0x11)",
    ),
    "ioapic_delivery_mode": ("likely", f"{ENTRY}.DELIVERY_MODE (NMI)", f"{ENTRY}.DELIVERY_MODE = 0 (fixed)"),
    "ioapic_vector": ("likely", f"{ENTRY}.VECTOR (0x0f: illegal, below 0x10)", f"{ENTRY}.VECTOR of 0x10 or more"),
    "processor_not_started": (
        "",
        "start of processor 1 (not started: likely waits for SIPI)",
        "INIT and SIPI (ICR.DELIVERY_MODE 5, 6)",
    ),
    "pic_imr": ("likely", "master IMR bit 0 (1: masked)", "master IMR (OCW1) bit 0 = 0"),
    "pic_isr": ("likely", "master ISR (IR0 in service, no EOI)", "OCW2.EOI = 1 to the master for IR0"),
    "pic_cascade": ("likely", "master IMR bit 2 (1: masked, the cascade)", "master IMR (OCW1) bit 2 = 0"),
    "pic_slave_isr": ("likely", "slave ISR (IR3 in service, no EOI)", "OCW2.EOI = 1 to the slave for IR3"),
    "lint0_mask": ("likely", "LVT LINT0.MASK (1: masked)", "LVT LINT0.MASK = 0"),
    "lint0_mode": ("likely", "LVT LINT0.DELIVERY_MODE (NMI)", "LVT LINT0.DELIVERY_MODE = 7 (ExtINT)"),
    "apic_disabled": (
        "likely",
        "IA32_APIC_BASE bit 11 (0: local APIC disabled)",
        "IA32_APIC_BASE.EN (bit 11) = 1",
    ),
    "apic_software_disabled": ("", "SVR.ENABLE (0: disabled by software)", "SVR.ENABLE = 1"),
    "timer_mask": ("likely", "LVT TIMER.MASK (1: masked)", "LVT TIMER.MASK = 0"),
    "timer_not_started": ("likely", "INITIAL_COUNT (0: the timer is not started)", "INITIAL_COUNT other than 0"),
    "timer_counts": ("likely", "CURRENT_COUNT (", "a smaller INITIAL_COUNT, or a longer wait"),
    "timer_expired": ("likely", "CURRENT_COUNT (0: one-shot, already expired)", "a new write to INITIAL_COUNT"),
    "error_mask": ("likely", "LVT ERROR.MASK (1: masked)", "LVT ERROR.MASK = 0"),
    "task_priority": ("", "TPR.PRIORITY_CLASS (0x5, class of the vector 0x5)", "TPR.PRIORITY_CLASS below 0x5"),
    "in_service": ("", "ISR (0x61 in service, no EOI)", "a write to EOI for vector 0x61"),
    "interrupts_off": ("", "RFLAGS.IF (0: interrupts are off)", "STI (RFLAGS.IF = 1)"),
    "halted_with_interrupts_off": ("", "RFLAGS.IF (0: interrupts are off, and halted)", "STI (RFLAGS.IF = 1)"),
    "ipi_destination": (
        "likely",
        "ICR.DESTINATION (0x7, physical: no processor)",
        "a DESTINATION that matches APIC ID (0x0)",
    ),
    "ipi_to_the_others": (
        "likely",
        "ICR.DESTINATION_SHORTHAND (3, and there is no other processor)",
        "DESTINATION_SHORTHAND = 1 or 2",
    ),
    "idt_limit": ("", "IDTR.limit (below 0x50f: #GP)", "LIDT with a limit of 0x50f or more"),
    "idt_gate_absent": ("", "IDT[0x50].P (0: #NP)", "P (bit 47) of gate 0x50 = 1"),
    "idt_gate_leads_away": ("", "IDT[0x50].offset (leads to stub_51)", "the offset of stub_50 in gate 0x50"),
}
"""Probe → certainty, the gate and what it shows, what opens it."""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as made:
        yield made


def path_of(record: RunRecord) -> str:
    assert record.verdict is Verdict.FAIL, record.reason
    (text,) = (each.text for each in record.detail.sections if each.title == "Delivery path")
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 78
    return text


def sentence_of(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


@pytest.mark.parametrize("name", CLOSED)
def test_the_first_closed_gate_is_named_with_what_opens_it(executor: Executor, name: str) -> None:
    likely, gate, opens = CLOSED[name]
    text = path_of(executor.run(CASES[name]))
    sentence = sentence_of(text)
    assert f" is {likely} stopped at {gate}".replace("  ", " ") in sentence
    assert f"it opens with {opens}." in sentence
    first = next(line for line in text.splitlines() if line.startswith("  CLOSED"))
    assert first[len("  not known  ") :].startswith(f"{gate.partition(' (')[0]}  ")


def test_a_vector_that_nothing_names_has_no_source(executor: Executor) -> None:
    text = path_of(executor.run(CASES["no_source"]))
    assert sentence_of(text).startswith("No source names vector 0x50")
    assert "CLOSED" not in text


def test_an_8259_without_a_vector_base_is_likely_not_initialised(executor: Executor) -> None:
    text = path_of(executor.run(CASES["pic_not_initialised"]))
    assert "they are likely not initialised: ICW1 to ICW4" in sentence_of(text)
    assert "not initialised" not in sentence_of(path_of(executor.run(CASES["no_source"])))


def test_open_gates_without_a_request_lead_to_the_source(executor: Executor) -> None:
    text = path_of(executor.run(CASES["ioapic_no_request"]))
    assert sentence_of(text).endswith("as far as is known: its source likely sent no request.")
    assert "not known  input of pin 5" in text


def test_each_source_is_named(executor: Executor) -> None:
    text = path_of(executor.run(CASES["several_sources"]))
    assert "From IO APIC pin 5:" in text
    assert "Also named by LVT TIMER of processor 0: closed at LVT TIMER.MASK" in text


def test_a_comparison_that_lacks_a_vector_has_the_path(executor: Executor) -> None:
    text = path_of(executor.run(CASES["missing_in_a_comparison"]))
    assert "stopped at IOREDTBL[5].MASK" in sentence_of(text)


def test_a_gate_that_the_evidence_does_not_show_is_not_known(executor: Executor) -> None:
    text = path_of(executor.run(CASES["interrupts_off_at_the_end"]))
    assert sentence_of(text).endswith("it likely came too late, or RFLAGS.IF was closed.")
    assert "not known  RFLAGS.IF" in text
    assert "CLOSED" not in text


def test_a_probe_reads_the_path_of_each_stop(executor: Executor) -> None:
    record = executor.run(CASES["explained_by_the_probe"])
    assert record.verdict is Verdict.FAIL, record.reason
    assert "stopped at IOREDTBL[5].DESTINATION" in record.reason


def _broken(*_: object) -> None:
    raise ValueError("broken on purpose")


@pytest.mark.parametrize("name", ["ioapic_mask", "missing_in_a_comparison"])
def test_a_failure_of_the_explanation_changes_no_verdict(
    executor: Executor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = executor.run(CASES[name]).reason
    monkeypatch.setattr(delivery, "sources", _broken)
    record = executor.run(CASES[name])
    assert record.reason == reason
    assert "ValueError: broken on purpose" in path_of(record)


def test_a_monitor_that_gives_no_dump_changes_no_verdict(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_dump(*_: object) -> None:
        raise QemuError("no dump")

    reason = executor.run(CASES["missing_in_a_comparison"]).reason
    monkeypatch.setattr(Machine, "pics", no_dump)
    monkeypatch.setattr(Machine, "registers", no_dump)
    record = executor.run(CASES["missing_in_a_comparison"])
    assert record.reason == reason
    assert "QemuError: no dump" in path_of(record)
