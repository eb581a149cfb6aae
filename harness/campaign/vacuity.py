"""Vacuity: removes the steps of a probe's guest program, one at a time, and checks whether the probe fails.

A probe that passes without the cause of what it judges proves nothing. So removing what is marked as the trigger
(`with k.trigger():`, `run.trigger(…)`) must give `fail`; and the share of all steps whose removal turns the probe red
is its score, which may not fall from one change to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.kernel.program import Step
from harness.one_line import one_line
from harness.probes.probe import Case
from harness.run.build import build
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import AtFault, RunRecord, Verdict

__all__ = [
    "CaseScore",
    "CaseVacuity",
    "Effect",
    "Removal",
    "TriggerFinding",
    "case_scores",
    "examine",
    "probe_scores",
]

LONGEST_WAIT_MS = 250.0
"""Milliseconds of guest time after which each wait of a mutant gives up: most mutants wait for an event that never
comes."""

WATCHDOG_S = 0.75
WATCHDOG_RUNS = 10
"""Seconds that a mutant may be silent, or as many times the whole run. Waits have a deadline in guest time; a mutant
that is silent for longer is in an endless loop, or its processor never wakes."""


class Effect(StrEnum):
    """What the removal of one step did to the verdict."""

    RED = "red"  # the probe failed: it depends on the step
    GREEN = "green"  # the probe still passed
    BROKEN = "broken"  # without it the program cannot be assembled or the judgement cannot run: excluded
    HOST_DEPENDENT = "host-dependent"  # not removed: the result depends on host timing; excluded
    HELD_UP = "held up"  # the host delayed each run without it; excluded


class TriggerFinding(StrEnum):
    """What removing the triggers showed."""

    FAIL = "fail"  # as required
    NO_TRIGGER = "no trigger is marked"
    STILL_GREEN = "still green without its trigger"
    ERROR = "error instead of fail without its trigger"
    HELD_UP = "undecided: the host delayed each run without its trigger"


@dataclass(frozen=True)
class Removal:
    """One step taken away."""

    what: str
    where: str  # file:line of the probe
    trigger: bool
    effect: Effect
    reason: str = ""  # of the verdict, its first line


@dataclass(frozen=True)
class CaseVacuity:
    """The result of one case on one target. `apart`: its verdict there is not `pass`, so it is not examined."""

    case: str
    probe: str
    target: str
    verdict: Verdict
    reason: str = ""
    trigger: TriggerFinding | None = None
    trigger_reason: str = ""
    host_trigger: bool = False
    host_part: bool = False  # the host acts in the run, or a device is host-paced: a removal can have different results
    removals: tuple[Removal, ...] = ()

    @property
    def apart(self) -> bool:
        """Whether the case cannot be examined on this target."""
        return self.verdict is not Verdict.PASS

    def count(self, effect: Effect) -> int:
        """Number of removals with that effect."""
        return sum(removal.effect is effect for removal in self.removals)

    @property
    def removable(self) -> int:
        """Steps whose removal leaves a program that runs."""
        return self.count(Effect.RED) + self.count(Effect.GREEN)

    @property
    def score(self) -> float:
        """Share of the removable steps whose removal turns the probe red; 0 where none can be removed."""
        return self.count(Effect.RED) / self.removable if self.removable else 0.0


@dataclass(frozen=True)
class CaseScore:
    """How many of a case's removable steps turn it red."""

    probe: str
    case: str
    red: int
    removable: int
    host_part: bool = False
    held_up: int = 0  # steps without a result, because the host delayed the runs without them

    @property
    def score(self) -> float:
        """`red / removable`, rounded as in the baseline."""
        return round(self.red / self.removable, 4) if self.removable else 0.0


def examine(executor: Executor, case: Case, *, triggers_only: bool = False) -> CaseVacuity:
    """Run a case as it is, without its triggers, and (unless `triggers_only`) without each step in turn.

    Never raises for what a probe, a guest or QEMU does: it becomes the case's verdict or the removal's effect.
    """
    target = executor.target
    options = replace(executor.options, cold=False)
    whole = executor.run(case, options)
    found = CaseVacuity(case.id, case.probe.id, target.name, whole.verdict, one_line(whole.reason))
    if found.apart:
        return found
    built = build(case, target)  # the case was just built, so this cannot fail
    steps, paced = tuple(built.program.steps), executor.host_paced(case, built)
    short = replace(options, longest_wait_ms=LONGEST_WAIT_MS)
    if executor.run(case, short).verdict is Verdict.PASS:  # else this probe needs its long waits
        options = short
    patience_s = max(WATCHDOG_S, WATCHDOG_RUNS * whole.ms / 1e3)
    options = replace(options, watchdog_s=min(patience_s, case.probe.watchdog_s))
    finding, reason = _without_triggers(executor, case, options, steps, whole, paced=paced)
    removals: tuple[Removal, ...] = ()
    if not triggers_only:
        removals = tuple(_without(executor, case, options, step, paced=paced) for step in steps)
    return replace(
        found,
        trigger=finding,
        trigger_reason=reason,
        host_trigger=whole.host_triggered,
        host_part=whole.host_acted or paced,
        removals=removals,
    )


_MORE = 3  # runs of a mutant whose outcome is not conclusive


def _held_up(record: RunRecord) -> bool:
    return record.at_fault is AtFault.HOST


def _run(
    executor: Executor, case: Case, options: RunOptions, again: Callable[[RunRecord], bool] = _held_up
) -> RunRecord:
    """Run a mutant, at most 1 + `_MORE` times: again where the outcome is not conclusive (`again`)."""
    record = executor.run(case, options)
    for _ in range(_MORE):
        if not again(record):
            break
        record = executor.run(case, options)
    return record


def _without_triggers(
    executor: Executor, case: Case, options: RunOptions, steps: Iterable[Step], whole: RunRecord, *, paced: bool
) -> tuple[TriggerFinding, str]:
    """A device that works in the host's time may act without its trigger: one red run of four shows the dependence.

    QEMU reads a virtqueue without a notification when it starts the queue and, some time later, when a stopped machine
    continues. VIRTIO 1.2, "Driver Notifications", allows that.
    """
    marked = frozenset(step.index for step in steps if step.trigger)
    if not marked and not whole.host_triggered:
        return TriggerFinding.NO_TRIGGER, ""
    record = _run(
        executor,
        case,
        replace(options, omit=marked, act=False),
        again=lambda record: _held_up(record) or (paced and record.verdict is Verdict.PASS),
    )
    reason = one_line(record.reason)
    if _held_up(record):
        return TriggerFinding.HELD_UP, reason
    match record.verdict:
        case Verdict.FAIL:
            return TriggerFinding.FAIL, reason
        case Verdict.ERROR:
            return TriggerFinding.ERROR, reason
        case _:
            return TriggerFinding.STILL_GREEN, reason


def _without(executor: Executor, case: Case, options: RunOptions, step: Step, *, paced: bool) -> Removal:
    if step.waits and paced:
        return Removal(step.what, str(step.origin), step.trigger, Effect.HOST_DEPENDENT)
    record = _run(executor, case, replace(options, omit=frozenset({step.index})))
    effects = {Verdict.FAIL: Effect.RED, Verdict.ERROR: Effect.BROKEN}
    effect = Effect.HELD_UP if _held_up(record) else effects.get(record.verdict, Effect.GREEN)
    return Removal(step.what, str(step.origin), step.trigger, effect, one_line(record.reason))


def case_scores(cases: Iterable[CaseVacuity]) -> list[CaseScore]:
    """The scores of the cases that were examined step by step."""
    return [
        CaseScore(
            case.probe, case.case, case.count(Effect.RED), case.removable, case.host_part, case.count(Effect.HELD_UP)
        )
        for case in cases
        if not case.apart and case.removals
    ]


def probe_scores(scores: Iterable[CaseScore]) -> Mapping[str, CaseScore]:
    """Probe id → the score of its worst case."""
    worst: dict[str, CaseScore] = {}
    for score in scores:
        before = worst.get(score.probe)
        if before is None or score.score < before.score:
            worst[score.probe] = score
    return worst
