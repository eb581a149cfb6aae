"""Why an interrupt did not come, from dumps as QEMU prints them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenes import lapic, pic_text, scene

from harness.evidence.why import GateState, Processor, Scene, why_none_came


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            scene(0x41, lapic(irr="65"), interrupts_on=False),
            "vector 0x41 is pending in the local APIC of processor 0 (IRR), but interrupts are off there (IF=0)",
        ),
        (
            scene(0x41, lapic(irr="65 81(level)", isr="97", tpr=0x40), interrupts_on=False),
            "vector 0x41 is pending in the local APIC of processor 0 (IRR), but interrupts are off there (IF=0) and "
            "the task priority holds it back (TPR=0x40) and vector 0x61 is still in service there (ISR), as no EOI was "
            "sent for it",
        ),
        (
            scene(0x41, lapic(irr="65", isr="49")),  # of a lower class
            "vector 0x41 is pending in the local APIC of processor 0 (IRR), and nothing holds it back: it came after "
            "the end of the wait",
        ),
        (
            scene(0x41, lapic(isr="65")),
            "vector 0x41 is still in service on processor 0 (ISR): no EOI was sent for its last delivery",
        ),
        (scene(0x41, lapic(timer=0x10041)), "LVT TIMER of processor 0 has vector 0x41 and is masked (bit 16 is 1)"),
        (
            scene(0x41, lapic(timer=0x41)),
            "LVT TIMER of processor 0 has vector 0x41, but the timer does not run: its initial count is 0",
        ),
        (
            scene(0x41, lapic(timer=0x41, initial=9000, current=8000)),
            "LVT TIMER of processor 0 has vector 0x41, and the timer still counts: 8000 of 9000 are left",
        ),
        (
            scene(0x41, lapic(timer=0x41, initial=9000)),
            "vector 0x41 was not requested; LVT TIMER has it and is not masked: its source sent no request",
        ),
        (scene(0x41, lapic(svr=0xFF)), "the local APIC of processor 0 is disabled by software (SVR bit 8 is 0)"),
        (scene(0x41, None), "the local APIC of processor 0 is disabled (IA32_APIC_BASE bit 11 is 0)"),
        (
            scene(0x51, lapic(), pic_text({4: 0x10051})),
            "IO APIC pin 4 has vector 0x51 and is masked (bit 16 of its entry is 1)",
        ),
        (
            scene(0x51, lapic(), pic_text({4: 0xC051})),
            "IO APIC pin 4 has vector 0x51 and waits for an EOI (Remote IRR is 1)",
        ),
        (
            scene(0x51, lapic(), pic_text({4: 7 << 56 | 0x51})),
            "IO APIC pin 4 has vector 0x51 and sends it to APIC ID 7, which no started processor has (0)",
        ),
        (
            scene(0x51, lapic(), pic_text({4: 0xFF << 56 | 0x51})),
            "vector 0x51 was not requested; IO APIC pin 4 has it and is not masked: its source sent no request",
        ),
        (
            scene(0x24, lapic(), pic_text(master="irr=10 imr=fb isr=00")),
            "input 4 of the master 8259 (IRQ 4) has vector 0x24 and is masked (IMR bit 4 is 1)",
        ),
        (
            scene(0x24, lapic(), pic_text(master="irr=10 imr=00 isr=02")),
            "input 4 of the master 8259 (IRQ 4) has vector 0x24, and input 1 is still in service there (ISR): the 8259 "
            "was sent no EOI",
        ),
        (
            scene(0x24, lapic(), pic_text(master="irr=10 imr=00 isr=00")),
            "input 4 of the master 8259 (IRQ 4) has vector 0x24 and is pending (IRR), but LVT LINT0 of processor 0, "
            "through which it comes, is masked (bit 16 is 1)",
        ),
    ],
)
def test_the_first_sentence_is_the_cause(found: Scene, sentence: str) -> None:
    assert why_none_came(found)[0] == sentence


def test_the_slave_of_a_masked_cascade_input() -> None:
    found = scene(0x2C, lapic(), pic_text())
    assert found.pics is not None
    found = replace(found, pics=(found.pics[0], replace(found.pics[1], imr=0)))
    assert why_none_came(found)[0].endswith("the master's cascade input 2 is masked (IMR bit 2 is 1)")


def test_what_came_instead_is_counted_over_all_processors_and_bounded() -> None:
    counts = {(0, 0x51): 2, (1, 0x51): 3, (0, 2): 1, (0, 0x41): 9}
    assert why_none_came(replace(scene(0x41, lapic()), counts=counts))[0] == "0x51 × 5, NMI × 1 came instead"
    many = {(0, vector): 1 for vector in range(0x50, 0x70)}
    assert why_none_came(replace(scene(0x41, lapic()), counts=many))[0].endswith("0x55 × 1, 26 more came instead")


def test_a_processor_that_was_not_started_is_not_to_blame() -> None:
    found = scene(0x41, lapic())
    idle = Processor(1, False, lapic(svr=0xFF), GateState(present=False), started=False)
    assert "processor 1" not in "".join(why_none_came(replace(found, processors=(*found.processors, idle))))
