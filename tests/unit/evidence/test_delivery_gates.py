"""Delivery paths that no guest of the integration tests can show, and the text of a path."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenes import lapic, pic_text, scene

from harness.evidence.delivery import delivery_path, path_sections
from harness.evidence.delivery_path import DeliveryGate, DeliveryPath, GateOpening
from harness.evidence.vectors import Vectors, missing_vector
from harness.evidence.why import GateState, Processor, Scene

ENTRY = 0x51  # IO APIC: fixed, physical, APIC ID 0, not masked


def states(path: DeliveryPath) -> dict[str, GateOpening]:
    return {each.name: each.state for each in path.gates}


def test_a_timer_in_tsc_deadline_mode_is_not_judged_by_its_count() -> None:
    path = delivery_path(scene(0x41, lapic(timer=2 << 17 | 0x41)))
    assert states(path)["IA32_TSC_DEADLINE"] is GateOpening.UNKNOWN
    assert path.first_closed is None


def test_a_reserved_timer_mode_is_closed() -> None:
    path = delivery_path(scene(0x41, lapic(timer=3 << 17 | 0x41, initial=9)))
    assert path.first_closed is not None
    assert path.first_closed.name == "LVT TIMER.TIMER_MODE"


def test_a_periodic_timer_that_runs_is_open() -> None:
    path = delivery_path(scene(0x41, lapic(timer=1 << 17 | 0x41, initial=9, current=3)))
    assert states(path)["INITIAL_COUNT"] is GateOpening.OPEN
    assert path.first_closed is None


def test_a_logical_destination_is_not_known_in_x2apic_mode() -> None:
    found = scene(0x51, lapic(), pic_text({4: 0x80 << 56 | 1 << 11 | ENTRY}))
    name = "IOREDTBL[4].DESTINATION"
    assert states(delivery_path(found))[name] is GateOpening.CLOSED
    assert states(delivery_path(replace(found, x2apic=True)))[name] is GateOpening.UNKNOWN


def test_a_request_latched_in_the_io_apic_comes_first() -> None:
    found = scene(0x51, lapic(timer=0x10051), pic_text({4: ENTRY, 5: 0x10000 | ENTRY}))
    assert delivery_path(found).source == "IO APIC pin 5"
    path = delivery_path(replace(found, requests=frozenset({4})))
    assert path.source == "IO APIC pin 4"
    assert [text.partition(":")[0] for text in path.others] == ["IO APIC pin 5", "LVT TIMER of processor 0"]


def test_remote_irr_that_an_edge_entry_kept_does_not_close_it() -> None:
    path = delivery_path(scene(0x51, lapic(), pic_text({4: 1 << 14 | ENTRY})))
    assert states(path)["IOREDTBL[4].REMOTE_IRR"] is GateOpening.UNKNOWN


def test_intr_reaches_a_processor_whose_local_apic_is_disabled() -> None:
    path = delivery_path(scene(0x24, None, pic_text(master="irr=10 imr=00 isr=00")))
    assert path.first_closed is None
    assert "LVT LINT0.MASK" not in states(path)


def test_intr_through_an_io_apic_entry_does_not_need_lint0() -> None:
    found = scene(0x24, lapic(), pic_text({0: 7 << 8}, master="irr=10 imr=00 isr=00"))
    assert delivery_path(found).first_closed is None


def test_the_priority_of_a_rotated_8259_is_not_known() -> None:
    found = scene(0x24, lapic(), pic_text(master="irr=10 imr=00 isr=02"))
    assert states(delivery_path(found))["master ISR"] is GateOpening.CLOSED
    assert found.pics is not None
    rotated = replace(found, pics=(replace(found.pics[0], priority_add=1), found.pics[1]))
    assert states(delivery_path(rotated))["master ISR"] is GateOpening.UNKNOWN


def test_a_vector_in_service_that_arrived_before_is_closed_by_its_eoi() -> None:
    found = replace(scene(0x51, lapic(isr="81"), pic_text({4: ENTRY})), counts={(0, 0x51): 1})
    path = delivery_path(found)
    assert path.sentence.startswith("Vector 0x51 is likely stopped at ISR (0x51 in service, no EOI)")
    assert "Arrivals of 0x51 before: 1." in str(path)


def test_a_pending_vector_keeps_the_names_of_its_sources() -> None:
    path = delivery_path(scene(0x51, lapic(irr="81"), pic_text({4: ENTRY}), interrupts_on=False))
    assert path.certain
    assert path.others == ("IO APIC pin 4",)


def test_a_disabled_processor_closes_the_way_of_any_source() -> None:
    text = delivery_path(scene(0x41, None)).sentence
    assert text.startswith("No source names vector 0x41")
    assert text.endswith("Closed to any source: IA32_APIC_BASE bit 11 (0: local APIC disabled); it opens with "
                         "IA32_APIC_BASE.EN (bit 11) = 1.")  # fmt: skip


def test_the_text_is_bounded_and_keeps_the_closed_gates() -> None:
    gates = [DeliveryGate(f"gate {n}", GateOpening.OPEN, "1") for n in range(60)]
    gates[50] = DeliveryGate("the one", GateOpening.CLOSED, "0" * 200, "its field")
    text = str(DeliveryPath(0x50, "a source", tuple(gates), ("another: " + "x " * 200,) * 9))
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 78
    assert "CLOSED     the one" in text


def test_an_exception_that_no_source_names_has_no_section() -> None:
    assert path_sections(scene(13, lapic())) == ()
    assert path_sections(scene(13, lapic(), pic_text({4: 13})))
    assert path_sections(Scene(0x50, ()))[0].text.startswith("not known: ")


def test_a_destination_prefers_the_processor_that_waits() -> None:
    other = Processor(1, False, replace(lapic(), apic_id=1), GateState())
    found = scene(0x51, lapic(), pic_text({4: 0xFF << 56 | ENTRY}))
    path = delivery_path(replace(found, processors=(other, *found.processors)))
    assert path.first_closed is None


@pytest.mark.parametrize(
    ("came", "wanted", "missing"),
    [
        ([], [0x50], 0x50),
        ([0x50], [0x50, 0x51, 0x52], 0x51),
        ([0x50], [0x50, 0x50], 0x50),
        ([0x50, 0x51], [0x51, 0x50], None),  # another order
        ([0x50, 0x50], [0x50], None),
        ([], [13], None),  # an exception
        ([], ["mark", True], None),
        ([], [0x5000], None),
    ],
)
def test_the_vector_that_a_comparison_lacks(came: list[int], wanted: list[object], missing: int | None) -> None:
    assert missing_vector("==", Vectors(came), wanted) == missing
    assert missing_vector("==", wanted, Vectors(came)) == missing
    assert missing_vector("!=", Vectors(came), wanted) is None
    assert missing_vector("==", came, wanted) is None
