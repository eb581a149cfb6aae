"""HPET: capabilities, the main counter, and comparators at their limits."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x43
COUNTER = "IA-PC HPET 1.0a, Main Counter Value Register"
COMPARE = "IA-PC HPET 1.0a, Timer n Comparator Value Register"
# Pin 2 is the only one on pc.
PIN_2 = Deviation(targets="pc-kvm", kind="bug", sees="waited for vector", ref="timers-hpet-kvm-pin-2")


def one_shot(k: Kernel, at: int, *, start: int = 0, timer: int = 0, **fields: int) -> None:
    """A comparator ready to match at `at` once the counter, halted at `start`, is enabled."""
    k.pit.silence()
    k.ioapic.redirect(pin=k.hpet.pin, vector=VECTOR)
    k.hpet.arm(at, timer=timer, start=start, **fields)
    k.sti()


@probe(
    spec="IA-PC HPET 1.0a, General Capabilities and ID Register", needs=["hpet"], covers=["timers.hpet-capabilities"]
)
def capabilities_are_sane(k: Kernel) -> ProbeBody:
    """The period is at most 100 ns and not 0, revision and vendor are set, and at least 3 timers exist."""
    capabilities = k.trigger(k.hpet.CAPABILITIES.read)
    last = k.hpet.TIMER[2].CONFIG.read()

    run = yield

    caps = run[capabilities]
    assert 0 < caps.COUNTER_CLK_PERIOD <= 0x05F5_E100
    assert caps.REV_ID != 0
    assert caps.VENDOR_ID not in (0, 0xFFFF)
    assert caps.NUM_TIM_CAP >= 2
    assert run[last].ROUTE_CAP != 0


@probe(spec=COUNTER, needs=["hpet"], covers=["timers.hpet-halt"])
def disabling_halts_the_counter(k: Kernel) -> ProbeBody:
    """ENABLE_CNF = 0 halts the main counter at its value, where it can be written; 1 lets it count again."""
    names = ("written", "running", "halted", "still", "resumed")
    written, running, halted, still, resumed = (k.value(name) for name in names)
    k.hpet.stop(0x1_2345_6789)
    k.store(written, k.hpet.MAIN_COUNTER)
    k.hpet.CONFIG.write(ENABLE=1)
    k.delay(us=100)
    k.store(running, k.hpet.MAIN_COUNTER)
    k.trigger(k.hpet.CONFIG.write, ENABLE=0)
    k.store(halted, k.hpet.MAIN_COUNTER)
    k.delay(us=100)
    k.store(still, k.hpet.MAIN_COUNTER)
    k.hpet.CONFIG.write(ENABLE=1)
    k.store(resumed, k.hpet.MAIN_COUNTER)

    run = yield

    assert run[written] == 0x1_2345_6789
    assert run[running] > run[written]
    assert run[halted] >= run[running]
    assert run[still] == run[halted], "the counter counted while it was disabled"
    assert run[resumed] >= run[halted]
    assert run[resumed] - run[halted] < k.by_clock(100)


@probe(spec=COUNTER, needs=["hpet"], covers=["timers.hpet-rate"])
def counter_keeps_its_period(k: Kernel) -> ProbeBody:
    """The main counter counts once every COUNTER_CLK_PERIOD femtoseconds."""
    capabilities = k.hpet.CAPABILITIES.read()
    k.hpet.MAIN_COUNTER.write(0)
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    t0, c0 = k.read_tsc("t0"), k.hpet.MAIN_COUNTER.read("c0")
    k.delay(us=5000)
    t1, c1 = k.read_tsc("t1"), k.hpet.MAIN_COUNTER.read("c1")

    run = yield

    counted = (run[c1] - run[c0]) * run[capabilities].COUNTER_CLK_PERIOD / 1e6
    passed = (run[t1] - run[t0]) * 1e6 / run.tsc_khz
    assert abs(counted - passed) <= k.by_clock(100, passed / 4), f"{counted} ns in {passed} ns"


@probe.each(timer=[0, 1, 2])
@probe(spec=COMPARE, needs=["hpet"], covers=["timers.hpet-one-shot"], deviation=PIN_2)
def every_timer_matches_on_time(k: Kernel, timer: int) -> ProbeBody:
    """Each comparator interrupts when the main counter reaches it, not before, once."""
    seen = k.handler(VECTOR).do(k.value, "seen", k.hpet.MAIN_COUNTER)
    one_shot(k, 50_000, timer=timer)
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR, quiet_ms=2)

    run = yield

    assert run.vectors == [VECTOR]
    assert 50_000 <= run[seen] < k.by_clock(50_200, 1 << 64)


@probe(
    spec=COMPARE,
    needs=["hpet"],
    covers=["timers.hpet-past"],
    deviation=[
        PIN_2,
        Deviation(
            targets="*",
            kind="bug",
            sees=[r"assert \[0x43\] == \[\]", r"\['ahead', 0x43\] == \[0x43\]"],
            ref="timers-hpet-past",
        ),
    ],
)
def a_comparator_in_the_past_does_not_match(k: Kernel) -> ProbeBody:
    """A comparator that the main counter has passed matches only when the counter comes round to it again."""
    one_shot(k, 1000, start=100_000)
    k.hpet.CONFIG.write(ENABLE=1)
    k.stay_quiet(ms=2, real_ms=50)
    passed = k.value("passed", k.hpet.MAIN_COUNTER)
    k.mark("ahead")
    with k.trigger():
        k.hpet.stop()
        k.hpet.TIMER[0].COMPARATOR.write(2000)
        k.hpet.CONFIG.write(ENABLE=1)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run[passed] > 100_000
    sequence = run.sequence
    assert sequence[: sequence.index("ahead")] == []
    assert sequence[1:] == [VECTOR]


@probe(
    spec="IA-PC HPET 1.0a, Timer n Configuration and Capability Register: 32MODE",
    needs=["hpet"],
    covers=["timers.hpet-32-bit"],
    deviation=PIN_2,
)
def thirty_two_bit_timers_compare_low_halves(k: Kernel) -> ProbeBody:
    """With 32MODE the comparator is 32 bits wide: it matches the low half of a counter that has passed 2^32."""
    seen = k.handler(VECTOR).do(k.value, "seen", k.hpet.MAIN_COUNTER)
    one_shot(k, 30_000, start=0x7_0000_0000, MODE_32=1)
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]
    assert 30_000 <= run[seen] - 0x7_0000_0000 < k.by_clock(30_200, 1 << 32)


@probe(
    spec="IA-PC HPET 1.0a, Timer Operation in Non-Periodic Mode",
    needs=["hpet"],
    covers=["timers.hpet-wrap"],
    deviation=PIN_2,
)
def thirty_two_bit_one_shot_also_interrupts_at_the_wrap(k: Kernel) -> ProbeBody:
    """A 32-bit one-shot timer interrupts when the counter's low half wraps, too, if that comes before the match."""
    first = k.value("first", 0)
    with k.handler(VECTOR):
        last = k.value("last", k.hpet.MAIN_COUNTER)
        k.asm("cmp qword ptr [first], 0\njne .Lseen\nmov rax, qword ptr [last]\nmov qword ptr [first], rax\n.Lseen:")
    match = k.by_clock(60_000, 5_000_000)  # far enough for two interrupts of a busy host not to become one
    one_shot(k, match, start=0xFFFF_FFFF - 40_000, MODE_32=1)
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR, 2, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR, VECTOR]
    assert abs(run[first] - 0x1_0000_0000) <= k.by_clock(200)
    assert run[last] >= 0x1_0000_0000 + match
    assert run[last] <= k.by_clock(0x1_0000_0000 + match + 200)


@probe(spec=COMPARE, needs=["hpet"], covers=["timers.hpet-64-bit"], deviation=PIN_2)
def sixty_four_bit_timers_compare_all_bits(k: Kernel) -> ProbeBody:
    """Without 32MODE all 64 bits must be equal: the low half alone does not match."""
    seen = k.handler(VECTOR).do(k.value, "seen", k.hpet.MAIN_COUNTER)
    one_shot(k, 0x5_0000_0000 + 40_000, start=0x5_0000_0000 - 40_000)
    k.trigger(k.hpet.CONFIG.write, ENABLE=1)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]
    assert run[seen] >= 0x5_0000_0000 + 40_000
