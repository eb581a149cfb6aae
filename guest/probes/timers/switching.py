"""HPET, RTC and ACPI enables written while an interrupt is pending, and timers whose mode changes in mid-count."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR, LEGACY, PIT = 0x4B, 0x95, 0xA7
CONFIG = "IA-PC HPET 1.0a, Timer n Configuration and Capability Register"
GENERAL = "IA-PC HPET 1.0a, General Configuration Register"
# Pin 2 is the only one on pc.
PIN_2 = Deviation(targets="pc-kvm", kind="bug", sees="waited for vector", ref="timers-hpet-kvm-pin-2")
REGISTER_B = "MC146818, Register B: PIE, AIE, UIE; Register C: IRQF"


def asserted(k: Kernel, *, timer: int = 0) -> None:
    """A level-triggered comparator has matched; its interrupt is in service, its line asserted."""
    k.hold(VECTOR)
    k.pit.silence()
    k.hpet.arm(1000, timer=timer, INT_TYPE=1)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.hpet.CONFIG.write(ENABLE=1)
    k.wait_for(VECTOR)


@probe.each(timer=[0, 1, 2])
@probe(spec=f"{CONFIG}: Tn_INT_ENB_CNF", needs=["hpet"], covers=["timers.hpet-disable-asserted"], deviation=PIN_2)
def a_timer_disabled_in_service_does_not_repeat(k: Kernel, timer: int) -> ProbeBody:
    """Tn_INT_ENB_CNF is cleared while the timer's level interrupt is in service: it does not come again."""
    asserted(k, timer=timer)
    k.trigger(k.hpet.TIMER[timer].CONFIG.write, ROUTE=k.hpet.pin, INT_TYPE=1, INT_ENABLE=0)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR]
    assert run.ioapic[k.hpet.pin].remote_irr == 0


@probe(
    spec=f"{CONFIG}: Tn_INT_ENB_CNF; General Interrupt Status Register",
    needs=["hpet"],
    covers=["timers.hpet-disable-asserted"],
    deviation=[
        PIN_2,
        Deviation(
            targets="*-tcg* q35-kvm",
            versions="<9.1",
            kind="bug",
            sees="the status bit went with the enable bit",
            ref="timers-hpet-disabled-status",
        ),
    ],
)
def a_timer_enabled_again_interrupts_for_its_status(k: Kernel) -> ProbeBody:
    """The status bit of a level-triggered timer stays while Tn_INT_ENB_CNF is 0, and interrupts when it is 1 again."""
    asserted(k)
    k.hpet.TIMER[0].CONFIG.write(ROUTE=k.hpet.pin, INT_TYPE=1, INT_ENABLE=0)
    k.lapic.eoi()
    k.stay_quiet()
    status = k.hpet.INTERRUPT_STATUS.read("status")
    k.mark("enable")
    k.trigger(k.hpet.TIMER[0].CONFIG.write, ROUTE=k.hpet.pin, INT_TYPE=1, INT_ENABLE=1)
    k.stay_quiet()
    k.hpet.INTERRUPT_STATUS.write(1)
    k.lapic.eoi()

    run = yield

    assert run[status] == 1, "the status bit went with the enable bit"
    assert run.sequence == [VECTOR, "enable", VECTOR]


@probe(spec=f"{GENERAL}: ENABLE_CNF", needs=["hpet"], covers=["timers.hpet-halt-pending"], deviation=PIN_2)
def a_halted_counter_holds_the_match_back(k: Kernel) -> ProbeBody:
    """ENABLE_CNF is cleared before the match: no interrupt, however long; set again, the match comes at its count."""
    k.pit.silence()
    k.hpet.arm(200_000)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.sti()
    k.hpet.CONFIG.write(ENABLE=1)
    k.trigger(k.hpet.CONFIG.write, ENABLE=0)
    halted = k.hpet.MAIN_COUNTER.read("halted")
    k.stay_quiet(ms=10)
    k.mark("run")
    k.hpet.CONFIG.write(ENABLE=1)
    k.wait_for(VECTOR, quiet_ms=1)
    count = k.hpet.MAIN_COUNTER.read("count")

    run = yield

    assert int(run[halted]) < 200_000
    assert run.sequence == ["run", VECTOR]
    assert int(run[count]) >= 200_000


@probe(spec=f"{GENERAL}: ENABLE_CNF", needs=["hpet"], covers=["timers.hpet-halt-pending"], deviation=PIN_2)
def a_halt_in_service_does_not_repeat(k: Kernel) -> ProbeBody:
    """ENABLE_CNF is cleared while a level interrupt is in service: no timer interrupts while it is 0."""
    asserted(k)
    k.trigger(k.hpet.CONFIG.write, ENABLE=0)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR]
    assert run.ioapic[k.hpet.pin].remote_irr == 0


@probe(spec=f"{CONFIG}: Tn_INT_TYPE_CNF", needs=["hpet"], covers=["timers.hpet-type-change"], deviation=PIN_2)
def an_armed_timer_becomes_level_triggered(k: Kernel) -> ProbeBody:
    """Tn_INT_TYPE_CNF is set in mid-count: the match sets the status bit and holds the line until it is cleared."""
    k.pit.silence()
    k.hold(VECTOR)
    k.hpet.arm(200_000)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.hpet.CONFIG.write(ENABLE=1)
    k.trigger(k.hpet.TIMER[0].CONFIG.write, ROUTE=k.hpet.pin, INT_TYPE=1, INT_ENABLE=1)
    k.wait_for(VECTOR)
    status = k.hpet.INTERRUPT_STATUS.read("status")
    k.lapic.eoi()
    k.wait_for(VECTOR, 2)
    k.hpet.INTERRUPT_STATUS.write(1)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run[status] == 1
    assert run.vectors == [VECTOR, VECTOR]


@probe.each(way=["on", "off"])
@probe(
    spec="IA-PC HPET 1.0a, LegacyReplacement Route Option",
    needs=["hpet"],
    covers=["timers.hpet-legacy-mid-count"],
    deviation=Deviation(
        targets="pc-kvm", cases="off", kind="bug", sees="waited for vector", ref="timers-hpet-kvm-pin-2"
    ),
)
def the_legacy_route_is_switched_in_mid_count(k: Kernel, way: str) -> ProbeBody:
    """LEG_RT_CNF is switched before timer 1 matches: the interrupt comes by the route at the moment of the match."""
    k.pit.silence()
    k.ioapic.redirect(pin=8, vector=LEGACY)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.hpet.arm(200_000, timer=1)
    k.sti()
    k.hpet.CONFIG.write(ENABLE=1, LEGACY_ROUTE=int(way == "off"))
    k.trigger(k.hpet.CONFIG.write, ENABLE=1, LEGACY_ROUTE=int(way == "on"))
    k.wait_for(LEGACY if way == "on" else VECTOR, quiet_ms=1)

    run = yield

    assert run.vectors == [LEGACY if way == "on" else VECTOR]


@probe(spec=f"{CONFIG}: Tn_TYPE_CNF", needs=["hpet"], covers=["timers.hpet-periodic-ends"], deviation=PIN_2)
def a_periodic_timer_becomes_one_shot(k: Kernel) -> ProbeBody:
    """Timer 0, periodic and at work, is made one-shot: one match more at most, and the comparator moves no further."""
    k.pit.silence()
    k.hpet.stop()
    k.hpet.TIMER[0].CONFIG.write(ROUTE=k.hpet.pin, INT_ENABLE=1, TYPE=1, VAL_SET=1)
    k.hpet.TIMER[0].COMPARATOR.write(100_000)
    k.hpet.TIMER[0].COMPARATOR.write(100_000)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.sti()
    k.hpet.CONFIG.write(ENABLE=1)
    k.wait_for(VECTOR, 3)
    k.trigger(k.hpet.TIMER[0].CONFIG.write, ROUTE=k.hpet.pin, INT_ENABLE=1)
    k.stay_quiet(ms=10)
    first = k.hpet.TIMER[0].COMPARATOR.read("first")
    k.mark("at rest")
    k.stay_quiet(ms=5)
    second = k.hpet.TIMER[0].COMPARATOR.read("second")

    run = yield

    assert run.sequence[-1] == "at rest"
    assert int(run[first]) == int(run[second])


@probe.each(flag=["UF", "AF"])
@probe(spec=REGISTER_B, covers=["timers.rtc-enable-pending"], watchdog_s=30)
def a_source_is_enabled_after_its_flag(k: Kernel, flag: str) -> ProbeBody:
    """A flag of register C is set when its enable becomes 1: IRQF is set and IRQ 8 comes then, not before."""
    enable = {"UF": {"UIE": 1}, "AF": {"AIE": 1}}[flag]
    for register in (k.rtc.SECONDS_ALARM, k.rtc.MINUTES_ALARM, k.rtc.HOURS_ALARM):
        register.write(0xFF)  # every second
    k.handler(VECTOR).do(k.rtc.C.read, "flags")
    k.ioapic.redirect(pin=8, vector=VECTOR)
    k.rtc.A.write(DV=2)
    k.rtc.B.write(HOURS_24=1)
    k.rtc.C.read("old")
    k.sti()
    k.delay(us=1_050_000)
    k.mark("enable")
    k.trigger(k.rtc.B.write, HOURS_24=1, **enable)
    k.wait_for(VECTOR, ms=20)
    k.cli()
    k.rtc.B.write(HOURS_24=1)

    run = yield

    assert run.sequence[:2] == ["enable", VECTOR]
    assert run["flags"] & 0x80 and run["flags"] & {"UF": 0x10, "AF": 0x20}[flag]


@probe(
    spec=f"{REGISTER_B}; Intel 8259A datasheet, Edge and Level Triggered Modes",
    covers=["timers.rtc-disable-pending"],
    watchdog_s=30,
)
def a_source_disabled_after_its_flag_releases_the_line(k: Kernel) -> ProbeBody:
    """PIE is cleared while its request is pending: IRQF goes, PF stays, and PIE set again is a request again."""
    k.pic.initialize(base=0x50)
    k.pic.SLAVE.ELCR.write(0)
    k.rtc.A.write(DV=2, RS=3)
    k.rtc.C.read("old")
    k.rtc.B.write(HOURS_24=1, PIE=1)
    k.delay(us=500 if k.deterministic else 20_000)
    before = k.pic.irr(k.pic.SLAVE, "before")
    k.rtc.A.write(DV=2, RS=0)  # no further periods
    k.trigger(k.rtc.B.write, HOURS_24=1)
    flags = k.rtc.C.read("flags")

    run = yield

    assert run[before] & 1
    assert (run[flags].PF, run[flags].IRQF) == (1, 0)


@probe(spec="8254, Mode 0: Interrupt on Terminal Count", covers=["timers.pit-again"])
def a_second_count_of_mode_0_interrupts_again(k: Kernel) -> ProbeBody:
    """A new count written while OUT is high takes it low, and its end is another edge of IRQ 0."""
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=PIT)
    k.sti()
    k.pit.program(channel=0, mode=0, count=500)
    k.wait_for(PIT)
    k.mark("again")
    k.trigger(k.pit.load, 0, 700)
    k.pit.READ_BACK.write(SC=3, COUNTER_0=1, COUNT=1)
    status = k.pit.STATUS[0].read("status")
    k.wait_for(PIT, 2, quiet_ms=1)

    run = yield

    assert run[status].OUTPUT == 0
    assert run.sequence == [PIT, "again", PIT]


@probe(spec="8254, Mode 0: Interrupt on Terminal Count", covers=["timers.pit-again"])
def a_count_rewritten_in_mid_count_interrupts_once(k: Kernel) -> ProbeBody:
    """In mode 0 a count written before the first one ends replaces it: one interrupt, after the second count."""
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=PIT)
    k.sti()
    k.pit.program(channel=0, mode=0, count=2000 if k.deterministic else 55_000)
    k.delay(us=200)
    k.trigger(k.pit.load, 0, 6000 if k.deterministic else 60_000)
    k.stay_quiet(ms=3, real_ms=3)
    k.mark("later")
    k.wait_for(PIT, quiet_ms=5)

    run = yield

    assert run.count(PIT) == 1
    assert run.sequence == ["later", PIT] or not k.deterministic
