"""Interrupt moderation of the 82574: ITR for INTx and MSI, an EITR for each MSI-X vector."""

from itertools import pairwise

from harness import Bound, Deviation, Kernel, ProbeBody, Run, probe
from harness.devices import E1000eCard, InterruptCause, InterruptThrottling

VECTOR, OTHER = 0x7A, 0x7B
UNIT = 256  # nanoseconds
SLACK = 4_000  # nanoseconds that instructions may take, in virtual time
MODERATION = "Intel 82574 datasheet, Interrupt Moderation"
REGISTER = "Intel 82574 datasheet, Interrupt Throttling Register"
CARD = ["e1000e"]
MODES = ["intx", "msi", "msix"]
FLOOR = "dma-e1000e-throttling-floor"
GAP = "dma-e1000e-throttling-gap"
END = "dma-e1000e-throttling-end"


class Moderated(E1000eCard):
    """The card with one way to interrupt, and the register that moderates it. Its handler takes the causes away."""

    def __init__(self, k: Kernel, mode: str, interval: int) -> None:
        if not k.deterministic:
            k.unsupported(
                "in real time a handler may be slower than the interval: moderation is judged in virtual time"
            )
        super().__init__(k)
        self.causes = k.value("causes")  # of the last interrupt; with MSI-X the card itself clears them when it sends
        if mode != "msix":
            k.handler(VECTOR).do(k.store, self.causes, self.ICR)
        self.throttle: Bound[InterruptThrottling] = self.ITR
        if mode == "intx":
            k.ioapic.redirect_pci(self.function.pin, VECTOR)
        elif mode == "msi":
            self.function.enable_msi(VECTOR)
        else:
            self.throttle = self.EITR[1]
            self.msix = self.function.msix()
            self.msix.entry(1, VECTOR)
            self.msix.enable()
            self.IVAR.write(RXQ0=1, RXQ0_VALID=1, TXQ0=1, TXQ0_VALID=1)
            self.EIAC.write(RXQ0=1, TXQ0=1)
            self.IAM.write(0)
            self.CTRL_EXT.update(IAME=1, PBA_SUPPORT=1)
        self.throttle.write(INTERVAL=interval)
        self.IMS.write(RXQ0=1, TXQ0=1)
        k.sti()

    def cause(self, name: str = "RXQ0") -> None:
        """Set a cause by software."""
        self.ICS.write(**{name: 1})


def times(run: Run) -> dict[str, float]:
    """Nanoseconds of the marks (by name) and of the interrupts ("0", "1" …), since the guest's start."""
    found: dict[str, float] = {}
    for event in run.events:
        name = getattr(event, "name", "") or str(sum(key.isdigit() for key in found))
        found[name] = event.tsc * 1e6 / run.tsc_khz
    return found


@probe.each(interval=[500, 1000, 4000])
@probe.each(mode=MODES)
@probe(spec=MODERATION, needs=CARD, covers=["e1000e.moderation"])
def the_next_interrupt_waits_for_the_interval(k: Kernel, mode: str, interval: int) -> ProbeBody:
    """The first cause interrupts at once; the next not before the interval of 256 ns units has passed, and once."""
    card = Moderated(k, mode, interval)
    k.mark("first cause")
    card.cause()
    k.wait_for(VECTOR)
    k.mark("next cause")
    k.trigger(card.cause)
    k.wait_for(VECTOR, 2, quiet_ms=2)

    run = yield

    assert run.sequence == ["first cause", VECTOR, "next cause", VECTOR]
    at = times(run)
    least = interval * UNIT
    assert at["1"] - at["first cause"] >= least
    assert at["0"] - at["first cause"] < SLACK, "the first cause interrupts at once"
    assert at["1"] - at["first cause"] < least + SLACK


@probe.each(mode=MODES)
@probe(
    spec=MODERATION,
    needs=CARD,
    covers=["e1000e.moderation"],
    deviation=(
        Deviation(targets="*-tcg", cases="msix", kind="bug", sees="less than the interval apart", ref=GAP),
        Deviation(
            targets="*-tcg", cases="msi", versions=">=8", kind="bug", sees="less than the interval apart", ref=GAP
        ),
        Deviation(
            targets="*-tcg", cases="intx", versions=">=8", kind="bug", sees="less than the interval apart", ref=GAP
        ),
    ),
)
def every_two_interrupts_are_the_interval_apart(k: Kernel, mode: str) -> ProbeBody:
    """The interval starts again with every interrupt, one that was held included: no two are closer together."""
    card = Moderated(k, mode, 2000)
    for number in range(5):
        k.trigger(card.cause)
        k.wait_for(VECTOR, number + 1)

    run = yield

    assert run.vectors == [VECTOR] * 5
    at = [event.tsc * 1e6 / run.tsc_khz for event in run.interrupts]
    gaps = [after - before for before, after in pairwise(at)]
    assert min(gaps) > 2000 * UNIT - SLACK, "two interrupts are less than the interval apart"


@probe.each(mode=MODES)
@probe(spec=MODERATION, needs=CARD, covers=["e1000e.moderation"])
def causes_of_one_interval_are_one_interrupt(k: Kernel, mode: str) -> ProbeBody:
    """Causes that come while the interval runs are held together: one interrupt at its end, for all of them."""
    card = Moderated(k, mode, 2000)
    card.cause()
    k.wait_for(VECTOR)
    k.mark("causes")
    for name in ("TXQ0", "RXQ0", "TXQ0"):
        k.trigger(card.cause, name)
        k.delay(us=20)
    k.mark("held")
    k.wait_for(VECTOR, 2, quiet_ms=2)
    left = card.ICR.read("left")

    run = yield

    assert run.sequence == [VECTOR, "causes", "held", VECTOR]
    assert run.vectors == [VECTOR, VECTOR]
    assert (run[left].RXQ0, run[left].TXQ0) == (0, 0)
    if mode != "msix":
        causes = InterruptCause(run[card.causes] & 0x7FFF_FFFF)
        assert (causes.RXQ0, causes.TXQ0) == (1, 1)


@probe.each(mode=MODES)
@probe(
    spec=MODERATION,
    needs=CARD,
    covers=["e1000e.moderation"],
    deviation=Deviation(targets="*-tcg", cases="msix", versions=">=8", kind="bug", sees="more than its cause", ref=END),
)
def a_cause_after_the_interval_interrupts_at_once(k: Kernel, mode: str) -> ProbeBody:
    """With the counter down to zero and nothing waiting the next cause interrupts without delay."""
    card = Moderated(k, mode, 1000)
    card.cause()
    k.wait_for(VECTOR, quiet_ms=1)
    k.mark("next cause")
    k.trigger(card.cause)
    k.wait_for(VECTOR, 2, quiet_ms=1)

    run = yield

    assert run.sequence == [VECTOR, "next cause", VECTOR], "more than its cause"
    at = times(run)
    assert at["1"] - at["next cause"] < SLACK


@probe.each(mode=MODES)
@probe(
    spec=MODERATION,
    needs=CARD,
    covers=["e1000e.moderation"],
    deviation=Deviation(targets="*-tcg", cases="msix", kind="bug", sees="an interrupt without a cause", ref=END),
)
def the_end_of_an_interval_is_no_cause(k: Kernel, mode: str) -> ProbeBody:
    """Once a held interrupt was sent, later intervals that end with nothing held send nothing."""
    card = Moderated(k, mode, 1000)
    for number in (1, 2):
        k.trigger(card.cause)
        k.wait_for(VECTOR, number)
    k.stay_quiet(ms=1)
    k.mark("alone")
    card.cause()
    k.wait_for(VECTOR, 3, quiet_ms=1)

    run = yield

    assert run.sequence == [VECTOR, VECTOR, "alone", VECTOR], "an interrupt without a cause"


@probe.each(mode=MODES)
@probe.each(interval=[1, 100, 480])
@probe(
    spec=REGISTER,
    needs=CARD,
    covers=["e1000e.moderation"],
    deviation=Deviation(targets="*-tcg", kind="by design", sees="came later than the interval", ref=FLOOR),
)
def a_short_interval_is_taken_as_it_is(k: Kernel, mode: str, interval: int) -> ProbeBody:
    """An interval below 500 delays the next interrupt by that interval, no longer."""
    card = Moderated(k, mode, interval)
    k.mark("first cause")
    card.cause()
    k.wait_for(VECTOR)
    k.trigger(card.cause)
    k.wait_for(VECTOR, 2, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR, VECTOR]
    at = times(run)
    assert at["1"] - at["first cause"] >= interval * UNIT
    late = at["1"] - at["first cause"] - interval * UNIT
    assert late < SLACK, "the interrupt came later than the interval"


@probe.each(mode=MODES)
@probe(
    spec=REGISTER,
    needs=CARD,
    covers=["e1000e.moderation"],
    deviation=Deviation(targets="*-tcg", kind="by design", sees="a cause was delayed", ref=FLOOR),
)
def interval_zero_switches_moderation_off(k: Kernel, mode: str) -> ProbeBody:
    """Zero disables the throttling: each cause interrupts at once."""
    card = Moderated(k, mode, 0)
    for number in range(4):
        k.mark(f"cause {number}")
        k.trigger(card.cause)
        k.wait_for(VECTOR, number + 1)
    interval = card.throttle.read("interval")

    run = yield

    assert run[interval].INTERVAL == 0
    assert run.vectors == [VECTOR] * 4
    at = times(run)
    delays = [at[str(number)] - at[f"cause {number}"] for number in range(4)]
    assert max(delays) < SLACK, "a cause was delayed"


@probe(spec=MODERATION, needs=CARD, covers=["e1000e.moderation"])
def each_msix_vector_has_its_own_interval(k: Kernel) -> ProbeBody:
    """The EITR of one vector does not hold back another: the second interrupts at once in the first one's interval."""
    card = Moderated(k, "msix", 4000)
    card.msix.entry(2, OTHER)
    card.EITR[2].write(INTERVAL=1000)
    card.IVAR.write(RXQ0=1, RXQ0_VALID=1, TXQ0=2, TXQ0_VALID=1)
    card.cause("RXQ0")
    k.wait_for(VECTOR)
    k.mark("both")
    card.cause("RXQ0")
    k.trigger(card.cause, "TXQ0")
    k.wait_for(OTHER)
    k.mark("other again")
    k.trigger(card.cause, "TXQ0")
    k.wait_for(VECTOR, 2, quiet_ms=2)

    run = yield

    assert run.sequence == [VECTOR, "both", OTHER, "other again", OTHER, VECTOR]
    at = times(run)
    assert at["1"] - at["both"] < SLACK
    assert 1000 * UNIT - SLACK < at["2"] - at["1"] < 1000 * UNIT + SLACK
    assert (run.count(VECTOR), run.count(OTHER)) == (2, 2)
