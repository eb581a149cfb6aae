"""Edge-triggered inputs: one interrupt for each active edge, none for anything else."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x51
LINE = 5  # an ISA line that no device drives, on both machine types: IO APIC pin 5

EDGE = "82093AA, I/O Redirection Table Registers: Trigger Mode"
MASK = "82093AA, I/O Redirection Table Registers: Interrupt Mask"


@probe(spec=EDGE, covers=["ioapic.edge", "ioapic.edge-pit"])
def pit_edge_interrupts_once(k: Kernel) -> ProbeBody:
    """A rising edge of the 8254's OUT 0 at pin 2 is one interrupt at the programmed vector."""
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=VECTOR)
    k.sti()
    k.trigger(k.pit.program, channel=0, mode=0, count=1000)
    k.wait_for(VECTOR, quiet_ms=2)

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
    k.trigger(k.lines.pulse, line)
    k.wait_for(0x40 + line, quiet_ms=1)

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
    k.hpet.arm(1000, ROUTE=pin)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(0x40 + pin, quiet_ms=1)

    run = yield

    assert run.vectors == [0x40 + pin]


@probe(
    spec=EDGE,
    needs=["pc-testdev"],
    covers=["ioapic.edge-held"],
    deviation=Deviation(
        targets="*-tcg *-tcg-rt", kind="bug", sees=r"assert \[0x51, 0x51, 'drop', 0x51\]", ref="ioapic-repeated-edge"
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
    k.trigger(k.lines.up, LINE)
    k.wait_for(VECTOR, 2, quiet_ms=1)

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
    k.trigger(k.lines.pulse, LINE)
    k.wait_for(VECTOR, quiet_ms=1)

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
    k.trigger(k.pit.program, channel=0, mode=0, count=0)  # under KVM this waits until the first edge is through
    k.mark("unmask")
    k.ioapic.unmask(2)
    k.wait_for(VECTOR, quiet_ms=2)

    run = yield

    assert run[status].OUTPUT == 1, "OUT 0 never went high: there was no edge to hold back"
    assert run.sequence == ["unmask", VECTOR]


@probe.each(vector=[0x10, 0x1F, 0x20, 0xFE])
@probe(
    spec="82093AA, I/O Redirection Table Registers: Interrupt Vector", needs=["pc-testdev"], covers=["ioapic.vectors"]
)
def vectors_10_to_fe_arrive(k: Kernel, vector: int) -> ProbeBody:
    """The vector field takes 10h to FEh: the first and the last arrive as they are."""
    k.ioapic.redirect(pin=LINE, vector=vector)
    k.sti()
    k.trigger(k.lines.pulse, LINE)
    k.wait_for(vector, quiet_ms=1)

    run = yield

    assert run.vectors == [vector]
    assert run.interrupts[0].in_service


@probe(spec=EDGE, needs=["pc-testdev"], covers=["ioapic.coalescing"])
def edges_while_pending_become_one(k: Kernel) -> ProbeBody:
    """Edges while the vector is requested already are one interrupt; those while it is in service, another."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR)
    for _ in range(3):
        k.lines.pulse(LINE)
    requested = k.lapic.IRR[VECTOR // 32].read()
    k.sti()
    k.wait_for(VECTOR)
    with k.trigger():
        k.lines.pulse(LINE)
        k.lines.pulse(LINE)
    k.stay_quiet()
    k.mark("EOI")
    k.lapic.eoi()
    k.wait_for(VECTOR, 2)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run[requested] == 1 << VECTOR % 32
    assert run.sequence == [VECTOR, "EOI", VECTOR]


@probe(
    spec="82093AA, I/O Redirection Table Registers: Interrupt Input Pin Polarity",
    needs=["pc-testdev"],
    covers=["ioapic.polarity"],
    deviation=Deviation(targets="*", kind="by design", sees="waited for vector 0x51", ref="ioapic-polarity"),
)
def active_low_edge_is_the_falling_one(k: Kernel) -> ProbeBody:
    """With the polarity bit set the input is active low: its falling edge interrupts, its rising edge does not."""
    k.lines.up(LINE)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, POLARITY=1)
    k.sti()
    k.trigger(k.lines.down, LINE)
    k.wait_for(VECTOR, ms=20)
    k.mark("rise")
    k.lines.up(LINE)
    k.stay_quiet()

    run = yield

    assert run.sequence == [VECTOR, "rise"]


@probe(spec="82093AA, I/O Redirection Table Registers", needs=["pc-testdev"], covers=["ioapic.simultaneous"])
def simultaneous_edges_come_by_priority(k: Kernel) -> ProbeBody:
    """Edges at several pins with interrupts off: the local APIC delivers the highest vector first, whatever the pin."""
    vectors = {3: 0x45, 5: 0x95, 6: 0x75, 7: 0xB5}
    for line, vector in vectors.items():
        k.ioapic.redirect(pin=line, vector=vector)
    for line in vectors:
        k.trigger(k.lines.pulse, line)
    k.sti()
    k.wait_for(0x45, quiet_ms=1)

    run = yield

    assert run.vectors == [0xB5, 0x95, 0x75, 0x45]


@probe(spec="82093AA, I/O Redirection Table Registers", needs=["pc-testdev"], covers=["ioapic.shared-vector"])
def two_pins_share_a_vector(k: Kernel) -> ProbeBody:
    """Two pins with one vector: each edge interrupts with it."""
    k.ioapic.redirect(pin=5, vector=VECTOR)
    k.ioapic.redirect(pin=6, vector=VECTOR)
    k.sti()
    k.trigger(k.lines.pulse, 5)
    k.wait_for(VECTOR, 1)
    k.mark("second")
    k.trigger(k.lines.pulse, 6)
    k.wait_for(VECTOR, 2, quiet_ms=1)

    run = yield

    assert run.sequence == [VECTOR, "second", VECTOR]
