"""The life of a fixed interrupt: IRR, ISR, EOI; sent by the processor to itself."""

from harness import DestinationShorthand, Kernel, ProbeBody, probe

VALID = range(16, 256)


@probe(spec="SDM vol. 3A, Valid Interrupt Vectors; Interrupt Command Register (ICR)", covers=["lapic.self-ipi"])
def each_valid_vector_arrives_once(k: Kernel) -> ProbeBody:
    """Every vector from 16 to 255 can be sent as a fixed self IPI, arrives once and at its own gate."""
    k.sti()
    for vector in VALID:
        k.trigger(k.lapic.self_ipi, vector)
        k.wait_for(vector)
    k.stay_quiet()

    run = yield

    assert run.vectors == list(VALID)
    assert all(interrupt.in_service for interrupt in run.interrupts)
    assert run.lapic.irr == run.lapic.isr == set()


@probe(spec="SDM vol. 3A, Interrupt, Task, and Processor Priority", covers=["lapic.priority"])
def pending_vectors_come_highest_first(k: Kernel) -> ProbeBody:
    """Interrupts that wait in the IRR are dispatched in descending vector order, whatever order they came in."""
    with k.trigger():
        for step in range(len(VALID)):
            k.lapic.self_ipi(VALID[step * 77 % len(VALID)])  # 77 and 240 have no common divisor: each vector once
    irr = [register.read() for register in k.lapic.IRR]
    k.sti()
    k.wait_for(VALID[0], quiet_ms=1)

    run = yield

    assert [int(run[bits]) for bits in irr] == [0xFFFF_0000] + [0xFFFF_FFFF] * 7
    assert run.vectors == list(reversed(VALID))
    assert {interrupt.depth for interrupt in run.interrupts} == {0}


@probe.each(vector=[0x1F, 0x20, 0x5F, 0x60, 0xFE])
@probe(
    spec="SDM vol. 3A, Interrupt Acceptance for Fixed Interrupts; Signaling Interrupt Servicing Completion",
    covers=["lapic.life-cycle"],
)
def request_goes_from_irr_to_isr_to_nothing(k: Kernel, vector: int) -> ProbeBody:
    """A fixed interrupt sets its IRR bit; its dispatch moves the bit to the ISR; EOI clears it there."""
    with k.handler(vector, eoi=False):
        dispatched = k.lapic.requested(vector, "irr_dispatched"), k.lapic.in_service(vector, "isr_dispatched")
        k.lapic.eoi()
        ended = k.lapic.in_service(vector, "isr_ended")
    k.trigger(k.lapic.self_ipi, vector)
    requested = k.lapic.requested(vector, "irr_requested"), k.lapic.in_service(vector, "isr_requested")
    k.sti()
    k.wait_for(vector)

    run = yield

    bit = 1 << (vector % 32)
    assert [run[bits] for bits in (*requested, *dispatched, ended)] == [bit, 0, 0, bit, 0]


@probe(spec="SDM vol. 3A, Signaling Interrupt Servicing Completion", covers=["lapic.eoi"])
def eoi_ends_the_highest_in_service(k: Kernel) -> ProbeBody:
    """Each EOI clears the highest ISR bit and no other; with none in service it does nothing."""
    nested = [0x31, 0x52, 0x53 + 0x20, 0xF4]
    isr = []
    k.hold(*nested)
    k.sti()
    for vector in nested:
        k.lapic.self_ipi(vector)
        k.wait_for(vector)
    for eois in range(6):
        if eois:
            k.trigger(k.lapic.eoi)
        isr.append([register.read(f"isr_{eois}_{part}") for part, register in enumerate(k.lapic.ISR)])

    run = yield

    def in_service(eois: int) -> list[int]:
        return [32 * part + bit for part in range(8) for bit in range(32) if run[isr[eois][part]] >> bit & 1]

    assert [in_service(eois) for eois in range(6)] == [nested, nested[:3], nested[:2], nested[:1], [], []]


@probe(spec="SDM vol. 3A, Signaling Interrupt Servicing Completion", covers=["lapic.eoi"])
def spare_eoi_is_harmless(k: Kernel) -> ProbeBody:
    """An EOI with nothing in service takes nothing from the next interrupt: it arrives and ends as ever."""
    k.lapic.eoi()
    k.lapic.eoi()
    k.sti()
    k.trigger(k.lapic.self_ipi, 0x41)
    k.wait_for(0x41)
    k.lapic.eoi()
    k.lapic.self_ipi(0x41)
    k.wait_for(0x41, count=2)
    esr = k.lapic.ESR.read("esr")

    run = yield

    assert run.vectors == [0x41, 0x41]
    assert run.lapic.isr == set()
    assert run[esr] == 0


@probe(spec="SDM vol. 3A, Interrupt Acceptance for Fixed Interrupts", covers=["lapic.collapse"])
def request_collapses_in_the_irr(k: Kernel) -> ProbeBody:
    """A vector that waits in the IRR already stays one request: five self IPIs with interrupts off arrive once."""
    with k.trigger():
        for _ in range(5):
            k.lapic.self_ipi(0x45)
    k.sti()
    k.wait_for(0x45, quiet_ms=1)

    run = yield

    assert run.vectors == [0x45]


@probe(spec="SDM vol. 3A, Interrupt Acceptance for Fixed Interrupts", covers=["lapic.collapse"])
def one_in_service_and_one_waiting(k: Kernel) -> ProbeBody:
    """While a vector is in service one more of it waits in the IRR, and only one: the rest collapse into it."""
    with k.handler(0x45, eoi=False):
        with k.first_time():
            with k.trigger():
                for _ in range(5):
                    k.lapic.self_ipi(0x45)
            irr, isr = k.lapic.requested(0x45, "irr"), k.lapic.in_service(0x45, "isr")
        k.lapic.eoi()
    k.sti()
    k.lapic.self_ipi(0x45)
    k.wait_for(0x45, count=2, quiet_ms=1)

    run = yield

    assert run.vectors == [0x45, 0x45]
    assert [interrupt.depth for interrupt in run.interrupts] == [0, 0]
    assert 0x45 in run[irr] and 0x45 in run[isr]


@probe.each(shorthand=[DestinationShorthand.NO_SHORTHAND, DestinationShorthand.SELF], logical=[False, True])
@probe(
    spec="SDM vol. 3A, Interrupt Command Register (ICR): Destination Shorthand, Destination Mode",
    covers=["lapic.self-ipi"],
)
def ways_to_address_oneself(k: Kernel, shorthand: DestinationShorthand, logical: bool) -> ProbeBody:
    """The processor reaches itself by shorthand, whatever the destination field is, by APIC ID and by logical ID."""
    k.lapic.DFR.write(0xFFFF_FFFF)
    k.lapic.LDR.write(LOGICAL_APIC_ID=0x10)
    destination = 0xEE & ~0x10 if shorthand else 0x10 if logical else 0
    k.sti()
    with k.trigger():
        k.lapic.send(
            destination=destination,
            VECTOR=0x47,
            LEVEL=1,
            DESTINATION_MODE=int(logical),
            DESTINATION_SHORTHAND=shorthand,
        )
    k.wait_for(0x47, quiet_ms=1)

    run = yield

    assert run.vectors == [0x47]
