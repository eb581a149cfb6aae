"""The alarm bytes of the RTC: which values match every time, and which none."""

from harness import Kernel, ProbeBody, probe

ALARM = "MC146818, Alarm Interrupt"


@probe.each(number=[0xC0, 0xD5, 0xEA, 0xFF])
@probe(spec=ALARM, covers=["timers.rtc-alarm-wild"], watchdog_s=30)
def a_byte_from_c0_to_ff_matches_every_value(k: Kernel, number: int) -> ProbeBody:
    """With bits 7 and 6 set in all three alarm bytes AF is set with every update, whatever the other bits are."""
    k.rtc.A.write(DV=2)
    k.rtc.B.write(HOURS_24=1)
    for register in (k.rtc.SECONDS_ALARM, k.rtc.MINUTES_ALARM, k.rtc.HOURS_ALARM):
        k.trigger(register.write, number)
    k.rtc.C.read("old")
    k.delay(us=1_050_000)
    first = k.rtc.C.read("first")
    k.delay(us=1_050_000)
    second = k.rtc.C.read("second")

    run = yield

    assert [(run[flags].UF, run[flags].AF) for flags in (first, second)] == [(1, 1), (1, 1)]


@probe.each(place=["SECONDS_ALARM", "MINUTES_ALARM", "HOURS_ALARM"], number=[0x3F, 0x7F, 0xBF])
@probe(spec=ALARM, covers=["timers.rtc-alarm-wild"], watchdog_s=30)
def a_byte_below_c0_matches_its_own_value_alone(k: Kernel, place: str, number: int) -> ProbeBody:
    """3Fh, 7Fh and BFh are no time and no wildcard: with one of them in an alarm byte AF stays clear."""
    k.rtc.A.write(DV=2)
    k.rtc.B.write(HOURS_24=1)
    for register in (k.rtc.SECONDS_ALARM, k.rtc.MINUTES_ALARM, k.rtc.HOURS_ALARM):
        register.write(0xFF)
    k.trigger(getattr(k.rtc, place).write, number)
    k.rtc.C.read("old")
    k.delay(us=1_050_000)
    flags = k.rtc.C.read("flags")

    run = yield

    assert (run[flags].UF, run[flags].AF) == (1, 0)
