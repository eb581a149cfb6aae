"""Edge-triggered inputs: one interrupt for each active edge, none for anything else."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x51
LINE = 5  # an ISA line of its own on both machine types: IO APIC pin 5

EDGE = "82093AA, I/O Redirection Table Registers: Trigger Mode"
MASK = "82093AA, I/O Redirection Table Registers: Interrupt Mask"


@probe(spec=EDGE, covers=["ioapic.edge", "ioapic.edge-pit"])
def pit_edge_interrupts_once(k: Kernel) -> ProbeBody:
    """A rising edge of the 8254's OUT 0 at pin 2 is one interrupt at the programmed vector."""
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=VECTOR)
    k.sti()
    with k.trigger():
        k.pit.program(channel=0, mode=0, count=1000)
    k.wait_for(VECTOR)
    k.stay_quiet(ms=2)

    run = yield

    assert run.vectors == [VECTOR]
    assert run.interrupts[0].in_service
    assert run.ioapic[2].remote_irr == 0
    assert run.lapic.irr == set()
    assert run.lapic.isr == set()


@probe.each(line=[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
@probe(spec="82093AA, I/O Redirection Table Registers", needs=["pc-testdev"], covers=["ioapic.edge-pins"])
def each_pin_has_its_own_entry(k: Kernel, line: int) -> ProbeBody:
    """A pulse at pin n interrupts with the vector of entry n, and with no other entry's."""
    k.pit.silence()
    for pin in range(24):
        k.ioapic.redirect(pin=pin, vector=0x40 + pin)
    k.sti()
    with k.trigger():
        k.lines.pulse(line)
    k.wait_for(0x40 + line)
    k.stay_quiet()

    run = yield

    assert run.vectors == [0x40 + line]


@probe.each(pin=[16, 17, 18, 19, 20, 21, 22, 23])
@probe(spec="82093AA, I/O Redirection Table Registers", needs=["hpet"], covers=["ioapic.edge-pins"])
def each_high_pin_has_its_own_entry(k: Kernel, pin: int) -> ProbeBody:
    """A comparator routed to pin 16–23 interrupts with the vector of that pin's entry, and with no other entry's."""
    if pin not in k.hpet.pins:
        k.unsupported(f"no comparator of this HPET can be routed to pin {pin}, and nothing else drives it")
    k.pit.silence()
    for other in range(24):
        k.ioapic.redirect(pin=other, vector=0x40 + other)
    k.hpet.CONFIG.write(ENABLE=0)
    k.hpet.MAIN_COUNTER.write(0)
    k.hpet.TIMER[0].CONFIG.write(ROUTE=pin, INT_ENABLE=1)
    k.hpet.TIMER[0].COMPARATOR.write(1000)
    k.sti()
    with k.trigger():
        k.hpet.CONFIG.write(ENABLE=1)
    k.wait_for(0x40 + pin)
    k.stay_quiet()

    run = yield

    assert run.vectors == [0x40 + pin]


@probe(
    spec=EDGE,
    needs=["pc-testdev"],
    covers=["ioapic.edge-held"],
    deviation=Deviation(
        targets="*-tcg *-tcg-rt", sees=r"assert \[81, 81, 'drop', 81\]", ref="docs/deviations/ioapic-repeated-edge.md"
    ),
)
def held_line_is_one_edge(k: Kernel) -> ProbeBody:
    """A line that is asserted again while it is active has no edge: one interrupt; the next comes after it dropped."""
    k.ioapic.redirect(pin=LINE, vector=VECTOR)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.lines.up(LINE)
    k.stay_quiet()
    k.mark("drop")
    k.lines.down(LINE)
    k.stay_quiet()
    with k.trigger():
        k.lines.up(LINE)
    k.wait_for(VECTOR, 2)
    k.stay_quiet()

    run = yield

    assert run.sequence == [VECTOR, "drop", VECTOR]


@probe(spec=MASK, covers=["ioapic.mask-edge-lost"], needs=["pc-testdev"])
def edge_while_masked_is_lost(k: Kernel) -> ProbeBody:
    """An edge at a masked edge-triggered input is not remembered: unmasking brings no interrupt, the next edge does."""
    k.ioapic.redirect(pin=LINE, vector=VECTOR, MASK=1)
    k.sti()
    k.lines.pulse(LINE)
    k.stay_quiet()
    k.ioapic.unmask(LINE)
    k.stay_quiet()
    k.mark("unmasked")
    with k.trigger():
        k.lines.pulse(LINE)
    k.wait_for(VECTOR)
    k.stay_quiet()

    run = yield

    assert run.sequence == ["unmasked", VECTOR]


@probe(spec=MASK, covers=["ioapic.mask"])
def mask_bit_holds_the_pit(k: Kernel) -> ProbeBody:
    """While the mask bit is set, an edge at the input does not interrupt; after unmasking the next one does."""
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=VECTOR, MASK=1)
    k.sti()
    k.pit.program(channel=0, mode=0, count=1000)
    k.stay_quiet(ms=2)
    k.pit.READ_BACK.write(SC=3, COUNTER_0=1, COUNT=1)
    status = k.pit.STATUS[0].read()
    k.mark("unmask")
    k.ioapic.unmask(2)
    with k.trigger():
        k.pit.program(channel=0, mode=0, count=1000)
    k.wait_for(VECTOR)
    k.stay_quiet(ms=2)

    run = yield

    assert run[status].OUTPUT == 1, "OUT 0 never went high: there was no edge to hold back"
    assert run.sequence == ["unmask", VECTOR]
