"""How HPET comparators reach the processor: every route, edge and level, FSB messages."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x47
STATUS = "IA-PC HPET 1.0a, General Interrupt Status Register"
ROUTE = "IA-PC HPET 1.0a, Timer n Configuration and Capability Register: Tn_INT_ROUTE_CNF"
# Pin 2 is the only one on pc.
PIN_2 = Deviation(targets="pc-kvm", kind="bug", sees="waited for vector", ref="timers-hpet-kvm-pin-2")


def arm(k: Kernel, pin: int, *, timer: int = 0, level: int = 0, enable: int = 1) -> None:
    """A one-shot comparator that matches at 10000 once the counter is enabled."""
    k.pit.silence()
    k.hpet.arm(10_000, timer=timer, ROUTE=pin, INT_ENABLE=enable, INT_TYPE=level)


@probe.each(timer=[0, 1, 2])
@probe(
    spec=ROUTE,
    needs=["hpet"],
    covers=["timers.hpet-routes"],
    deviation=Deviation(targets="*-kvm", kind="bug", sees="waited for vector 0x62", ref="timers-hpet-kvm-pin-2"),
)
def every_advertised_route_works(k: Kernel, timer: int) -> ProbeBody:
    """Tn_INT_ROUTE_CAP names the IO APIC pins that a timer can be routed to: an edge arrives at each of them."""
    k.sti()
    capability = k.hpet.TIMER[timer].CONFIG.read()
    for pin in k.hpet.pins:
        arm(k, pin, timer=timer)
        k.ioapic.redirect(pin=pin, vector=0x60 + pin)
        k.trigger(k.hpet.CONFIG.write, ENABLE=1)
        k.wait_for(0x60 + pin)
        k.ioapic.mask(pin)

    run = yield

    assert run.vectors == [0x60 + pin for pin in k.hpet.pins]
    assert {pin for pin in range(32) if run[capability].allows(pin)} == set(k.hpet.pins)


@probe.each(timer=[0, 1, 2])
@probe(spec=STATUS, needs=["hpet"], covers=["timers.hpet-level"], deviation=PIN_2)
def level_stays_until_its_status_is_cleared(k: Kernel, timer: int) -> ProbeBody:
    """A level-triggered timer sets its status bit and holds its line until 1 is written to it, not 0."""
    pin = k.hpet.pin
    k.hold(VECTOR)
    arm(k, pin, timer=timer, level=1)
    k.ioapic.redirect(pin=pin, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR)
    raised = k.hpet.INTERRUPT_STATUS.read("raised")
    k.hpet.INTERRUPT_STATUS.write(0)
    kept = k.hpet.INTERRUPT_STATUS.read("kept")
    k.mark("EOI, line active")
    k.lapic.eoi()
    k.wait_for(VECTOR, 2)
    k.hpet.INTERRUPT_STATUS.write(1 << timer)
    cleared = k.hpet.INTERRUPT_STATUS.read("cleared")
    k.mark("EOI, line idle")
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert [run[status] for status in (raised, kept, cleared)] == [1 << timer, 1 << timer, 0]
    assert run.sequence == [VECTOR, "EOI, line active", VECTOR, "EOI, line idle"]
    assert run.ioapic[pin].remote_irr == 0


@probe(spec=STATUS, needs=["hpet"], covers=["timers.hpet-edge-status"], deviation=PIN_2)
def an_edge_timer_shows_no_status(k: Kernel) -> ProbeBody:
    """In edge mode the status bit stays 0."""
    arm(k, k.hpet.pin)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR)
    status = k.hpet.INTERRUPT_STATUS.read()

    run = yield

    assert run.vectors == [VECTOR]
    assert run[status] == 0


@probe(
    spec="IA-PC HPET 1.0a, Timer n Configuration and Capability Register: Tn_INT_ENB_CNF",
    needs=["hpet"],
    covers=["timers.hpet-disabled-status"],
    deviation=Deviation(
        targets="*", versions="<9.1", kind="bug", sees="no status bit", ref="timers-hpet-disabled-status"
    ),
)
def a_disabled_timer_still_shows_its_status(k: Kernel) -> ProbeBody:
    """With Tn_INT_ENB_CNF = 0 a level-triggered timer operates and sets its status bit, but causes no interrupt."""
    arm(k, k.hpet.pin, level=1, enable=0)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.stay_quiet(ms=2, real_ms=100)  # a busy host may serve the timer late
    status = k.hpet.INTERRUPT_STATUS.read()

    run = yield

    assert run.vectors == []
    assert run[status] == 1, "no status bit: the timer did not operate"


@probe.each(timer=[0, 1, 2])
@probe(spec="IA-PC HPET 1.0a, Timer n FSB Interrupt Route Register", needs=["hpet-fsb"], covers=["timers.hpet-fsb"])
def fsb_delivery_writes_its_message(k: Kernel, timer: int) -> ProbeBody:
    """With Tn_FSB_EN_CNF a match writes the message of the FSB route register, and no IO APIC pin moves."""
    k.pit.silence()
    for pin in range(24):
        k.ioapic.redirect(pin=pin, vector=0x90)
    k.hpet.stop()
    capability = k.hpet.TIMER[timer].CONFIG.read()
    k.hpet.TIMER[timer].FSB_ROUTE.write(ADDRESS=0xFEE0_0000, VALUE=VECTOR)
    k.hpet.TIMER[timer].CONFIG.write(INT_ENABLE=1, FSB_ENABLE=1)
    k.hpet.TIMER[timer].COMPARATOR.write(10_000)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    if not run[capability].FSB_CAP:
        run.unsupported(f"timer {timer} cannot send FSB messages (Tn_FSB_INT_DEL_CAP is 0)")
    assert run.vectors == [VECTOR]
