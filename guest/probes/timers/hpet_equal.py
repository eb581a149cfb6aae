"""An HPET comparator that is equal to the counter, or next to it, when the counter starts."""

from harness import Kernel, ProbeBody, probe

VECTOR, BEHIND = 0x4F, 0x96
START = 5000


@probe.each(distance=[0, 1, 2], wide=[False, True])
@probe(
    spec="IA-PC HPET 1.0a, Timer n Comparator Register; Main Counter Value Register",
    needs=["hpet"],
    covers=["timers.hpet-equal"],
)
def the_machine_goes_on_with_an_equal_comparator(k: Kernel, distance: int, wide: bool) -> ProbeBody:
    """The comparator is the halted counter plus 0, 1 or 2: one interrupt at most, and the machine does not hang."""
    k.pit.silence()
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.hpet.arm(START + distance, start=START, MODE_32=int(not wide))
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.lapic.start_timer(BEHIND, 100_000)
    k.wait_for(BEHIND)
    k.hpet.CONFIG.write(ENABLE=0)
    stopped, later = k.hpet.MAIN_COUNTER.read("stopped"), k.value("later")
    k.delay(us=10)
    k.store(later, k.hpet.MAIN_COUNTER)

    run = yield

    assert run.count(VECTOR) <= 1
    assert run.count(BEHIND) == 1
    assert int(run[stopped]) > START
    assert run[later] == int(run[stopped])
