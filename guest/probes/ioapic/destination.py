"""Where a redirection entry sends its interrupt: physical and logical destinations, lowest priority."""

from harness import Kernel, ProbeBody, probe

VECTOR = 0x53
LINE = 5
CPUS = 4

DESTINATION = "82093AA, I/O Redirection Table Registers: Destination Field, Destination Mode"
PHYSICAL = "SDM vol. 3A, Physical Destination Mode"
LOWEST = "SDM vol. 3A, Lowest Priority Delivery Mode"


@probe.each(cpu=range(CPUS))
@probe(spec=DESTINATION, cpus=CPUS, needs=["pc-testdev"], covers=["ioapic.destination-physical"])
def physical_destination_is_an_apic_id(k: Kernel, cpu: int) -> ProbeBody:
    """In physical mode exactly the processor whose APIC ID is in the destination field takes the interrupt."""
    with k.smp.listening():
        k.ioapic.redirect(pin=LINE, vector=VECTOR, DESTINATION=cpu)
        k.trigger(k.lines.pulse, LINE)
        k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.fields("cpu", "vector") == [(cpu, VECTOR)]


@probe.each(mask=[0b0001, 0b1000, 0b0110, 0b1111])
@probe(spec=DESTINATION, cpus=CPUS, needs=["pc-testdev"], covers=["ioapic.destination-logical"])
def logical_destination_is_a_set(k: Kernel, mask: int) -> ProbeBody:
    """In logical flat mode each processor whose logical ID shares a bit with the destination takes it, once each."""
    chosen = [cpu for cpu in range(CPUS) if mask >> cpu & 1]
    with k.smp.listening():
        k.ioapic.redirect(pin=LINE, vector=VECTOR, DESTINATION=mask, DESTINATION_MODE=1)
        k.trigger(k.lines.pulse, LINE)
        k.wait_for(VECTOR, len(chosen), quiet_ms=1)

    run = yield

    assert sorted(interrupt.cpu for interrupt in run.interrupts) == chosen
    assert set(run.vectors) == {VECTOR}


@probe(spec=PHYSICAL, cpus=CPUS, needs=["pc-testdev"], covers=["ioapic.destination-broadcast"])
def physical_ff_is_a_broadcast(k: Kernel) -> ProbeBody:
    """Physical destination FFh is a broadcast: every processor takes the interrupt, once."""
    with k.smp.listening():
        k.ioapic.redirect(pin=LINE, vector=VECTOR, DESTINATION=0xFF)
        k.trigger(k.lines.pulse, LINE)
        k.wait_for(VECTOR, CPUS, quiet_ms=1)

    run = yield

    assert sorted(interrupt.cpu for interrupt in run.interrupts) == list(range(CPUS))


@probe(spec=DESTINATION, cpus=2, needs=["pc-testdev"], covers=["ioapic.destination-absent"])
def an_absent_destination_is_lost(k: Kernel) -> ProbeBody:
    """An interrupt to an APIC ID that no processor has is lost, and does not stop the next one."""
    with k.smp.listening():
        k.ioapic.redirect(pin=LINE, vector=VECTOR, DESTINATION=0x0E)
        k.lines.pulse(LINE)
        k.stay_quiet()
        k.mark("present")
        k.ioapic.redirect(pin=LINE, vector=VECTOR, DESTINATION=1)
        k.trigger(k.lines.pulse, LINE)
        k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.sequence == ["present", VECTOR]
    assert run.count(VECTOR, cpu=1) == 1


@probe(spec=LOWEST, cpus=CPUS, needs=["pc-testdev"], covers=["ioapic.lowest-priority"])
def lowest_priority_chooses_one(k: Kernel) -> ProbeBody:
    """With delivery mode lowest priority exactly one processor of the logical destination takes each interrupt."""
    rounds = 20
    with k.smp.listening():
        k.ioapic.redirect(pin=LINE, vector=VECTOR, DESTINATION=0b1110, DESTINATION_MODE=1, DELIVERY_MODE=1)
        for number in range(rounds):
            k.trigger(k.lines.pulse, LINE)
            k.wait_for(VECTOR, number + 1)
        k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR] * rounds
    assert run.count(VECTOR, cpu=0) == 0


@probe(spec=DESTINATION, cpus=2, needs=["pc-testdev"], covers=["ioapic.reroute"])
def an_entry_can_be_rerouted_in_service(k: Kernel) -> ProbeBody:
    """A level entry that is given another processor while in service: the EOI clears it, the active line goes there."""
    k.hold(VECTOR)
    with k.smp.listening():
        k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
        k.trigger(k.lines.up, LINE)
        k.wait_for(VECTOR)
        k.ioapic.REDIRECTION[LINE].HIGH.write(DESTINATION=1)
        k.stay_quiet()
        k.mark("EOI")
        k.lapic.eoi()
        k.wait_for(VECTOR, 2)
        k.lines.down(LINE)
        k.stay_quiet()

    run = yield

    assert run.sequence == [VECTOR, "EOI", VECTOR]
    assert [interrupt.cpu for interrupt in run.interrupts] == [0, 1]
    assert run.lapic_of(1).isr == {VECTOR}
    assert run.lapic_of(1).tmr >= {VECTOR}


@probe(spec=DESTINATION, cpus=2, needs=["pc-testdev"], covers=["ioapic.two-cpus-one-vector"])
def one_vector_on_two_processors(k: Kernel) -> ProbeBody:
    """Two pins with one vector and different destinations: each processor takes its own, and only its own."""
    with k.smp.listening():
        k.ioapic.redirect(pin=5, vector=VECTOR, DESTINATION=0)
        k.ioapic.redirect(pin=6, vector=VECTOR, DESTINATION=1)
        for number, line in enumerate((5, 6, 6), 1):
            k.trigger(k.lines.pulse, line)
            k.wait_for(VECTOR, number)
        k.stay_quiet()

    run = yield

    assert [interrupt.cpu for interrupt in run.interrupts] == [0, 1, 1]
