"""HPET comparators in periodic mode."""

from itertools import pairwise

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x43
PERIODIC = "IA-PC HPET 1.0a, Timer Operation in Periodic Mode"
# Pin 2 is the only one on pc.
PIN_2 = Deviation(targets="pc-kvm", kind="bug", sees="waited for vector", ref="timers-hpet-kvm-pin-2")


@probe.each(timer=[0, 1, 2])
@probe(
    spec=PERIODIC,
    needs=["hpet"],
    covers=["timers.hpet-periodic"],
    deviation=[
        PIN_2,
        Deviation(
            targets="*-tcg",
            kind="bug",
            sees=["one match interrupts twice", r"gaps in ns: \[1\d{3}\.0, ", r"80\d{3} >= \(30000 \+"],
            ref="timers-hpet-periodic-twice",
        ),
    ],
)
def comparator_advances_by_its_period(k: Kernel, timer: int) -> ProbeBody:
    """A periodic comparator interrupts at its first value and then every period, and reads as the next match."""
    first, period = 30_000, 10_000
    k.pit.silence()
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.hpet.stop()
    block = k.hpet.TIMER[timer]
    capability = block.CONFIG.read()
    block.CONFIG.write(ROUTE=k.hpet.pin, INT_ENABLE=1, TYPE=1, VAL_SET=1, MODE_32=1)
    block.COMPARATOR.write(first)
    block.COMPARATOR.write(period)
    femtoseconds = k.hpet.CAPABILITIES.read()
    with k.handler(VECTOR):
        next_match = k.value("next_match", block.COMPARATOR)
        seen_at = k.value("seen_at", k.hpet.MAIN_COUNTER)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR, 11)
    k.cli()
    k.hpet.CONFIG.write(ENABLE=0)

    run = yield

    if not run[capability].PERIODIC_CAP:
        run.unsupported(f"timer {timer} has no periodic mode (Tn_PER_INT_CAP is 0)")
    assert set(run.vectors) == {VECTOR}
    assert run[next_match] % period == 0, "the accumulator is not a multiple of the period"
    ns_per_tick = run[femtoseconds].COUNTER_CLK_PERIOD / 1e6
    times = [interrupt.tsc * 1e6 / run.tsc_khz for interrupt in run.interrupts[:11]]
    gaps = [after - before for before, after in pairwise(times)]
    if k.deterministic:
        assert min(gaps) > period * ns_per_tick / 2, "one match interrupts twice"
        assert all(abs(gap - period * ns_per_tick) <= 30 for gap in gaps), f"gaps in ns: {gaps}"
    assert run[seen_at] >= first + 10 * period
    assert run[next_match] > k.by_clock(run[seen_at], 0)


@probe(
    spec=PERIODIC,
    needs=["hpet"],
    covers=["timers.hpet-accumulator"],
    deviation=Deviation(
        targets="*", versions="<9.1", kind="bug", sees="0xffffffff0007a120>? == 500000", ref="timers-hpet-64-bit-write"
    ),
)
def value_set_sets_the_accumulator_once(k: Kernel) -> ProbeBody:
    """After VAL_SET one write (64 bits at once) sets the first match; the next sets only the period."""
    k.hpet.stop()
    timer = k.hpet.TIMER[0]
    timer.CONFIG.write(ROUTE=k.hpet.pin, TYPE=1, VAL_SET=1)
    k.trigger(timer.COMPARATOR.write, 500_000)
    timer.COMPARATOR.write(7_000)
    comparator = timer.COMPARATOR.read()
    config = timer.CONFIG.read()

    run = yield

    assert run[comparator] == 500_000
    assert run[config].VAL_SET == 0, "VAL_SET clears itself"
    assert run[config].TYPE == 1
