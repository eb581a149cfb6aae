"""What a redirection entry does at the moment when it is written, and entries that no message may come from."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x6C
LINE = 5

ENTRY = "82093AA, I/O Redirection Table Registers"


@probe.each(before=["masked_edge", "open_edge"])
@probe(
    spec=f"{ENTRY}: Trigger Mode, Interrupt Mask",
    needs=["pc-testdev"],
    covers=["ioapic.level-programmed-active"],
    deviation=Deviation(
        targets="*-tcg*", kind="bug", sees="waited for vector 0x6c × 1, 0 came", ref="ioapic-level-active"
    ),
)
def level_entry_is_written_while_its_line_is_high(k: Kernel, before: str) -> ProbeBody:
    """An input that is active when its entry becomes level-triggered and unmasked interrupts, without a new edge."""
    if before == "open_edge":
        k.ioapic.redirect(pin=LINE, vector=0x93)
        k.sti()
        k.lines.up(LINE)
        k.wait_for(0x93)
    else:
        k.sti()
        k.lines.up(LINE)
    k.stay_quiet()
    k.handler(VECTOR).do(k.lines.down, LINE)
    k.mark("level")
    k.trigger(k.ioapic.redirect, pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    first = [0x93] if before == "open_edge" else []
    assert run.sequence == [*first, "level", VECTOR]
    assert run.ioapic[LINE].remote_irr == 0


@probe(spec=f"{ENTRY}: Trigger Mode", needs=["pc-testdev"], covers=["ioapic.level-programmed-active"])
def edge_entry_is_written_while_its_line_is_high(k: Kernel) -> ProbeBody:
    """An edge entry that is unmasked while its line is high interrupts with the next rising edge only."""
    k.lines.up(LINE)
    k.sti()
    k.ioapic.redirect(pin=LINE, vector=VECTOR)
    k.stay_quiet()
    k.lines.down(LINE)
    k.mark("edge")
    k.trigger(k.lines.up, LINE)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.sequence == ["edge", VECTOR]


@probe.each(vector=[0x00, 0x05, 0x0F])
@probe(
    spec="SDM vol. 3A, Error Handling: Receive Illegal Vector; Valid Interrupt Vectors",
    needs=["pc-testdev"],
    covers=["ioapic.illegal-vector"],
    deviation=[
        Deviation(
            targets="*-tcg*",
            kind="unimplemented",
            sees=r"not Receive Illegal Vector alone|assert \[\d+, 'legal'",
            ref="lapic-illegal-vector",
        ),
        Deviation(
            targets="*-kvm",
            kind="unimplemented",
            sees="ESR is 0x0, not Receive Illegal Vector alone",
            ref="lapic-kvm-esr",
        ),
    ],
)
def illegal_vector_is_an_error_of_the_local_apic(k: Kernel, vector: int) -> ProbeBody:
    """A fixed message of an entry with a vector below 16 is not delivered: ESR shows Receive Illegal Vector."""
    k.lapic.ESR.write(0)
    k.ioapic.redirect(pin=LINE, vector=vector)
    k.sti()
    k.trigger(k.lines.pulse, LINE)
    k.stay_quiet()
    k.lapic.ESR.write(0)
    errors = k.lapic.ESR.read("errors")
    k.mark("legal")
    k.ioapic.redirect(pin=LINE, vector=VECTOR)
    k.lines.pulse(LINE)
    k.wait_for(VECTOR)

    run = yield

    assert run.sequence == ["legal", VECTOR]
    assert int(run[errors]) == 0x40, f"ESR is {int(run[errors]):#x}, not Receive Illegal Vector alone"


@probe(
    spec="Intel I/O Controller Hub 9 datasheet, APIC Interrupt Mapping: 8254 Counter 0", covers=["ioapic.pins-0-and-2"]
)
def counter_0_interrupts_at_pin_2(k: Kernel) -> ProbeBody:
    """The 8254's counter 0 is at pin 2. Pin 0 is the output of the 8259s, and silent while they are masked."""
    at_pin_0, at_pin_2 = 0x5D, 0xA6
    k.pit.silence()
    k.ioapic.redirect(pin=0, vector=at_pin_0)
    k.ioapic.redirect(pin=2, vector=at_pin_2)
    k.sti()
    k.trigger(k.pit.program, channel=0, mode=0, count=100)
    k.wait_for(at_pin_2, quiet_ms=1)

    run = yield

    assert run.vectors == [at_pin_2]
