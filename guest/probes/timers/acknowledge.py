"""Several causes of the HPET and the RTC at once: which read or write takes which of them away."""

from harness import Deviation, Kernel, ProbeBody, RegisterC, probe, wait_register

VECTOR = 0x5D
HPET = "IA-PC HPET 1.0a, General Interrupt Status Register"


@probe.each(first=[0, 1, 2])
@probe(spec=HPET, needs=["hpet"], covers=["timers.hpet-acknowledge"])
def a_status_bit_is_cleared_alone(k: Kernel, first: int) -> ProbeBody:
    """Writing 1 to the status bit of one level-triggered timer leaves those of the others."""
    k.cli()
    k.hpet.CONFIG.write(ENABLE=0)
    k.hpet.MAIN_COUNTER.write(0)
    for timer in range(3):
        k.hpet.TIMER[timer].CONFIG.write(ROUTE=k.hpet.pin, INT_TYPE=1, INT_ENABLE=1, MODE_32=1)
        k.hpet.TIMER[timer].COMPARATOR.write(1000 + 100 * timer)
    k.hpet.CONFIG.write(ENABLE=1)
    wait_register(k, k.hpet.INTERRUPT_STATUS, STATUS=0b111)
    raised = k.hpet.INTERRUPT_STATUS.read("raised")
    k.hpet.INTERRUPT_STATUS.write(0)
    kept = k.hpet.INTERRUPT_STATUS.read("kept")
    k.trigger(k.hpet.INTERRUPT_STATUS.write, 1 << first)
    left = k.hpet.INTERRUPT_STATUS.read("left")
    k.hpet.INTERRUPT_STATUS.write(0b111 & ~(1 << first))
    none = k.hpet.INTERRUPT_STATUS.read("none")

    run = yield

    assert [int(run[value]) for value in (raised, kept, left, none)] == [0b111, 0b111, 0b111 & ~(1 << first), 0]


@probe.each(first=[0, 1])
@probe(
    spec=HPET,
    needs=["hpet"],
    covers=["timers.hpet-shared-line"],
    deviation=Deviation(
        targets="*", versions="*", kind="bug", sees=r"\[0x5d\] == \[0x5d, 0x5d\]", ref="timers-hpet-shared-line"
    ),
)
def timers_share_a_level_triggered_line(k: Kernel, first: int) -> ProbeBody:
    """Two level-triggered timers on one input keep it asserted until both status bits are clear."""
    seen = k.value("seen")
    k.cli()
    k.hpet.CONFIG.write(ENABLE=0)
    k.hpet.MAIN_COUNTER.write(0)
    for timer in (0, 1):
        k.hpet.TIMER[timer].CONFIG.write(ROUTE=k.hpet.pin, INT_TYPE=1, INT_ENABLE=1, MODE_32=1)
        k.hpet.TIMER[timer].COMPARATOR.write(1000 + 100 * timer)
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR, TRIGGER_MODE=1)
    with k.handler(VECTOR):
        k.asm(f"cmp dword ptr [COUNTS+4*{VECTOR}], 2\njae second")
        k.hpet.INTERRUPT_STATUS.write(1 << first)
        k.store(seen, k.hpet.INTERRUPT_STATUS)
        k.asm("jmp served\nsecond:")
        k.hpet.INTERRUPT_STATUS.write(0b11)
        k.asm("served:")
    k.hpet.CONFIG.write(ENABLE=1)
    wait_register(k, k.hpet.INTERRUPT_STATUS, STATUS=0b11)
    k.trigger(k.sti)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run[seen] == 0b11 & ~(1 << first)
    assert run.vectors == [VECTOR] * 2


@probe(spec="MC146818, Register C", covers=["timers.rtc-reads-leave-flags"])
def only_a_read_of_register_c_clears_its_flags(k: Kernel) -> ProbeBody:
    """Reads of registers A, B and D and of time bytes, and a write of C, leave the flags of register C."""
    k.cli()
    k.rtc.A.write(RS=6, DV=2)
    k.rtc.B.write(HOURS_24=1, PIE=1)  # input 8 is masked
    k.rtc.C.read("old")
    k.delay(us=5000, real_us=100_000)
    with k.trigger():
        k.rtc.A.read("a")
        k.rtc.B.read("b")
        valid = k.rtc.D.read("d")
        k.rtc.SECONDS.read("seconds")
        k.asm("mov al, 0x0C\nout 0x70, al\nmov al, 0xFF\nout 0x71, al")
        k.asm("mov al, 0x0C\nout 0x70, al\nmov al, 0\nout 0x71, al")
    flags = k.rtc.C.read("flags")

    run = yield

    assert run[flags] == RegisterC.of(IRQF=1, PF=1)
    assert run[valid].VRT == 1


@probe(spec="MC146818, Address Map; Intel I/O Controller Hub 9 datasheet, RTC_REGS", covers=["timers.rtc-index"])
def the_index_stays_selected(k: Kernel) -> ProbeBody:
    """Port 70h keeps its index: every read and write of port 71h reaches that byte until another one is selected."""
    values = [k.value(name) for name in ("first", "second", "written", "again")]
    k.asm("""
        mov al, 0x0F
        out 0x70, al
        mov al, 0x06
        out 0x71, al
    """)
    with k.trigger():
        k.asm("""
            in al, 0x71
            movzx eax, al
            mov [first], rax
            in al, 0x71
            movzx eax, al
            mov [second], rax
            mov al, 0x02
            out 0x71, al
            in al, 0x71
            movzx eax, al
            mov [written], rax
            in al, 0x71
            movzx eax, al
            mov [again], rax
        """)

    run = yield

    assert [run[value] for value in values] == [6, 6, 2, 2]
