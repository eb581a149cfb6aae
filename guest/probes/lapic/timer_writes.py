"""Writes to the APIC timer that are easily misread: its divider in mid-count, a mode that the processor lacks."""

from harness import Deviation, DivideValue, Kernel, ProbeBody, probe

VECTOR = 0x6B
START = 4_000_000


@probe.each(before=[1, 8], after=[2, 64])
@probe(
    spec="SDM vol. 3A, APIC Timer: Divide Configuration Register; Current Count Register",
    covers=["lapic.timer-divide-while-counting"],
    deviation=Deviation(
        targets="*-tcg*",
        versions="*",
        kind="bug",
        sees="the count jumped with the divider",
        ref="docs/deviations/lapic-divider-count.md",
    ),
)
def a_new_divider_changes_the_rate_and_not_the_count(k: Kernel, before: int, after: int) -> ProbeBody:
    """A write of the divide configuration register in mid-count leaves the current count, which goes on at its rate."""
    k.lapic.INITIAL_COUNT.write(0)
    k.lapic.DIVIDE_CONFIGURATION.write(DIVIDE_VALUE=DivideValue.by(before))
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
    k.lapic.INITIAL_COUNT.write(START)
    k.delay(us=1000)
    left = k.lapic.CURRENT_COUNT.read("left")
    k.trigger(k.lapic.DIVIDE_CONFIGURATION.write, DIVIDE_VALUE=DivideValue.by(after))
    right = k.lapic.CURRENT_COUNT.read("right")
    k.delay(us=1000)
    later = k.lapic.CURRENT_COUNT.read("later")

    run = yield

    first, slope = START - int(run[left]), int(run[right]) - int(run[later])
    assert first > 0, "the timer did not count"
    assert 0 <= int(run[left]) - int(run[right]) <= first // 10, "the count jumped with the divider"
    if k.deterministic:
        assert abs(slope * after - first * before) <= first * before // 20, "the rate is not that of the new divider"


@probe(
    spec="SDM vol. 3A, APIC Timer: TSC-Deadline Mode (bit 18 is reserved without it); Local Vector Table",
    covers=["lapic.timer-mode-reserved"],
    deviation=Deviation(
        targets="*-tcg*",
        versions="*",
        kind="bug",
        sees=r"assert 327787 == ",
        ref="docs/deviations/lapic-lvt-reserved.md",
    ),
)
def deadline_mode_is_reserved_where_cpuid_lacks_it(k: Kernel) -> ProbeBody:
    """Where CPUID.01H:ECX.TSC_Deadline is 0, bit 18 of the LVT timer register is reserved and reads 0."""
    has_deadline = k.value("has_deadline")
    k.asm("""
        mov r8, rbx
        mov eax, 1
        cpuid
        mov rbx, r8
        shr ecx, 24
        and ecx, 1
        mov qword ptr [has_deadline], rcx
    """)
    k.lapic.INITIAL_COUNT.write(0)
    k.trigger(k.lapic.LVT_TIMER.write, 0x5_0000 | VECTOR)
    kept = k.lapic.LVT_TIMER.read("kept")
    k.lapic.LVT_TIMER.write(0x1_0000)

    run = yield

    if run[has_deadline]:
        run.unsupported("this processor has TSC-deadline mode: bit 18 is not reserved")
    assert int(run[kept]) == 0x1_0000 | VECTOR
