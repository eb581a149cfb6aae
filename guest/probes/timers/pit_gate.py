"""The edges of the gate input of counter 2, in each mode: what restarts the count, and what does not."""

from harness import Deviation, Kernel, ProbeBody, SystemControl, probe

GATE = "8254, Gate Pin Operations Summary"
COUNT = 60_000
RESTARTS = {0: False, 1: True, 2: True, 3: True, 4: False, 5: True, 6: True, 7: True}  # on a rising edge
ALIAS = Deviation(
    targets="*-tcg*", cases="mode[67]", kind="unimplemented", sees="the count went", ref="timers-pit-mode-alias"
)


def restarted_by_kvm(sees: str, cases: str = "*") -> Deviation:
    """KVM's counters start anew at each write of port 61h."""
    return Deviation(targets="*-kvm", cases=cases, kind="bug", sees=sees, ref="timers-pit-kvm-gate-reload")


def counting(k: Kernel, mode: int) -> int:
    """Counter 2 at work with its gate high, well below its count. Returns how the count falls: by 1 or 2."""
    k.pit.speaker.gate(0)
    k.pit.program(channel=2, mode=mode, count=COUNT)
    k.pit.speaker.gate(1)
    k.delay(us=10_000)  # 11932 clocks
    return 2 if mode in (3, 7) else 1


@probe.each(mode=list(RESTARTS))
@probe(
    spec=GATE,
    covers=["timers.pit-gate-edges"],
    deviation=[
        ALIAS,
        *(restarted_by_kvm(r"the count went from \d+ to 59\d\d\d", cases) for cases in ("mode0", "mode4")),
    ],
)
def a_rising_gate(k: Kernel, mode: int) -> ProbeBody:
    """A gate that rises starts the count anew in modes 1, 2, 3 and 5 (6 and 7 are 2 and 3), and not in 0 and 4."""
    counting(k, mode)
    before = k.pit.latch_count(2, "before")
    k.pit.speaker.gate(0)
    k.trigger(k.pit.speaker.gate, 1)
    after = k.pit.latch_count(2, "after")
    port = SystemControl(k.bus).NMI_SC.read("port")

    run = yield

    assert run[port].TIM_CNT2_EN == 1
    assert run[before] < COUNT - 10_000, f"the counter did not count: {run[before]}"
    if RESTARTS[mode]:
        assert run[after] > k.by_clock(COUNT - 1000, 0), f"the count went from {run[before]} to {run[after]}"
        assert run[after] > run[before], f"the count went from {run[before]} to {run[after]}"
    else:
        assert run[after] <= run[before], f"the count went from {run[before]} to {run[after]}"


@probe.each(mode=list(RESTARTS))
@probe(spec=GATE, covers=["timers.pit-gate-edges"], deviation=restarted_by_kvm(r"assert 59\d\d\d <= \d+"))
def a_falling_gate_starts_nothing(k: Kernel, mode: int) -> ProbeBody:
    """A gate that falls leaves the count: it stops or goes on, and never starts anew."""
    counting(k, mode)
    before = k.pit.latch_count(2, "before")
    k.trigger(k.pit.speaker.gate, 0)
    after = k.pit.latch_count(2, "after")
    port = SystemControl(k.bus).NMI_SC.read("port")

    run = yield

    assert run[port].TIM_CNT2_EN == 0
    assert run[before] < COUNT - 10_000
    assert run[after] <= run[before]


@probe.each(mode=[1, 2, 3, 5])
@probe(spec=GATE, covers=["timers.pit-gate-edges"], deviation=restarted_by_kvm(r"assert 59\d\d\d <= \d+"))
def a_gate_that_is_high_already_is_no_edge(k: Kernel, mode: int) -> ProbeBody:
    """Port 61h written with the gate bit 1 as before, and the speaker bit changed: the count goes on."""
    counting(k, mode)
    before = k.pit.latch_count(2, "before")
    k.trigger(k.asm, "in al, 0x61\nand al, 0xF\nor al, 2\nout 0x61, al")
    after = k.pit.latch_count(2, "after")
    port = SystemControl(k.bus).NMI_SC.read("port")
    k.pit.speaker.gate(1)  # the speaker bit is 0 again

    run = yield

    assert (run[port].TIM_CNT2_EN, run[port].SPKR_DAT_EN) == (1, 1)
    assert run[before] < COUNT - 10_000
    assert run[after] <= run[before]


@probe.each(mode=[1, 5])
@probe(spec=GATE, covers=["timers.pit-gate-edges"])
def a_low_gate_does_not_stop_a_triggered_count(k: Kernel, mode: int) -> ProbeBody:
    """In modes 1 and 5 the gate's level does not count: a started one-shot goes on while it is low."""
    counting(k, mode)
    k.trigger(k.pit.speaker.gate, 0)
    before = k.pit.latch_count(2, "before")
    k.delay(us=5000)  # 5966 clocks
    after = k.pit.latch_count(2, "after")
    port = SystemControl(k.bus).NMI_SC.read("port")

    run = yield

    assert run[port].TIM_CNT2_EN == 0
    assert 5900 <= run[before] - run[after] <= 6100 or not k.deterministic
    assert run[after] < run[before]
