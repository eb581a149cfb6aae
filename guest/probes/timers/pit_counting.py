"""Counts of the 8254 as they are written, latched and read."""

from harness import PIT_FREQUENCY_HZ, Deviation, Kernel, ProbeBody, ReadBackCommand, probe

NS_PER_CLK = 1e9 / PIT_FREQUENCY_HZ
LATCH = "8254, Counter Latch Command"
READ_BACK = "8254, Read-Back Command"
PROGRAMMING = "8254, Write Operations"


@probe(spec=LATCH, covers=["timers.pit-latch"])
def a_latched_count_waits_to_be_read(k: Kernel) -> ProbeBody:
    """The latch command holds the count until it is read, ignores a second latch before, and the counter counts on."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0, count=0xF000)
    k.trigger(k.pit.COUNTER_LATCH.write, SC=2)
    k.delay(us=2000)
    k.pit.COUNTER_LATCH.write(SC=2)  # ignored: the first is not read yet
    low, high = k.pit.COUNTER[2].read("low"), k.pit.COUNTER[2].read("high")
    now = k.pit.latch_count(2, "now")

    run = yield

    latched = run[high] << 8 | run[low]
    assert latched > 0xF000 - 1500, f"{latched:#x} was read, not the count of the first latch"
    assert latched > k.by_clock(0xEF00, -1)
    assert run[now] < latched - 2000


@probe.each(channel=[0, 2])
@probe(spec=READ_BACK, covers=["timers.pit-read-back"])
def status_repeats_the_control_word(k: Kernel, channel: int) -> ProbeBody:
    """The status byte gives access mode, mode and BCD as the control word set them."""
    words = [(rw, mode, bcd) for rw in (1, 2, 3) for mode in range(8) for bcd in (0, 1)]
    k.pit.speaker.gate(1)
    seen = []
    for rw, mode, bcd in words:
        k.trigger(k.pit.CONTROL_WORD.write, SC=channel, RW=rw, M=mode, BCD=bcd)
        k.pit.READ_BACK.write(int(ReadBackCommand.latch(channel, count=False)))
        seen.append(k.pit.STATUS[channel].read())

    run = yield

    assert [(run[s].RW, run[s].M, run[s].BCD) for s in seen] == words


@probe(spec=READ_BACK, covers=["timers.pit-read-back"])
def read_back_latches_several_at_once(k: Kernel) -> ProbeBody:
    """One read-back command latches status and count of all counters: status is read first, then the count."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=0, mode=0, count=0xE000)
    k.pit.program(channel=2, mode=0, count=0xE000)
    k.delay(us=100)
    k.trigger(k.pit.READ_BACK.write, int(ReadBackCommand.latch(0, 2)))
    k.delay(us=5000)
    values = []
    for channel in (0, 2):
        status = k.pit.STATUS[channel].read()
        values.append((status, k.pit.COUNTER[channel].read(), k.pit.COUNTER[channel].read()))

    run = yield

    counts = [run[high] << 8 | run[low] for _, low, high in values]
    assert all(run[status].RW == 3 and run[status].M == 0 for status, _, _ in values)
    assert all(k.by_clock(0xD800, -1) < count < 0xE000 for count in counts), f"counts {counts[0]:#x}, {counts[1]:#x}"
    assert abs(counts[0] - counts[1]) < 100, "they were not latched in the same moment"


@probe(
    spec="8254, Status Byte: Null Count",
    covers=["timers.pit-null-count"],
    deviation=Deviation(
        targets="*",
        kind="unimplemented",
        sees="the new count is not in the counting element",
        ref="timers-pit-null-count",
    ),
)
def null_count_says_whether_the_count_is_loaded(k: Kernel) -> ProbeBody:
    """Null count is 1 from the control word until the count is in the counting element: in mode 1 the trigger."""
    status = int(ReadBackCommand.latch(2, count=False))
    k.pit.speaker.gate(0)
    k.pit.program(channel=2, mode=1, count=5000)
    k.pit.READ_BACK.write(status)
    waiting = k.pit.STATUS[2].read("waiting")
    k.trigger(k.pit.speaker.gate, 1)
    k.delay(us=10)
    k.pit.READ_BACK.write(status)
    loaded = k.pit.STATUS[2].read("loaded")

    run = yield

    assert run[waiting].NULL_COUNT == 1, "the new count is not in the counting element before the trigger"
    assert run[loaded].NULL_COUNT == 0


@probe.each(access=["LSB", "MSB"])
@probe(spec=PROGRAMMING, covers=["timers.pit-access-modes"])
def one_byte_access_modes(k: Kernel, access: str) -> ProbeBody:
    """Access mode 1 writes and reads the low byte alone (the high one is 0), mode 2 the high byte alone."""
    rw = 1 if access == "LSB" else 2
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0, count=0xFFFF)
    with k.trigger():
        k.pit.CONTROL_WORD.write(SC=2, RW=rw, M=2)
        k.pit.COUNTER[2].write(0x80)
    k.delay(us=5)
    k.pit.COUNTER_LATCH.write(SC=2)
    first = k.pit.COUNTER[2].read("first")
    k.pit.COUNTER_LATCH.write(SC=2)
    second = k.pit.COUNTER[2].read("second")

    run = yield

    top = 0x80
    if access == "LSB":
        assert 1 <= run[first] <= top
        assert 1 <= run[second] <= top
    else:
        latest = k.by_clock(top - 1, 1)
        assert latest <= run[first] <= top
        assert latest <= run[second] <= top


@probe(
    spec="8254, Control Word Format: BCD",
    covers=["timers.pit-bcd"],
    deviation=Deviation(targets="*", kind="unimplemented", sees="is not decimal", ref="timers-pit-bcd"),
)
def bcd_counts_in_decades(k: Kernel) -> ProbeBody:
    """With BCD set the counter has four decades: each nibble that is read is a digit, and 0 means 10000."""
    counts = []
    k.pit.speaker.gate(1)
    k.trigger(k.pit.program, channel=2, mode=2, count=0, bcd=True)
    for number in range(32):
        k.delay(us=37)
        counts.append(k.pit.latch_count(2, f"count_{number}"))

    run = yield

    for count in counts:
        assert all(digit <= "9" for digit in f"{run[count]:04x}"), f"{run[count]:#06x} is not decimal"


@probe(
    spec="8254, Mode 2: Rate Generator",
    covers=["timers.pit-reload"],
    deviation=Deviation(targets="*", kind="bug", sees="the running period was cut", ref="timers-pit-reload"),
)
def a_new_count_waits_for_the_end_of_the_period(k: Kernel) -> ProbeBody:
    """In mode 2 a count written while counting does not affect the current period: it is loaded at its end."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=2, count=0xF000)
    k.delay(us=1000)
    before = k.pit.latch_count(2, "before")
    k.trigger(k.pit.load, channel=2, count=0x4000)
    k.delay(us=100)
    after = k.pit.latch_count(2, "after")
    k.delay(us=52_000)
    later = k.pit.latch_count(2, "later")

    run = yield

    slowest = k.by_clock(0xE000, 0x4000)
    assert slowest < run[before] < 0xF000
    assert run[after] > slowest, f"the running period was cut: the count was {run[after]:#x} right after"
    assert run[later] <= 0x4000, "the new count never came into effect"


@probe(spec="8254, Mode 0: Interrupt on Terminal Count", covers=["timers.pit-reload", "timers.pit-wrap"])
def mode_0_takes_a_new_count_at_once(k: Kernel) -> ProbeBody:
    """In mode 0 a new count is loaded with the next clock; after terminal count the counter wraps and counts on."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0, count=0xF000)
    k.trigger(k.pit.load, channel=2, count=2000)
    reloaded = k.pit.latch_count(2, "reloaded")
    k.delay(us=3000)
    wrapped = k.pit.latch_count(2, "wrapped")

    run = yield

    assert k.by_clock(1900, -1) < run[reloaded] <= 2000
    assert run[wrapped] > k.by_clock(0x8000, 2000), "the counter stopped at its terminal count"


@probe(spec="8254, Mode 3: Square Wave Mode", covers=["timers.pit-mode3-by-two"])
def mode_3_counts_by_two(k: Kernel) -> ProbeBody:
    """In mode 3 an even count is decremented by two: only even counts are read, and twice as fast."""
    counts = [k.value(f"count_{number}") for number in range(16)]
    first, last = k.values("first", "last")
    k.pit.speaker.gate(1)
    k.trigger(k.pit.program, channel=2, mode=3, count=0xF000)
    for number, count in enumerate(counts):
        k.pit.latch_count(2, count)
        k.read_tsc(last if number else first)
        k.delay(us=17)

    run = yield

    assert all(run[count] % 2 == 0 for count in counts), [hex(run[count]) for count in counts]
    clocks = (run[last] - run[first]) * 1e6 / run.tsc_khz / NS_PER_CLK
    fallen = run[counts[0]] - run[counts[-1]]
    assert abs(fallen - 2 * clocks) <= k.by_clock(8), f"{fallen} counts in {clocks:.0f} clocks"
