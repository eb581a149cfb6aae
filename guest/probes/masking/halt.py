"""HLT: which events end it, and where the program continues."""

from harness import DeliveryMode, Kernel, ProbeBody, probe

VECTOR, NMI = 0x50, 2
SPEC = "SDM vol. 2, HLT—Halt"


@probe(spec=f"{SPEC}; STI—Set Interrupt Flag", covers=["masking.sti-hlt", "masking.hlt"])
def sti_hlt_with_a_pending_interrupt_wakes_at_once(k: Kernel) -> ProbeBody:
    """STI HLT with a request pending: HLT is in STI's shadow, so it is executed, and left with the RIP behind it."""
    k.cli()
    k.trigger(k.lapic.self_ipi, VECTOR)
    k.delay(us=10)
    k.lapic.start_timer(VECTOR + 1, 50_000_000)  # ends the HLT if the request was lost in the shadow
    k.asm("sti\nhlt\nbehind: cli")

    run = yield

    assert run.fields("vector", "rip") == [(VECTOR, run.address("behind"))]


@probe(spec=SPEC, covers=["masking.hlt"])
def an_interrupt_ends_hlt_behind_it(k: Kernel) -> ProbeBody:
    """An interrupt that comes during HLT saves the RIP behind the HLT, and the program continues there."""
    k.trigger(k.lapic.start_timer, VECTOR, 100_000)
    k.asm("sti\nhlt\nbehind: cli")  # in the shadow of STI, or a late HLT would wait for what came before it
    went_on = k.value("went_on", 1)

    run = yield

    assert run.fields("vector", "rip") == [(VECTOR, run.address("behind"))]
    assert run[went_on] == 1


@probe(spec=f"{SPEC}; vol. 3A, Nonmaskable Interrupt (NMI)", covers=["masking.hlt-if0"])
def with_if_clear_only_an_nmi_ends_hlt(k: Kernel) -> ProbeBody:
    """HLT with IF clear sleeps on through a maskable interrupt, which stays in IRR, and wakes for an NMI."""
    k.expect(NMI)
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=0, DELIVERY_MODE=DeliveryMode.NMI)
    k.cli()
    k.lapic.start_timer(VECTOR, 100_000)
    early = k.read_tsc("timer_started")
    k.trigger(k.pit.program, 0, 0, 11932)  # 10 ms
    k.asm("hlt\nbehind:")
    late = k.read_tsc("woken")
    k.ioapic.mask(pin=2)
    k.checkpoint("woken")
    k.asm("sti\nnop\ncli")

    run = yield

    with run.stopped_at("woken"):
        assert run.fields("vector", "rip") == [(NMI, run.address("behind"))]
        assert run.lapic.irr == {VECTOR}
        assert run[late] - run[early] >= 9 * run.tsc_khz
    assert run.vectors == [NMI, VECTOR]


@probe(spec="SDM vol. 3A, Privileged Instructions", covers=["masking.hlt"])
def hlt_is_privileged(k: Kernel) -> ProbeBody:
    """HLT at CPL 3 raises #GP(0)."""
    with k.faults(13), k.ring3(), k.trigger():
        k.asm("hlt")

    run = yield

    assert run.fields("vector", "error_code") == [(13, 0)]
