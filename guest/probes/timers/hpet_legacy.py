"""HPET legacy replacement: timers 0 and 1 in the place of the 8254 and the RTC."""

from harness import Kernel, ProbeBody, probe

LEGACY = "IA-PC HPET 1.0a, LegacyReplacement Route Option"
PIT_PIN, RTC_PIN = 2, 8
VECTOR_2, VECTOR_8, OTHER = 0x44, 0x45, 0x46


@probe.each(timer=[0, 1])
@probe(spec=LEGACY, needs=["hpet"], covers=["timers.hpet-legacy-routes"])
def legacy_route_ignores_the_timers_own(k: Kernel, timer: int) -> ProbeBody:
    """With LEG_RT_CNF timer 0 goes to IO APIC pin 2 and timer 1 to pin 8, whatever their route fields hold."""
    k.pit.silence()
    for pin in range(24):
        k.ioapic.redirect(pin=pin, vector=OTHER)
    k.ioapic.redirect(pin=PIT_PIN, vector=VECTOR_2)
    k.ioapic.redirect(pin=RTC_PIN, vector=VECTOR_8)
    k.hpet.arm(20_000, timer=timer)
    k.sti()
    k.trigger(k.hpet.CONFIG.write, ENABLE=1, LEGACY_ROUTE=1)
    k.wait_for((VECTOR_2, VECTOR_8)[timer], quiet_ms=1)

    run = yield

    assert run.vectors == [(VECTOR_2, VECTOR_8)[timer]]


@probe(spec=LEGACY, needs=["hpet"], covers=["timers.hpet-legacy-cuts-pit"])
def legacy_route_cuts_off_the_pit(k: Kernel) -> ProbeBody:
    """With LEG_RT_CNF the 8254 causes no interrupt, though it counts; without it, it does again."""
    k.pit.silence()
    k.ioapic.redirect(pin=PIT_PIN, vector=VECTOR_2)
    k.hpet.CONFIG.write(ENABLE=1, LEGACY_ROUTE=1)
    k.sti()
    k.pit.program(channel=0, mode=0, count=1000)
    k.stay_quiet(ms=2)
    k.pit.READ_BACK.write(SC=3, COUNTER_0=1, COUNT=1)
    status = k.pit.STATUS[0].read()
    k.mark("legacy off")
    k.ioapic.mask(PIT_PIN)  # giving the pin back to an output that is high is another edge
    k.hpet.CONFIG.write(ENABLE=0)
    k.ioapic.unmask(PIT_PIN)
    k.trigger(k.pit.program, channel=0, mode=0, count=1000)
    k.wait_for(VECTOR_2, quiet_ms=2)

    run = yield

    assert run[status].OUTPUT == 1, "OUT 0 never rose: there was nothing to cut off"
    assert run.sequence == ["legacy off", VECTOR_2]


@probe(spec=LEGACY, needs=["hpet"], covers=["timers.hpet-legacy-cuts-rtc"])
def legacy_route_cuts_off_the_rtc(k: Kernel) -> ProbeBody:
    """With LEG_RT_CNF the RTC causes no interrupt, though its flags are set; without it, it does again."""
    k.handler(VECTOR_8).do(k.rtc.C.read, "acknowledged")
    k.ioapic.redirect(pin=RTC_PIN, vector=VECTOR_8)
    k.hpet.CONFIG.write(ENABLE=1, LEGACY_ROUTE=1)
    k.rtc.C.read("before")
    k.rtc.A.write(DV=2, RS=3)
    k.rtc.B.update(PIE=1)
    k.sti()
    k.stay_quiet(ms=2, real_ms=200)
    flags = k.rtc.C.read("flags")
    k.mark("legacy off")
    k.trigger(k.hpet.CONFIG.write, ENABLE=0)
    k.wait_for(VECTOR_8)
    k.cli()
    k.rtc.B.update(PIE=0)

    run = yield

    assert run[flags].PF == 1
    assert run[flags].IRQF == 1, "the RTC requested no interrupt: there was nothing to cut off"
    assert run.sequence[:2] == ["legacy off", VECTOR_8]
    # In real time another edge may come before the handler has read the flags of the first, and find them read.
    assert run["acknowledged"] & 0xC0 == 0xC0 or not k.deterministic
