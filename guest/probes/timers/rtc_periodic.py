"""RTC periodic interrupt: IRQ 8, IO APIC pin 8."""

from itertools import pairwise

from harness import Deviation, Kernel, ProbeBody, RegisterC, probe, rtc_rate_select

VECTOR = 0x48
PIN = 8
CLOCK = int(RegisterC.of(UF=1, AF=1))  # set as the clock runs, whether or not they may interrupt
PERIODIC = "MC146818, Periodic Interrupt Selection"


@probe.each(hertz=[2, 64, 1024, 8192])
@probe(spec=PERIODIC, covers=["timers.rtc-periodic"], watchdog_s=30)
def periodic_rate_is_that_of_its_select_bits(k: Kernel, hertz: int) -> ProbeBody:
    """RS chooses the periodic rate, 2 Hz to 8192 Hz; each interrupt shows PF and IRQF, and nothing else."""
    others = k.value("others", 0)
    with k.handler(VECTOR):
        flags = k.rtc.C.read("flags")
        k.asm(f"mov rax, qword ptr [flags]\nand eax, {0x7F & ~CLOCK:#x}\nxor eax, {1 << 6}\nor qword ptr [others], rax")
    k.ioapic.redirect(pin=PIN, vector=VECTOR)
    k.rtc.A.write(DV=2, RS=rtc_rate_select(hertz))
    k.rtc.C.read("before")
    k.sti()
    k.trigger(k.rtc.B.update, PIE=1)
    count = 3 if hertz == 2 else 9
    k.wait_for(VECTOR, count, ms=2000 if hertz == 2 else 1000)
    k.cli()
    k.rtc.B.update(PIE=0)

    run = yield

    assert set(run.vectors) == {VECTOR}
    # In real time another edge may come before the handler has read the flags of the first, and find them read.
    late = not k.deterministic and run[others] == 1 << 6
    assert RegisterC(run[flags] & ~CLOCK) == RegisterC.of(PF=1, IRQF=1) or (late and run[flags] & ~CLOCK == 0)
    assert run[others] == 0 or late
    times = [interrupt.tsc * 1e6 / run.tsc_khz for interrupt in run.interrupts[:count]]
    period = 1e9 / hertz
    if k.deterministic:
        gaps = [after - before for before, after in pairwise(times)]
        assert all(abs(gap - period) <= 200 for gap in gaps), f"gaps in ns: {gaps}"


@probe(
    spec="MC146818, Register C",
    covers=["timers.rtc-c-rearms"],
    deviation=Deviation(
        targets="*-tcg *-tcg-rt",
        kind="bug",
        sees=r"\[(0x48( × \d+)?, )+'read C'(, 0x48( × \d+)?)+\] ==",
        ref="ioapic-repeated-edge",
    ),
)
def an_unread_register_c_holds_the_interrupt(k: Kernel) -> ProbeBody:
    """IRQ stays asserted until register C is read: no second edge before, the next period interrupts after."""
    k.ioapic.redirect(pin=PIN, vector=VECTOR)
    k.rtc.A.write(DV=2, RS=rtc_rate_select(8192))
    k.rtc.C.read("before")
    k.sti()
    k.rtc.B.update(PIE=1)
    k.wait_for(VECTOR, quiet_ms=2)
    k.mark("read C")
    flags = k.trigger(k.rtc.C.read, "flags")
    k.wait_for(VECTOR, 2, quiet_ms=2)
    k.rtc.B.update(PIE=0)

    run = yield

    assert run[flags] & 0xC0 == 0xC0
    assert run.sequence == [VECTOR, "read C", VECTOR]
