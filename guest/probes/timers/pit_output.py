"""The OUT pin of the 8254 in its six modes, seen at channel 2: gate and output are bits of port 61h."""

from itertools import pairwise

from harness import PIT_FREQUENCY_HZ, Deviation, Kernel, ProbeBody, Run, Value, probe

NS_PER_CLK = 1e9 / PIT_FREQUENCY_HZ
COUNT = 5000  # 4.19 ms

MODE_1 = "8254, Mode 1: Hardware Retriggerable One-Shot"
MODE_2 = "8254, Mode 2: Rate Generator"
MODE_3 = "8254, Mode 3: Square Wave Mode"
MODE_4 = "8254, Mode 4: Software Triggered Strobe"
MODE_5 = "8254, Mode 5: Hardware Triggered Strobe (Retriggerable)"
GATE = "8254, Gate Pin Operations Summary"


def one_shot(k: Kernel) -> int:
    """A count that is not over before the guest reads OUT: in real time a busy host may take some milliseconds."""
    return k.by_clock(COUNT, 12 * COUNT)


def least(k: Kernel, count: int) -> float:
    """The fewest clocks that may be measured: in real time the rate of the time-stamp counter is a measurement too."""
    return k.by_clock(count, 0.95 * count)


def clocks(run: Run, before: Value[int], after: Value[int]) -> float:
    """Clocks of the 8254 between two readings of the time-stamp counter."""
    return (run[after] - run[before]) * 1e6 / run.tsc_khz / NS_PER_CLK


@probe.each(mode=[0, 1, 2, 3, 4, 5])
@probe(
    spec="8254, Mode Definitions",
    covers=["timers.pit-out-initial"],
    deviation=[
        Deviation(
            targets="*", cases="mode[245]", kind="bug", sees="OUT is initially high", ref="timers-pit-out-inverted"
        ),
        Deviation(
            targets="*",
            cases="mode1",
            versions=">=8.2",
            kind="bug",
            sees="OUT is initially high",
            ref="timers-pit-mode-1",
        ),
    ],
)
def control_word_sets_out(k: Kernel, mode: int) -> ProbeBody:
    """The control word sets OUT to its initial level: low in mode 0, high in all others."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0 if mode else 3, count=0xFFFF)
    other = k.pit.speaker.out("other")
    with k.trigger():
        k.pit.CONTROL_WORD.write(SC=2, RW=3, M=mode)
        if mode in (1, 5):
            k.pit.load(channel=2, count=one_shot(k))  # waits for a trigger all the same
        elif mode:
            k.pit.load(channel=2, count=0xFFFF)
    out = k.pit.speaker.out("out")

    run = yield

    assert run[other] == int(mode == 0), "OUT was at that level before"
    assert run[out] == int(mode != 0), "OUT is initially high in modes 1 to 5, low in mode 0"


@probe(spec="8254, Mode 0: Interrupt on Terminal Count", covers=["timers.pit-ch2-mode0"])
def mode_0_rises_at_terminal_count(k: Kernel) -> ProbeBody:
    """In mode 0 OUT is low for N + 1 clocks after the count was written, then high for good."""
    k.pit.speaker.gate(1)
    k.pit.CONTROL_WORD.write(SC=2, RW=3, M=0)
    k.pit.COUNTER[2].write(COUNT & 0xFF)
    before = k.read_tsc("before")
    k.trigger(k.pit.COUNTER[2].write, COUNT >> 8)
    after = k.read_tsc("after")
    low = k.pit.speaker.out("low")
    risen = k.pit.speaker.wait_out(1, "risen")
    k.delay(us=60_000)  # past a wrap of the counter
    late = k.pit.speaker.out("late")

    run = yield

    assert run[low] == 0
    assert clocks(run, before, risen) >= least(k, COUNT)
    assert clocks(run, after, risen) <= k.by_clock(COUNT + 2)
    assert run[late] == 1


@probe(
    spec=MODE_1,
    covers=["timers.pit-ch2-mode1", "timers.pit-gate-trigger"],
    deviation=Deviation(
        targets="*",
        versions="<8.2",
        kind="bug",
        sees=["OUT fell without a trigger", r"assert \d+\.\d+ <= 3", "'risen' was never written"],
        ref="timers-pit-mode-1",
    ),
)
def mode_1_waits_for_its_trigger(k: Kernel) -> ProbeBody:
    """In mode 1 OUT stays high until the gate rises, is low for N clocks from there, and high again."""
    count = one_shot(k)
    k.pit.speaker.gate(0)
    k.pit.program(channel=2, mode=1, count=count)
    k.delay(us=6000, real_us=60_000)
    idle = k.pit.speaker.low_samples("idle", 1000)
    before = k.read_tsc("before")
    k.trigger(k.pit.speaker.gate, 1)
    fallen = k.pit.speaker.wait_out(0, "fallen")
    risen = k.pit.speaker.wait_out(1, "risen")

    run = yield

    assert run[idle] == 0, "OUT fell without a trigger"
    assert clocks(run, before, fallen) <= k.by_clock(3)
    assert abs(clocks(run, fallen, risen) - count) <= k.by_clock(2)
    assert clocks(run, before, risen) >= least(k, count)


@probe(
    spec=MODE_1,
    covers=["timers.pit-gate-trigger"],
    deviation=Deviation(targets="*", versions="<8.2", kind="bug", sees="OUT was high", ref="timers-pit-mode-1"),
)
def mode_1_trigger_starts_again(k: Kernel) -> ProbeBody:
    """A rising gate in the middle of a one-shot starts it anew: OUT rises N clocks after the last trigger."""
    count = one_shot(k)
    k.pit.speaker.gate(0)
    k.pit.program(channel=2, mode=1, count=count)
    k.pit.speaker.trigger()
    k.delay(us=2000)
    before = k.read_tsc("before")
    k.trigger(k.pit.speaker.trigger)
    risen = k.pit.speaker.wait_out(1, "risen")

    run = yield

    after = clocks(run, before, risen)
    assert after >= least(k, count), f"OUT was high {after:.1f} clocks after the trigger"
    assert after <= k.by_clock(count + 3)


@probe(
    spec=MODE_2,
    covers=["timers.pit-ch2-mode2"],
    deviation=Deviation(targets="*", kind="bug", sees="OUT was low", ref="timers-pit-out-inverted"),
)
def mode_2_is_low_for_one_clock(k: Kernel) -> ProbeBody:
    """In mode 2 OUT is high but for one clock of each N."""
    k.pit.speaker.gate(1)
    with k.trigger():
        k.pit.program(channel=2, mode=0, count=0xFFFF)  # a level that mode 2 must change
        k.pit.program(channel=2, mode=2, count=50_000)
    low = k.pit.speaker.low_samples("low", 10_000)

    run = yield

    assert run[low] <= 200, f"OUT was low in {run[low]} of 10000 readings"


@probe.each(count=[COUNT, COUNT + 1])
@probe(spec=MODE_3, covers=["timers.pit-ch2-mode3"])
def mode_3_halves(k: Kernel, count: int) -> ProbeBody:
    """In mode 3 OUT is high for N/2 clocks and low for N/2; if N is odd, (N + 1)/2 and (N − 1)/2."""
    k.pit.speaker.gate(1)
    k.trigger(k.pit.program, channel=2, mode=3, count=count)
    edges = [k.read_tsc("start")]
    for number, name in enumerate(("fall_1", "rise_1", "fall_2", "rise_2")):
        edges.append(k.pit.speaker.wait_out(number & 1, name))

    run = yield

    high, low = (count + 1) // 2, count // 2
    assert clocks(run, edges[0], edges[4]) >= least(k, 2 * count) - 2
    if k.deterministic:
        spans = [clocks(run, first, second) for first, second in pairwise(edges)]
        assert all(abs(span - want) <= 1.2 for span, want in zip(spans, (high, low, high, low), strict=True)), spans


@probe(
    spec=MODE_4,
    covers=["timers.pit-ch2-mode4"],
    deviation=Deviation(targets="*", kind="bug", sees="OUT was low", ref="timers-pit-out-inverted"),
)
def mode_4_strobes_once(k: Kernel) -> ProbeBody:
    """In mode 4 OUT is high, low for one clock when the count is over, and high for good."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0, count=0xFFFF)
    k.trigger(k.pit.program, channel=2, mode=4, count=COUNT)
    low = k.pit.speaker.low_samples("low", 1000)
    k.delay(us=5000)
    later = k.pit.speaker.low_samples("later", 1000)

    run = yield

    assert run[low] <= 50, f"OUT was low in {run[low]} of 1000 readings while the count ran"
    assert run[later] == 0, f"OUT was low in {run[later]} of 1000 readings after the strobe"


@probe(
    spec=MODE_5,
    covers=["timers.pit-ch2-mode5", "timers.pit-gate-trigger"],
    deviation=Deviation(
        targets="*",
        kind="bug",
        sees=["OUT was low", r"assert \d{1,3}\.\d+ >= (5000|4750)\b"],
        ref="timers-pit-out-inverted",
    ),
)
def mode_5_strobes_after_its_trigger(k: Kernel) -> ProbeBody:
    """In mode 5 OUT is high, waits for the gate to rise, and is low for one clock N + 1 clocks after that."""
    k.pit.speaker.gate(0)
    k.pit.program(channel=2, mode=5, count=COUNT)
    low = k.pit.speaker.low_samples("low", 1000)
    before = k.read_tsc("before")
    k.trigger(k.pit.speaker.gate, 1)
    fallen = k.pit.speaker.wait_out(0, "fallen")

    run = yield

    assert run[low] == 0, f"OUT was low in {run[low]} of 1000 readings before the trigger"
    assert clocks(run, before, fallen) >= least(k, COUNT)
    assert clocks(run, before, fallen) <= k.by_clock(COUNT + 3)


@probe.each(mode=[0, 2, 3, 4])
@probe(
    spec=GATE,
    covers=["timers.pit-gate-level"],
    deviation=Deviation(targets="*", kind="unimplemented", sees="the count moved", ref="timers-pit-gate-ignored"),
)
def low_gate_stops_the_count(k: Kernel, mode: int) -> ProbeBody:
    """In modes 0, 2, 3 and 4 a low gate disables counting."""
    counts = []
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=mode, count=0xF000)
    for name in ("moving_1", "moving_2", "held_1", "held_2"):
        if name == "held_1":
            k.trigger(k.pit.speaker.gate, 0)
            k.delay(us=10)
        counts.append(k.pit.latch_count(2, name))
        k.delay(us=1000)

    run = yield

    moving_1, moving_2, held_1, held_2 = (run[count] for count in counts)
    assert moving_1 != moving_2, "the counter never counted"
    assert held_1 == held_2, f"the count moved from {held_1:#x} to {held_2:#x} while the gate was low"
