"""A periodic HPET comparator whose period is 0."""

from harness import Kernel, ProbeBody, probe

VECTOR, BEHIND = 0x4D, 0xB2


@probe(
    spec="IA-PC HPET 1.0a, Timer Operation in Periodic Mode; SDM vol. 3A, APIC Timer",
    needs=["hpet"],
    covers=["timers.hpet-zero-period"],
)
def machine_goes_on_with_a_period_of_zero(k: Kernel) -> ProbeBody:
    """With a period of 0 the machine runs: another timer interrupts, and the counter can be read and stopped."""
    k.pit.silence()
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR, MASK=1)
    k.hpet.stop()
    block = k.hpet.TIMER[0]
    block.CONFIG.write(ROUTE=k.hpet.pin, INT_ENABLE=1, TYPE=1, VAL_SET=1, MODE_32=1)
    block.COMPARATOR.write(1000)
    block.COMPARATOR.write(0)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.lapic.start_timer(BEHIND, 100_000)
    k.wait_for(BEHIND)
    running = k.hpet.MAIN_COUNTER.read("running")
    k.hpet.CONFIG.write(ENABLE=0)
    block.CONFIG.write(INT_ENABLE=0)
    stopped, later = k.hpet.MAIN_COUNTER.read("stopped"), k.value("later")
    k.delay(us=10)
    k.store(later, k.hpet.MAIN_COUNTER)

    run = yield

    assert run.vectors == [BEHIND]
    assert int(run[running]) > 1000, "the comparator did not match while the counter ran"
    assert run[later] == int(run[stopped])
