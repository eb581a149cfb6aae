"""The APIC timer's divider, written in mid-count."""

from harness import Deviation, DivideValue, Kernel, ProbeBody, probe

VECTOR = 0x6B
START = 4_000_000


@probe.each(before=[1, 8], after=[2, 64])
@probe(
    spec="SDM vol. 3A, APIC Timer: Divide Configuration Register; Current Count Register",
    covers=["lapic.timer-divide-while-counting"],
    deviation=Deviation(
        targets="*-tcg*", kind="bug", sees="the count jumped with the divider", ref="lapic-divider-count"
    ),
)
def a_new_divider_changes_the_rate_and_not_the_count(k: Kernel, before: int, after: int) -> ProbeBody:
    """A write to the divide configuration in mid-count leaves the current count; it continues at the new rate."""
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
