"""The local APIC's timer and LVT written while the timer counts or its interrupt is pending or in service."""

from harness import Kernel, ProbeBody, TimerMode, probe, wait_register

VECTOR, OTHER = 0x4D, 0xB6
TIMER = "SDM vol. 3A, APIC Timer"
LVT = "SDM vol. 3A, Local Vector Table"
LONG, SHORT = 1_000_000, 20_000


@probe.each(how=["mask", "vector", "count"])
@probe(spec=f"{LVT}; {TIMER}", covers=["lapic.lvt-accepted"])
def a_request_that_was_accepted_is_not_taken_back(k: Kernel, how: str) -> ProbeBody:
    """The timer's request waits in the IRR while its LVT entry is masked or rewritten or the timer is stopped."""
    k.cli()
    k.lapic.start_timer(VECTOR, SHORT)
    wait_register(k, k.lapic.IRR[VECTOR // 32], bits=1 << VECTOR % 32)
    with k.trigger():
        if how == "mask":
            k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
        elif how == "vector":
            k.lapic.LVT_TIMER.write(VECTOR=OTHER)
        else:
            k.lapic.INITIAL_COUNT.write(0)
        requested = k.lapic.requested(VECTOR, "requested")
    k.sti()
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert VECTOR in run[requested]
    assert run.vectors == [VECTOR]


@probe(spec=TIMER, covers=["lapic.timer-mode-change"])
def periodic_becomes_one_shot_in_mid_count(k: Kernel) -> ProbeBody:
    """A periodic timer that is made one-shot interrupts once more at most, and is at rest then."""
    k.lapic.start_timer(VECTOR, SHORT, TIMER_MODE=TimerMode.PERIODIC)
    k.sti()
    k.wait_for(VECTOR, 3)
    k.trigger(k.lapic.LVT_TIMER.write, VECTOR=OTHER, TIMER_MODE=TimerMode.ONE_SHOT)
    k.stay_quiet(ms=1)
    rest = k.lapic.CURRENT_COUNT.read("rest")

    run = yield

    assert run.vectors in ([VECTOR] * 3, [*[VECTOR] * 3, OTHER])
    assert int(run[rest]) == 0


@probe(spec=TIMER, covers=["lapic.timer-mode-change"])
def one_shot_becomes_periodic_before_it_is_started(k: Kernel) -> ProbeBody:
    """A one-shot in mid-count is made periodic and started with a new count: every interrupt is of the new period."""
    k.lapic.start_timer(VECTOR, LONG)
    k.delay(us=20)
    with k.trigger():
        k.lapic.LVT_TIMER.write(VECTOR=OTHER, TIMER_MODE=TimerMode.PERIODIC)
        k.lapic.INITIAL_COUNT.write(SHORT)
    k.sti()
    k.wait_for(OTHER, 3)
    k.lapic.INITIAL_COUNT.write(0)
    k.stay_quiet(ms=3)

    run = yield

    assert set(run.vectors) == {OTHER}
    assert run.count(OTHER) <= 4 or not k.deterministic


@probe(spec=TIMER, covers=["lapic.timer-stopped-in-service"])
def a_timer_stopped_in_service_is_silent(k: Kernel) -> ProbeBody:
    """A periodic timer is stopped and its interrupt ended while one is in service and one waits: the one that waits."""
    k.hold(VECTOR)
    k.lapic.start_timer(VECTOR, SHORT, TIMER_MODE=TimerMode.PERIODIC)
    k.sti()
    k.wait_for(VECTOR)
    wait_register(k, k.lapic.IRR[VECTOR // 32], bits=1 << VECTOR % 32)
    k.trigger(k.lapic.INITIAL_COUNT.write, 0)
    k.lapic.eoi()
    k.wait_for(VECTOR, 2)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR, VECTOR]
    assert run.lapic.isr == set()


@probe(spec="SDM vol. 3A, Task Priority Register; Interrupt Acceptance for Fixed Interrupts", covers=["lapic.tpr-nest"])
def a_vector_rewritten_in_service_nests_by_its_own_class(k: Kernel) -> ProbeBody:
    """The LVT's vector is raised while the old one is in service: the next expiry preempts; each EOI ends its own."""
    k.hold(VECTOR, OTHER)
    k.lapic.start_timer(VECTOR, SHORT)
    k.sti()
    k.wait_for(VECTOR)
    k.trigger(k.lapic.LVT_TIMER.write, VECTOR=OTHER)
    k.lapic.INITIAL_COUNT.write(SHORT)
    k.wait_for(OTHER)
    k.lapic.eoi()
    first = k.lapic.in_service(OTHER, "first")
    second = k.lapic.in_service(VECTOR, "second")
    k.lapic.eoi()
    none = k.lapic.in_service(VECTOR, "none")

    run = yield

    assert run.vectors == [VECTOR, OTHER]
    assert OTHER not in run[first]
    assert VECTOR in run[second]
    assert VECTOR not in run[none]
