"""The RTC's time: updates, alarms, data modes, SET and UIP. Waits are long: an update comes once a second."""

from harness import RTC_ALARM_WILDCARD, Deviation, Kernel, ProbeBody, RegisterC, probe

VECTOR = 0x49
PIN = 8
B_24_BCD = {"HOURS_24": 1}
ALARM = "MC146818, Alarm Interrupt"
UPDATE = "MC146818, Update Cycle"
DATA = "MC146818, Time, Calendar, and Alarm Locations"


def set_time(k: Kernel, hours: int, minutes: int, seconds: int, **mode: int) -> None:
    """Stop updates, set mode and time (as raw bytes), and let the clock run: the first update half a second later."""
    k.rtc.B.write(SET=1, **mode)
    k.rtc.A.write(DV=6)  # divider reset
    for register, value in (
        (k.rtc.SECONDS, seconds),
        (k.rtc.MINUTES, minutes),
        (k.rtc.HOURS, hours),
        (k.rtc.DAY_OF_WEEK, 1),
        (k.rtc.DATE_OF_MONTH, 2),
        (k.rtc.MONTH, 3),
        (k.rtc.YEAR, 4),
        (k.rtc.CENTURY, 20 if mode.get("DM") else 0x20),  # in the data mode too, or the year is far away
    ):
        register.write(value)
    k.rtc.B.write(**mode)
    k.rtc.A.write(DV=2)


def await_update(k: Kernel) -> None:
    """Until UF is set: the time has just been counted up. Polls at the end of the half second."""
    k.rtc.C.read()
    k.delay(us=460_000)
    k.asm("""
        mov ecx, 0x2000000
    .Lpoll:
        mov al, 0x0C
        out 0x70, al
        in al, 0x71
        test al, 0x10
        jnz .Lupdated
        dec ecx
        jnz .Lpoll
    .Lupdated:
    """)


@probe.each(
    case=[
        "24h BCD 23:59:59 00:00:00",
        "24h BCD 09:59:59 10:00:00",
        "24h binary 0d:3b:3b 0e:00:00",
        "24h binary 17:3b:3b 00:00:00",
        "12h BCD 11:59:59 92:00:00",
        "12h BCD 92:59:59 81:00:00",
        "12h BCD 91:59:59 12:00:00",
        "12h binary 8b:3b:3b 0c:00:00",
    ]
)
@probe(spec=DATA, covers=["timers.rtc-bcd-binary", "timers.rtc-12-24"], watchdog_s=30)
def time_counts_in_its_data_mode(k: Kernel, case: str) -> ProbeBody:
    """The update carries from seconds to hours in BCD and binary, 24 and 12 hours (bit 7 of the hours is PM)."""
    hours, mode, before, after = case.split()
    first = [int(byte, 16) for byte in before.split(":")]
    k.trigger(set_time, k, *first, HOURS_24=int(hours == "24h"), DM=int(mode == "binary"))
    await_update(k)
    read = [register.read() for register in (k.rtc.HOURS, k.rtc.MINUTES, k.rtc.SECONDS)]

    run = yield

    assert ":".join(f"{run[value]:02x}" for value in read) == after


@probe(spec=f"{UPDATE}; Register A: UIP", covers=["timers.rtc-update-ended", "timers.rtc-uip"], watchdog_s=30)
def an_update_ends_once_a_second(k: Kernel) -> ProbeBody:
    """With UIE set the end of each update cycle interrupts: UF and IRQF are set, the seconds are one more, UIP is 0."""
    with k.handler(VECTOR):
        status = k.rtc.A.read("status")
        flags = k.rtc.C.read("flags")
        seconds = k.rtc.SECONDS.read("seconds")
    k.ioapic.redirect(pin=PIN, vector=VECTOR)
    set_time(k, 0x12, 0x34, 0x10, **B_24_BCD)
    k.rtc.C.read("before")
    k.sti()
    k.trigger(k.rtc.B.write, UIE=1, **B_24_BCD)
    k.wait_for(VECTOR, 3, halt=True)
    k.cli()

    run = yield

    assert run.vectors == [VECTOR] * 3
    assert run[flags] & 0xD0 == RegisterC.of(UF=1, IRQF=1)
    assert run[status] & 0x80 == 0, "UIP is still 1 after the update"
    assert run[seconds] == 0x13
    times = [interrupt.tsc * 1e6 / run.tsc_khz for interrupt in run.interrupts]
    if k.deterministic:
        assert abs(times[1] - times[0] - 1e9) <= 2000
        assert abs(times[2] - times[1] - 1e9) <= 2000


@probe(spec="MC146818, Divider Control", covers=["timers.rtc-divider"], watchdog_s=30)
def first_update_comes_half_a_second_after_divider_reset(k: Kernel) -> ProbeBody:
    """When the divider's reset is removed, the first update comes half a second later."""
    k.trigger(set_time, k, 0x12, 0x34, 0x10, **B_24_BCD)
    start = k.read_tsc("start")
    await_update(k)
    end = k.read_tsc("end")

    run = yield

    passed = (run[end] - run[start]) * 1e6 / run.tsc_khz
    assert passed >= 0.45e9
    assert passed <= k.by_clock(0.502e9), f"{passed / 1e9:.4f} s"


@probe(spec="MC146818, Register A: UIP", covers=["timers.rtc-uip"], watchdog_s=30)
def uip_warns_before_the_update(k: Kernel) -> ProbeBody:
    """UIP goes to 1 at least 244 µs before the update and back to 0 with it: while it reads 0, the time is stable."""
    rise, fall = k.values("rise", "fall")
    k.trigger(set_time, k, 0x12, 0x34, 0x10, **B_24_BCD)
    k.delay(us=490_000)
    for value, jump in ((rise, "jnz"), (fall, "jz")):
        k.asm(f"""
            mov ecx, 0x2000000
            mov al, 0x0A
            out 0x70, al
        .Lpoll:
            in al, 0x71
            test al, 0x80
            {jump} .Lseen
            dec ecx
            jnz .Lpoll
        .Lseen:
            rdtsc
            shl rdx, 32
            or rax, rdx
            mov qword ptr [{value.name}], rax
        """)
    seconds = k.rtc.SECONDS.read()

    run = yield

    held = (run[fall] - run[rise]) * 1e6 / run.tsc_khz
    assert 0x11 <= run[seconds] <= k.by_clock(0x11)  # a busy host sees a later update
    assert held >= k.by_clock(240_000, 0)
    assert held <= k.by_clock(244_000 + 1_984_000), "UIP lasts at most 244 µs and an update cycle of 1984 µs"


@probe(spec="MC146818, Register B: SET", covers=["timers.rtc-set"], watchdog_s=30)
def set_stops_updates(k: Kernel) -> ProbeBody:
    """While SET is 1 the time does not change; when SET is cleared, it advances again."""
    set_time(k, 0x12, 0x34, 0x10, **B_24_BCD)
    k.rtc.B.write(SET=1, **B_24_BCD)
    k.delay(us=2_100_000)
    held = k.rtc.SECONDS.read("held")
    k.trigger(k.rtc.B.write, **B_24_BCD)
    k.delay(us=1_100_000)
    gone_on = k.rtc.SECONDS.read("gone_on")

    run = yield

    assert run[held] == 0x10
    assert run[gone_on] in (0x11, 0x12)


@probe.each(wild=["exact", "seconds", "minutes"])
@probe(spec=ALARM, covers=["timers.rtc-alarm", "timers.rtc-alarm-wildcard"], watchdog_s=40)
def alarm_matches_the_time(k: Kernel, wild: str) -> ProbeBody:
    """AF is set in the second that equals all three alarm bytes; a byte from C0h to FFh matches every value."""
    seconds_alarm = RTC_ALARM_WILDCARD if wild == "seconds" else 0x01
    minutes_alarm = 0xFF if wild != "exact" else 0x35
    with k.handler(VECTOR):
        seen = k.rtc.SECONDS.read("seen")
        k.rtc.C.read("flags")
    k.ioapic.redirect(pin=PIN, vector=VECTOR)
    set_time(k, 0x12, 0x34, 0x59, **B_24_BCD)
    k.rtc.HOURS_ALARM.write(0xC0 if wild == "minutes" else 0x12)
    k.rtc.MINUTES_ALARM.write(minutes_alarm)
    k.rtc.SECONDS_ALARM.write(seconds_alarm)
    k.rtc.C.read("before")
    k.sti()
    k.trigger(k.rtc.B.write, AIE=1, **B_24_BCD)
    count = 3 if wild == "seconds" else 1
    k.wait_for(VECTOR, count, halt=True)
    if count == 1:
        k.delay(us=1_200_000)
    k.cli()

    run = yield

    assert run.vectors == [VECTOR] * count
    assert run["flags"] & 0xA0 == 0xA0, "AF and IRQF"
    assert run[seen] == (0x02 if wild == "seconds" else 0x01)


@probe(spec="MC146818, Register C: reading clears all flags", covers=["timers.rtc-c-clears"], watchdog_s=30)
def reading_register_c_clears_it(k: Kernel) -> ProbeBody:
    """The flags are set without any enable; the first read of register C shows them, the second finds all clear."""
    k.trigger(set_time, k, 0x12, 0x34, 0x10, **B_24_BCD)
    k.rtc.C.read("before")
    k.delay(us=700_000)
    first = k.rtc.C.read("first")
    second = k.rtc.C.read("second")

    run = yield

    assert run[first].UF == 1
    assert run[first].IRQF == 0, "no interrupt is enabled"
    assert run[second] == 0


@probe(
    spec="MC146818, Register C: PF is set by the periodic rate whatever PIE is",
    covers=["timers.rtc-flags-masked"],
    deviation=Deviation(targets="*", kind="bug", sees="PF was never set", ref="timers-rtc-pf-needs-pie"),
)
def periodic_flag_needs_no_enable(k: Kernel) -> ProbeBody:
    """PF is set at the periodic rate though PIE is 0; IRQF is not, and nothing interrupts."""
    k.ioapic.redirect(pin=PIN, vector=VECTOR)
    k.trigger(k.rtc.A.write, DV=2, RS=3)
    k.rtc.C.read("before")
    k.sti()
    k.delay(us=1000)
    flags = k.rtc.C.read("flags")

    run = yield

    assert run.vectors == []
    assert run[flags].PF == 1, "PF was never set"
    assert run[flags].IRQF == 0


@probe(spec="MC146818, Register C: IRQF", covers=["timers.rtc-flags-masked"])
def masked_at_the_io_apic_the_flags_stay(k: Kernel) -> ProbeBody:
    """With IRQ 8 masked at the IO APIC the RTC keeps PF and IRQF until they are read."""
    k.ioapic.redirect(pin=PIN, vector=VECTOR, MASK=1)
    k.rtc.C.read("before")
    k.rtc.A.write(DV=2, RS=3)
    k.sti()
    k.trigger(k.rtc.B.update, PIE=1)
    k.delay(us=1000, real_us=200_000)
    flags = k.rtc.C.read("flags")

    run = yield

    assert run.vectors == []
    assert (run[flags].PF, run[flags].IRQF) == (1, 1)


@probe(spec="ICH9, NMI_EN—NMI Enable (and Real Time Clock Index) Register", covers=["timers.rtc-nmi-bit"])
def the_nmi_bit_is_not_part_of_the_index(k: Kernel) -> ProbeBody:
    """Port 70h bit 7 masks NMIs; the index is bits 6:0 alone, so both values of bit 7 reach the same byte."""
    values = k.values("with_0", "with_1")
    k.asm("mov al, 0x40\nout 0x70, al\nmov al, 0xA5\nout 0x71, al")  # the RAM is the battery's: no reset clears it
    k.trigger(k.asm, "mov al, 0xC0\nout 0x70, al\nmov al, 0x5A\nout 0x71, al")
    for value, index in zip(values, (0x40, 0xC0), strict=True):
        k.asm(f"mov al, {index:#x}\nout 0x70, al\nin al, 0x71\nmovzx eax, al\nmov qword ptr [{value.name}], rax")
    k.asm("mov al, 0x0D\nout 0x70, al")

    run = yield

    assert [run[value] for value in values] == [0x5A, 0x5A]
