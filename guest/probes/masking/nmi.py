"""NMI: where it comes from, what holds it back, how many are kept."""

from harness import DeliveryMode, Deviation, Kernel, ProbeBody, probe

NMI, BP = 2, 3
SPEC = "SDM vol. 3A, Handling Multiple NMIs"


def send_nmi(k: Kernel) -> None:
    """An NMI to this processor, by its physical ID: the self shorthand takes fixed interrupts only."""
    k.lapic.send(destination=0, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1)


@probe.each(interrupts=[True, False])
@probe(
    spec="SDM vol. 3A, Nonmaskable Interrupt (NMI); Local Vector Table (LINT1, delivery mode NMI)",
    covers=["masking.nmi-qmp", "masking.nmi-lint1"],
)
def an_nmi_from_the_board_comes_whatever_if_is(k: Kernel, interrupts: bool) -> ProbeBody:
    """An NMI on LINT1 (the monitor's inject-nmi) arrives on vector 2 with IF set or clear; no ISR bit is set."""
    k.expect(NMI)
    k.asm("sti\nnop" if interrupts else "cli")
    k.checkpoint("armed")
    k.stay_quiet(ms=1)
    k.cli()

    run = yield

    with run.stopped_at("armed"):
        run.trigger(run.qmp, "inject-nmi")
    assert run.fields("vector", "error_code") == [(NMI, None)]
    assert not run.interrupts[0].in_service
    assert run.lapic.isr == set()


@probe(spec="SDM vol. 3A, Local Vector Table (Mask)", covers=["masking.nmi-lint1"])
def a_masked_lint1_keeps_the_nmi_out(k: Kernel) -> ProbeBody:
    """With LVT LINT1 masked the board's NMI does not arrive; unmasked again, the next one does."""
    k.expect(NMI)
    k.lapic.LVT_LINT1.write(MASK=1, DELIVERY_MODE=DeliveryMode.NMI)
    k.checkpoint("masked")
    k.delay(us=100)
    k.lapic.LVT_LINT1.write(MASK=0, DELIVERY_MODE=DeliveryMode.NMI)
    k.delay(us=100)
    k.checkpoint("unmasked")
    k.delay(us=100)

    run = yield

    with run.stopped_at("masked"):
        run.qmp("inject-nmi")
    with run.stopped_at("unmasked"):
        assert run.vectors == []
        run.trigger(run.qmp, "inject-nmi")
    assert run.vectors == [NMI]


@probe(
    spec="SDM vol. 3A, Local Vector Table (delivery mode)",
    covers=["masking.nmi-lint1"],
    deviation=Deviation(targets="*-kvm", kind="unimplemented", sees=r"\[\] == \[0x61\]", ref="lapic-kvm-lint"),
)
def lint1_may_carry_a_fixed_interrupt(k: Kernel) -> ProbeBody:
    """LVT LINT1 in fixed mode turns the same line into a maskable interrupt at its vector."""
    k.lapic.LVT_LINT1.write(VECTOR=0x61, DELIVERY_MODE=DeliveryMode.FIXED)
    k.sti()
    k.checkpoint("armed")
    k.delay(us=100)
    k.cli()
    k.lapic.LVT_LINT1.write(DELIVERY_MODE=DeliveryMode.NMI)

    run = yield

    with run.stopped_at("armed"):
        run.trigger(run.qmp, "inject-nmi")
    assert run.vectors == [0x61]


@probe.each(vector=[0, 2, 0x55])
@probe(spec="SDM vol. 3A, Interrupt Command Register (ICR) (delivery mode NMI)", covers=["masking.nmi-ipi"])
def an_nmi_ipi_ignores_its_vector_field(k: Kernel, vector: int) -> ProbeBody:
    """An IPI with delivery mode NMI arrives on vector 2 whatever its vector field is, with IF clear."""
    k.expect(NMI)
    k.cli()
    k.trigger(k.lapic.send, destination=0, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1, VECTOR=vector)
    k.delay(us=10)

    run = yield

    assert run.vectors == [NMI]
    assert run.lapic.irr == run.lapic.isr == set()


@probe(spec="82093AA, I/O Redirection Table Registers (delivery mode NMI)", covers=["masking.nmi-ioapic"])
def an_ioapic_entry_may_deliver_nmi(k: Kernel) -> ProbeBody:
    """A redirection entry with delivery mode NMI turns the pin's edge into an NMI; the vector field is ignored."""
    k.expect(NMI)
    k.cli()
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=0x66, DELIVERY_MODE=DeliveryMode.NMI)
    k.trigger(k.pit.program, 0, 0, 100)
    k.wait_for(NMI, quiet_ms=1)

    run = yield

    assert run.vectors == [NMI]
    assert run.lapic.isr == set()


@probe(spec=SPEC, covers=["masking.nmi-blocked"])
def an_nmi_in_an_nmi_handler_waits_for_iret(k: Kernel) -> ProbeBody:
    """While an NMI is handled the next one is held, and comes when IRET has ended the handler, not within it."""
    with k.handler(NMI), k.first_time():
        k.trigger(send_nmi, k)
        k.delay(us=10)
        k.mark("handler ends")
    send_nmi(k)
    k.delay(us=10)

    run = yield

    assert run.sequence == [NMI, "handler ends", NMI]
    assert [i.depth for i in run.interrupts] == [0, 0]


@probe.each(sent=[1, 2, 3])
@probe(spec=SPEC, covers=["masking.nmi-collapse"])
def at_most_one_nmi_is_latched(k: Kernel, sent: int) -> ProbeBody:
    """However many NMIs come while one is handled, one more is delivered afterwards."""
    with k.handler(NMI), k.first_time(), k.trigger():
        for _ in range(sent):
            send_nmi(k)
            k.delay(us=5)
    send_nmi(k)
    k.delay(us=50)

    run = yield

    assert run.vectors == [NMI, NMI]


@probe(spec=f"{SPEC}; vol. 2, IRET/IRETD/IRETQ (NMI blocking)", covers=["masking.nmi-bp"])
def an_exception_in_an_nmi_handler_unblocks_early(k: Kernel) -> ProbeBody:
    """The IRET of a #BP inside an NMI handler ends the blocking: the held NMI nests into the first one's handler."""
    k.expect(BP)
    with k.handler(NMI), k.first_time():
        send_nmi(k)
        k.delay(us=10)
        k.mark("held")
        k.trigger(k.asm, "int3")
        k.asm("behind_int3:")
        k.mark("first handler goes on")
    send_nmi(k)
    k.delay(us=10)

    run = yield

    assert run.sequence == [NMI, "held", BP, NMI, "first handler goes on"]
    assert [i.depth for i in run.interrupts] == [0, 1, 1]
    assert run.interrupts[2].rip == run.address("behind_int3")


@probe(spec="SDM vol. 2, STI—Set Interrupt Flag (NMI in the shadow)", covers=["masking.nmi-sti"])
def an_nmi_around_sti_comes_once(k: Kernel) -> ProbeBody:
    """An NMI sent right before STI CLI comes exactly once, in the shadow or not: the manual allows either."""
    k.expect(NMI)
    k.cli()
    k.trigger(send_nmi, k)
    k.asm("sti\nin_shadow: cli\nbehind: nop")
    k.delay(us=10)

    run = yield

    assert run.vectors == [NMI]


BURST = 2000


@probe.each(sent=[2, 3])
@probe(spec=SPEC, covers=["masking.nmi-repeated"], watchdog_s=60)
def nmis_never_get_lost_or_doubled(k: Kernel, sent: int) -> ProbeBody:
    """Two thousand times: of two or three NMIs close together, one is delivered at once and one held: two each time."""
    inner = k.value("inner", 0)
    k.asm(f"mov ebx, {BURST}\nburst:")
    k.store(inner, 0)
    with k.handler(NMI):
        k.asm(f"inc qword ptr [{inner.name}]\ncmp qword ptr [{inner.name}], 2\njae last")
        for _ in range(sent - 1):
            send_nmi(k)
        k.asm("last:")
    k.trigger(send_nmi, k)
    k.asm(f"""
        mov ecx, 1000000
    settled:
        pause
        cmp qword ptr [{inner.name}], 2
        je both
        dec ecx
        jnz settled
    both:
        dec ebx
        jnz burst
    """)
    k.stay_quiet(ms=1)

    run = yield

    assert run.counts == {NMI: 2 * BURST}


@probe.each(sent=range(1, 4))
@probe(spec="SDM vol. 3A, Nonmaskable Interrupt (NMI)", covers=["masking.nmi-repeated"])
def nmis_in_a_row_each_arrive(k: Kernel, sent: int) -> ProbeBody:
    """NMIs sent one after the other, each when the last one's handler has returned, each arrive."""
    k.expect(NMI)
    for number in range(1, sent + 1):
        k.trigger(send_nmi, k)
        k.wait_for(NMI, number, ms=5)

    run = yield

    assert run.vectors == [NMI] * sent
