"""Level-triggered inputs: remote IRR, EOI, and what an active line does again."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x61
LINE = 5

MASK = "82093AA, I/O Redirection Table Registers: Interrupt Mask"
REMOTE_IRR = "82093AA, I/O Redirection Table Registers: Remote IRR"


@probe(spec=REMOTE_IRR, needs=["pc-testdev"], covers=["ioapic.level-remote-irr", "ioapic.level-again"])
def level_repeats_until_the_line_drops(k: Kernel) -> ProbeBody:
    """Delivery sets remote IRR, EOI clears it; a line that is still active then interrupts again, an idle one not."""
    entry = k.ioapic.REDIRECTION[LINE].ENTRY
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    idle = entry.read("idle")
    k.trigger(k.lines.up, LINE)
    k.wait_for(VECTOR, quiet_ms=1)
    delivered = entry.read("delivered")
    k.mark("first EOI")
    k.lapic.eoi()
    k.wait_for(VECTOR, 2, quiet_ms=1)
    again = entry.read("again")
    k.lines.down(LINE)
    dropped = entry.read("dropped")
    k.mark("second EOI")
    k.lapic.eoi()
    k.stay_quiet()
    ended = entry.read("ended")

    run = yield

    remote_irr = [run[value].REMOTE_IRR for value in (idle, delivered, again, dropped, ended)]
    assert remote_irr == [0, 1, 1, 1, 0]
    assert run.sequence == [VECTOR, "first EOI", VECTOR, "second EOI"]
    assert run.lapic.isr == set()
    assert run.lapic.irr == set()


@probe(spec=REMOTE_IRR, needs=["pc-testdev"], covers=["ioapic.level-other-eoi"])
def eoi_of_another_vector_does_nothing(k: Kernel) -> ProbeBody:
    """Only the EOI broadcast with the entry's own vector clears remote IRR: that of a nested, higher one does not."""
    higher = 0x91
    k.hold(VECTOR)
    entry = k.ioapic.REDIRECTION[LINE].LOW
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.ioapic.redirect(pin=6, vector=higher, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.handler(higher).do(k.lines.down, 6)
    k.trigger(k.lines.up, 6)
    k.wait_for(higher, quiet_ms=1)
    after = entry.read("after")
    other = k.ioapic.REDIRECTION[6].LOW.read("other")
    k.lines.down(LINE)
    k.lapic.eoi()
    ended = entry.read("ended")

    run = yield

    assert run.vectors == [VECTOR, higher]
    assert [run[value].REMOTE_IRR for value in (after, other, ended)] == [1, 0, 0]


@probe(spec=MASK, needs=["pc-testdev"], covers=["ioapic.mask-level-kept"])
def level_while_masked_is_delivered_on_unmask(k: Kernel) -> ProbeBody:
    """A level-triggered input that is active while masked interrupts when it is unmasked, not before."""
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1, MASK=1)
    k.handler(VECTOR).do(k.lines.down, LINE)
    k.sti()
    k.trigger(k.lines.up, LINE)
    k.stay_quiet()
    masked = k.ioapic.REDIRECTION[LINE].LOW.read("masked")
    k.mark("unmask")
    k.ioapic.unmask(LINE)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run[masked].REMOTE_IRR == 0
    assert run.sequence == ["unmask", VECTOR]


@probe(spec=MASK, needs=["pc-testdev"], covers=["ioapic.mask-level-kept"])
def level_that_drops_while_masked_is_gone(k: Kernel) -> ProbeBody:
    """A level-triggered line that is released again before the unmask leaves nothing behind."""
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1, MASK=1)
    k.handler(VECTOR).do(k.lines.down, LINE)
    k.sti()
    k.lines.pulse(LINE)
    k.ioapic.unmask(LINE)
    k.stay_quiet()
    k.mark("again")
    k.trigger(k.lines.up, LINE)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.sequence == ["again", VECTOR]


@probe(spec=MASK, needs=["pc-testdev"], covers=["ioapic.mask-in-service"])
def masking_in_service_holds_the_repeat(k: Kernel) -> ProbeBody:
    """Masked while in service, an active line does not interrupt again after the EOI; unmasked, it does."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.trigger(k.lines.up, LINE)
    k.wait_for(VECTOR)
    k.ioapic.mask(LINE)
    k.lapic.eoi()
    k.stay_quiet()
    held = k.ioapic.REDIRECTION[LINE].LOW.read("held")
    k.mark("unmask")
    k.ioapic.unmask(LINE)
    k.wait_for(VECTOR, 2)
    k.lines.down(LINE)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run[held].REMOTE_IRR == 0
    assert run.sequence == [VECTOR, "unmask", VECTOR]


@probe(
    spec="82093AA, I/O Redirection Table Registers: Interrupt Input Pin Polarity",
    needs=["pc-testdev"],
    covers=["ioapic.polarity"],
    deviation=Deviation(targets="*", kind="by design", sees="waited for vector 0x61", ref="ioapic-polarity"),
)
def active_low_level_is_the_low_one(k: Kernel) -> ProbeBody:
    """With the polarity bit set a level-triggered input interrupts while the line is low, not while it is high."""
    k.lines.up(LINE)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1, POLARITY=1, MASK=1)
    k.handler(VECTOR).do(k.lines.up, LINE)
    k.sti()
    with k.trigger():
        k.lines.down(LINE)
        k.ioapic.unmask(LINE)
    k.wait_for(VECTOR, ms=20, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]


@probe(
    spec="82093AA, I/O Redirection Table Registers: Trigger Mode",
    needs=["pc-testdev"],
    covers=["ioapic.trigger-change"],
)
def changing_to_edge_forgets_remote_irr(k: Kernel) -> ProbeBody:
    """An entry that was made edge-triggered and masked in service interrupts anew when it is level-triggered again."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.trigger(k.lines.up, LINE)
    k.wait_for(VECTOR)
    k.lines.down(LINE)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, MASK=1)
    k.lapic.eoi()
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.stay_quiet()
    idle = k.ioapic.REDIRECTION[LINE].LOW.read("idle")
    k.mark("again")
    k.lines.up(LINE)
    k.wait_for(VECTOR, 2)
    k.lines.down(LINE)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run[idle].REMOTE_IRR == 0
    assert run.sequence == [VECTOR, "again", VECTOR]


@probe(
    spec="SDM vol. 3A, Interrupt, Task, and Processor Priority: Trigger Mode Register",
    needs=["pc-testdev"],
    covers=["ioapic.tmr"],
)
def tmr_follows_the_last_acceptance(k: Kernel) -> ProbeBody:
    """TMR shows a vector's last trigger mode: 1 when it was accepted from a level entry, 0 from an edge entry."""
    word, bit = VECTOR // 32, 1 << VECTOR % 32
    seen = []
    k.hold(VECTOR)
    k.sti()
    for number, level in enumerate((0, 1, 0), 1):
        k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=level)
        k.trigger(k.lines.up, LINE)
        k.wait_for(VECTOR, number)
        seen.append(k.lapic.TMR[word].read())
        k.lines.down(LINE)
        k.lapic.eoi()

    run = yield

    assert [run[value] & bit for value in seen] == [0, bit, 0]


@probe(spec="ICH9, APIC Direct Registers: EOIR—EOI Register", needs=["pc-testdev"], covers=["ioapic.directed-eoi"])
def directed_eoi_clears_remote_irr(k: Kernel) -> ProbeBody:
    """A write of the vector to the IO APIC's EOI register (version 20h) clears remote IRR; another vector does not."""
    k.hold(VECTOR)
    version = k.ioapic.VERSION.read()
    entry = k.ioapic.REDIRECTION[LINE].LOW
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.lines.down(LINE)
    k.ioapic.window.EOI.write(VECTOR ^ 0x10)
    other = entry.read("other")
    k.trigger(k.ioapic.window.EOI.write, VECTOR)
    directed = entry.read("directed")

    run = yield

    if run[version].VERSION < 0x20:
        run.unsupported(f"the IO APIC's version is {run[version].VERSION:#x}: it has no EOI register")
    assert run.vectors == [VECTOR]
    assert [run[other].REMOTE_IRR, run[directed].REMOTE_IRR] == [1, 0]


@probe(
    spec="SDM vol. 3A, Signaling Interrupt Servicing Completion",
    needs=["pc-testdev"],
    covers=["ioapic.eoi-suppression"],
)
def eoi_broadcast_suppression(k: Kernel) -> ProbeBody:
    """With SVR bit 12 set an EOI is not broadcast: remote IRR stays until the IO APIC's own EOI register is written."""
    k.hold(VECTOR)
    version = k.lapic.VERSION.read()
    entry = k.ioapic.REDIRECTION[LINE].LOW
    k.trigger(k.lapic.SVR.update, EOI_BROADCAST_SUPPRESSION=1)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.lines.down(LINE)
    k.lapic.eoi()
    suppressed = entry.read("suppressed")
    k.ioapic.window.EOI.write(VECTOR)
    directed = entry.read("directed")

    run = yield

    if not run[version].EOI_BROADCAST_SUPPRESSION:
        run.unsupported("the local APIC cannot suppress EOI broadcasts (bit 24 of its version register is 0)")
    assert [run[suppressed].REMOTE_IRR, run[directed].REMOTE_IRR] == [1, 0]


@probe(spec=REMOTE_IRR, needs=["pc-testdev"], covers=["ioapic.shared-vector"])
def one_eoi_ends_all_entries_of_a_vector(k: Kernel) -> ProbeBody:
    """Two level-triggered pins with one vector: one EOI clears both remote IRRs; the active line comes again."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.ioapic.redirect(pin=6, vector=VECTOR, TRIGGER_MODE=1)
    k.trigger(k.lines.up, LINE, 6)
    k.sti()
    k.wait_for(VECTOR)
    both = [k.ioapic.REDIRECTION[pin].LOW.read() for pin in (LINE, 6)]
    k.lines.down(LINE)
    k.mark("EOI")
    k.lapic.eoi()
    k.wait_for(VECTOR, 2)
    k.lines.down(6)
    k.lapic.eoi()
    k.stay_quiet()
    ended = [k.ioapic.REDIRECTION[pin].LOW.read() for pin in (LINE, 6)]

    run = yield

    assert [run[value].REMOTE_IRR for value in both] == [1, 1]
    assert run.sequence == [VECTOR, "EOI", VECTOR]
    assert [run[value].REMOTE_IRR for value in ended] == [0, 0]
