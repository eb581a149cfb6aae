"""Which byte of a two-byte count the next access to a counter of the 8254 reaches.

The counter counts on meanwhile, by one every 838 ns. The two bytes are so far apart that each is known by its value:
the low one in virtual time only, the high one also where a busy host lets the guest wait.
"""

from harness import Kernel, ProbeBody, ReadBackCommand, probe

READ = "8254, Read Operations"
CONTROL = "8254, Programming the 8254"
LOW, HIGH = 0x70, 0xF0
NEW_LOW, NEW_HIGH = 0x58, 0xD0


def begin(k: Kernel) -> None:
    """Counter 2 in mode 0, both bytes, HIGH:LOW in it."""
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0, count=HIGH << 8 | LOW)
    k.delay(us=5)


def high(byte: int, top: int = HIGH) -> bool:
    """Whether it is the high byte of a count that began with `top`, at most 9 ms ago."""
    return top - 0x28 <= byte <= top


def low(k: Kernel, byte: int, top: int = LOW) -> bool:
    """Whether it is the low byte of a count that began with `top` some microseconds ago."""
    return top - 0x58 <= byte <= k.by_clock(top)


@probe.each(reads=[1, 3])
@probe(spec=CONTROL, covers=["timers.pit-byte-order"])
def a_control_word_returns_to_the_low_byte(k: Kernel, reads: int) -> ProbeBody:
    """After an odd number of reads a control word makes the low byte the next one, for reads and for writes."""
    begin(k)
    before = [k.pit.COUNTER[2].read(f"before{number}") for number in range(reads)]
    with k.trigger():
        k.pit.program(channel=2, mode=0, count=NEW_HIGH << 8 | NEW_LOW)
        k.delay(us=5)
    after = [k.pit.COUNTER[2].read("low"), k.pit.COUNTER[2].read("high")]

    run = yield

    assert low(k, run[before[0]])
    assert low(k, run[after[0]], NEW_LOW)
    assert high(run[after[1]], NEW_HIGH)


@probe(spec=CONTROL, covers=["timers.pit-byte-order"])
def a_control_word_ends_a_half_written_count(k: Kernel) -> ProbeBody:
    """After one byte of a count a control word makes the low byte the next one to be written."""
    begin(k)
    k.pit.COUNTER[2].write(0x11)
    with k.trigger():
        k.pit.program(channel=2, mode=0, count=NEW_HIGH << 8 | NEW_LOW)
    k.delay(us=5)
    after = [k.pit.COUNTER[2].read("low"), k.pit.COUNTER[2].read("high")]

    run = yield

    assert low(k, run[after[0]], NEW_LOW)
    assert high(run[after[1]], NEW_HIGH)


@probe(spec=READ, covers=["timers.pit-byte-order"])
def reads_and_writes_may_be_interleaved(k: Kernel) -> ProbeBody:
    """Read a low byte, write a new one, read the high byte, write a new one: reads and writes have an order each."""
    begin(k)
    k.pit.COUNTER_LATCH.write(SC=2)
    first = k.pit.COUNTER[2].read("old_low")
    k.pit.COUNTER[2].write(NEW_LOW)
    second = k.pit.COUNTER[2].read("old_high")
    k.trigger(k.pit.COUNTER[2].write, NEW_HIGH)
    k.delay(us=5)
    after = [k.pit.COUNTER[2].read("low"), k.pit.COUNTER[2].read("high")]

    run = yield

    assert low(k, run[first])
    assert high(run[second])
    assert low(k, run[after[0]], NEW_LOW)
    assert high(run[after[1]], NEW_HIGH)


@probe.each(command=["read_back_status", "latch_of_another", "control_word_of_another", "read_of_another"])
@probe(spec=READ, covers=["timers.pit-byte-order"])
def other_commands_leave_the_order_alone(k: Kernel, command: str) -> ProbeBody:
    """Between two bytes a latched status, and anything that names another counter, does not change what comes next."""
    k.pit.program(channel=0, mode=0, count=0x5A5A)
    begin(k)
    k.pit.COUNTER_LATCH.write(SC=2)
    first = k.pit.COUNTER[2].read("low")
    with k.trigger():
        if command == "read_back_status":
            k.pit.READ_BACK.write(int(ReadBackCommand.latch(2, count=False)))
            k.pit.STATUS[2].read("status")
        elif command == "latch_of_another":
            k.pit.COUNTER_LATCH.write(SC=0)
        elif command == "control_word_of_another":
            k.pit.CONTROL_WORD.write(SC=0, RW=3, M=0)
        else:
            k.pit.COUNTER[0].read("other")
        second = k.pit.COUNTER[2].read("high")

    run = yield

    assert low(k, run[first])
    assert high(run[second])
