"""The same cases many times: every run must have the same verdict and evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from harness.campaign.compare import Difference, first_difference
from harness.campaign.parallel import Starting, ignore_start, run_cases
from harness.campaign.repeat_tally import Repeats
from harness.campaign.sharding import shuffled
from harness.evidence.failures import Section, SectionKind
from harness.probes.probe import Case
from harness.qemu.target import Target
from harness.run.options import RunOptions
from harness.run.record import FailureDetail, RunRecord, Verdict

__all__ = ["repeat_cases"]

_FROM_POWER_ON = 3  # cold runs that must agree to the tick where warm ones did not


@dataclass
class _CaseHistory:
    first: RunRecord
    difference: Difference | None = None
    differs: RunRecord | None = None
    number: int = 0  # of the run that differs, from 1
    times: list[float] | None = None


def repeat_cases(
    runs: Sequence[tuple[Target, Case]],
    options: RunOptions,
    workers: int,
    repeats: Repeats,
    seed: int | None = None,
    starting: Starting = ignore_start,
) -> Iterator[tuple[int, RunRecord]]:
    """Run everything `repeats.rounds` times, round after round; one record for each position, when its last is done.

    A case whose runs differ is a `fail` that shows the first difference. Where warm runs differ in time alone, cold
    runs decide. `starting`: see `for_each_case`. Raises WorkerPoolError.
    """
    positions = [
        position
        for number in range(repeats.rounds)
        for position in shuffled(range(len(runs)), None if seed is None else seed + number)
    ]
    histories: dict[int, _CaseHistory] = {}
    left = dict.fromkeys(range(len(runs)), repeats.rounds)
    doubtful: list[int] = []
    for number, record in run_cases([runs[position] for position in positions], options, workers, starting):
        position = positions[number]
        target, case = runs[position]
        repeats.runs += 1
        left[position] -= 1
        history = histories.setdefault(position, _CaseHistory(record, times=[]))
        assert history.times is not None
        history.times.append(record.ms)
        found = first_difference(case, target, history.first, record)
        if found is not None and (history.difference is None or (history.difference.timing and not found.timing)):
            history.difference, history.differs, history.number = found, record, repeats.rounds - left[position]
        if left[position] == 0:
            if history.difference is not None and history.difference.timing and not options.cold:
                doubtful.append(position)
                continue
            yield position, _summary_record(history, repeats)
    if doubtful:
        yield from _from_power_on(runs, options, workers, repeats, histories, doubtful)


def _from_power_on(
    runs: Sequence[tuple[Target, Case]],
    options: RunOptions,
    workers: int,
    repeats: Repeats,
    histories: dict[int, _CaseHistory],
    doubtful: Sequence[int],
) -> Iterator[tuple[int, RunRecord]]:
    inner = Repeats(_FROM_POWER_ON, len(doubtful))
    again = [runs[position] for position in doubtful]
    for number, record in repeat_cases(again, replace(options, cold=True), workers, inner):
        position = doubtful[number]
        repeats.runs += _FROM_POWER_ON
        if record.verdict is histories[position].first.verdict:
            repeats.other_phase += 1
            histories[position].difference = None
        yield position, _summary_record(histories[position], repeats)


def _summary_record(history: _CaseHistory, repeats: Repeats) -> RunRecord:
    """One record for all runs of a case."""
    assert history.times is not None
    record = replace(history.first, ms=median(history.times))
    if history.difference is None or history.differs is None:
        return record
    repeats.different += 1
    reason = f"not the same each time: in run {history.number} of {repeats.rounds} {history.difference.text}"
    verdict = Verdict.ERROR if Verdict.ERROR in (history.first.verdict, history.differs.verdict) else Verdict.FAIL
    sections = [Section("Reason", reason, SectionKind.VERDICT)]
    for number, run in ((1, history.first), (history.number, history.differs)):
        sections += [replace(each, title=f"{each.title} of run {number}") for each in run.detail.sections]
    where = history.differs if history.differs.detail.path else history.first
    detail = FailureDetail(tuple(sections), where.detail.path, where.detail.line)
    command_line = history.differs.command_line or history.first.command_line
    record = replace(history.differs, ms=record.ms, command_line=command_line)  # whose interrupts are shown
    return replace(record, verdict=verdict, reason=reason, deviation="", detail=detail)
