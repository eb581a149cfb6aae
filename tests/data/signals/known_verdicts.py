"""Guests whose verdicts are known: they pass, fail, or deviate, whatever happens to QEMU on the host."""

from harness import Deviation, Kernel, ProbeBody, probe

SPEC = "none: the verdict of this guest is known"


@probe(spec=SPEC)
def passes_at_once(k: Kernel) -> ProbeBody:
    """INT n goes through gate n."""
    k.expect(0x50)
    k.int_n(0x50)
    run = yield
    assert run.vectors == [0x50]


def _timer(k: Kernel, mode: int) -> None:
    k.lapic.LVT_TIMER.write(VECTOR=0x50, TIMER_MODE=mode)
    k.sti()
    k.lapic.INITIAL_COUNT.write(10_000)
    k.wait_for(0x50)
    k.stay_quiet(ms=1)


@probe(spec=SPEC)
def passes_with_a_timer(k: Kernel) -> ProbeBody:
    """A one-shot timer interrupts once."""
    _timer(k, 0)
    run = yield
    assert run.vectors == [0x50]


@probe(spec=SPEC)
def passes_with_a_checkpoint(k: Kernel) -> ProbeBody:
    """The host acts at a checkpoint."""
    k.checkpoint("middle")
    k.expect(0x51)
    k.int_n(0x51)
    run = yield
    run.reached("middle")
    run.resume()
    assert run.vectors == [0x51]


@probe(spec=SPEC, cpus=2)
def passes_on_two_processors(k: Kernel) -> ProbeBody:
    """A second processor takes an interrupt."""
    k.expect(0x52)
    k.smp.start()
    with k.smp.on(1):
        k.int_n(0x52)
    k.smp.join(1)
    run = yield
    assert run.count(0x52, cpu=1) == 1


@probe(spec=SPEC)
def fails_at_once(k: Kernel) -> ProbeBody:
    """The wrong vector is expected."""
    k.expect(0x50)
    k.int_n(0x50)
    run = yield
    assert run.vectors == [0x51]


@probe(spec=SPEC)
def fails_with_a_timer(k: Kernel) -> ProbeBody:
    """A periodic timer does not interrupt once."""
    _timer(k, 1)
    run = yield
    assert run.vectors == [0x50]


@probe(spec=SPEC)
def fails_by_a_time_out(k: Kernel) -> ProbeBody:
    """Nothing causes the interrupt that is waited for."""
    k.sti()
    k.wait_for(0x40, ms=1)
    run = yield
    assert run.vectors == [0x40]


@probe(spec=SPEC)
def fails_by_a_reset(k: Kernel) -> ProbeBody:
    """A triple fault."""
    k.tables.lidt(0, 0)
    k.asm("broken: ud2")
    run = yield
    assert run.vectors == []


@probe(
    spec=SPEC,
    deviation=Deviation(targets="*", versions="*", kind="bug", sees="0x51", ref="none: this guest is here to deviate"),
)
def deviates(k: Kernel) -> ProbeBody:
    """A recorded difference."""
    k.expect(0x51)
    k.int_n(0x51)
    run = yield
    assert run.vectors == [0x50]


@probe(spec=SPEC)
def reads_controllers(k: Kernel) -> ProbeBody:
    """Registers and controllers are compared with QEMU's dumps."""
    k.expect(0x50)
    k.int_n(0x50)
    run = yield
    assert run.vectors == [0x50]
    assert run.lapic.isr == frozenset()
    assert run.cpus[0].bits64


def _half_a_second(k: Kernel) -> None:
    # In virtual time too: 250 million instructions.
    k.asm("""
        mov ecx, 250000000
    .Lagain: dec ecx
        jnz .Lagain
    """)
    k.expect(0x50)
    k.int_n(0x50)


@probe(spec=SPEC, watchdog_s=2.5)
def passes_after_half_a_second(k: Kernel) -> ProbeBody:
    """As `passes_at_once`, after a loop."""
    _half_a_second(k)
    run = yield
    assert run.vectors == [0x50]


@probe(spec=SPEC, watchdog_s=2.5)
def fails_after_half_a_second(k: Kernel) -> ProbeBody:
    """As `fails_at_once`, after a loop."""
    _half_a_second(k)
    run = yield
    assert run.vectors == [0x51]
