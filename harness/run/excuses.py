"""The failed assertions of one judgement that recorded deviations excuse, and the outcome beside them."""

from __future__ import annotations

from functools import partial

from harness.evidence.failures import RunFailure, Section, SectionKind
from harness.evidence.interrupts import InterruptRecord, Mark
from harness.evidence.run import Run
from harness.one_line import one_line
from harness.probes.probe import Case
from harness.run.judge import fault_in
from harness.run.known import KnownDifferences, Seen
from harness.run.outcome import Outcome, recorded
from harness.run.reasons import reason_of
from harness.run.record import AtFault, Verdict

__all__ = ["Excuses"]

_EVENTS = 12  # that the text of a deviation that has disappeared shows


class Excuses:
    """Decides about each failed assertion; `outcome` is that of the whole judgement.

    `first`: the first assertion that was excused, which the evidence shows. `note`: for the reader, about
    the assertions behind it.
    """

    def __init__(self, known: KnownDifferences, case: Case) -> None:
        self._known = known
        self._case = case
        self._seen: set[Seen] = set()
        self._first: Outcome | None = None
        self.first: AssertionError | None = None
        self.note: Section | None = None

    def __call__(self, error: AssertionError) -> bool:
        """Whether the judgement continues."""
        reason = reason_of(error)
        seen = self._known.excuse(self._case, reason)
        self._seen |= set(seen)
        if seen and self._first is None:
            self._first, self.first = recorded(reason, seen[0].deviation.ref), error
        return bool(seen)

    def outcome(self, run: Run, verdict: Verdict, error: BaseException | None) -> Outcome:
        """Of the run: an assertion after an excused one counts as if it were the only one."""
        reason = "" if error is None else reason_of(error)
        if verdict is Verdict.PASS:
            gone = self._known.gone(self._case, self._seen, partial(_seen_now, run))
            return gone or self._first or Outcome(verdict, reason)
        if self._first is None:
            return self._known.judge(self._case, verdict, reason, error)
        reference = self._first.deviation
        if verdict is Verdict.ERROR and fault_in(self._case, error) is AtFault.PROBE:
            text = f"The probe could not go on behind the recorded deviation {reference}: {one_line(reason)}"
            self.note = Section("Not judged", text, SectionKind.FINDING)
            return self._first
        outcome = self._known.judge(self._case, verdict, reason, error)
        if outcome.verdict is Verdict.FAIL:
            text = f"The run shows the recorded deviation {reference}, which does not explain this failure."
            self.note = Section("Recorded deviation", text, SectionKind.FINDING)
        return outcome


def _seen_now(run: Run) -> str:
    """The evidence of a run in one line: its events, and the values that the guest stored."""
    try:
        recording = run.recording.events
    except RunFailure:
        recording = ()
    events = [_short(event) for event in recording[:_EVENTS]] + ["…"] * (len(recording) > _EVENTS)
    values = [f"{value.name} = {_hex(run.raw(value))}" for value in run.built.program.values]
    return "; ".join([f"events [{', '.join(events)}]", *values])


def _short(event: InterruptRecord | Mark) -> str:
    return f"{event.vector:#04x}" if isinstance(event, InterruptRecord) else repr(event.name)


def _hex(value: int | None) -> str:
    return "never written" if value is None else f"{value:#x}"
