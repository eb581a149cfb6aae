"""HPET comparators."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x40
# Pin 2 is the only one on pc.
PIN_2 = Deviation(targets="pc-kvm", kind="bug", sees="waited for vector", ref="timers-hpet-kvm-pin-2")


@probe(spec="IA-PC HPET 1.0a, 2.3.9.2.1 Timer Operation in Non-Periodic Mode", needs=["hpet"], deviation=PIN_2)
def one_shot_fires_once(k: Kernel) -> ProbeBody:
    """A one-shot comparator interrupts exactly once, and not before its count."""
    seen_at = k.handler(VECTOR).do(k.value, "seen_at", k.hpet.MAIN_COUNTER)

    k.pit.silence()
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.hpet.arm(100_000)
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.sti()
    k.wait_for(VECTOR, quiet_ms=5)

    run = yield

    assert run.vectors == [VECTOR]
    assert run[seen_at] >= 100_000
    assert run.lapic.isr == set()
    assert run.ioapic[k.hpet.pin].remote_irr == 0
