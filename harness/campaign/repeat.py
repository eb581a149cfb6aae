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
class _Story:
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
    stories: dict[int, _Story] = {}
    left = dict.fromkeys(range(len(runs)), repeats.rounds)
    doubtful: list[int] = []
    for number, record in run_cases([runs[position] for position in positions], options, workers, starting):
        position = positions[number]
        target, case = runs[position]
        repeats.runs += 1
        left[position] -= 1
        story = stories.setdefault(position, _Story(record, times=[]))
        assert story.times is not None
        story.times.append(record.ms)
        found = first_difference(case, target, story.first, record)
        if found is not None and (story.difference is None or (story.difference.timing and not found.timing)):
            story.difference, story.differs, story.number = found, record, repeats.rounds - left[position]
        if left[position] == 0:
            if story.difference is not None and story.difference.timing and not options.cold:
                doubtful.append(position)
                continue
            yield position, _told(story, repeats)
    if doubtful:
        yield from _from_power_on(runs, options, workers, repeats, stories, doubtful)


def _from_power_on(
    runs: Sequence[tuple[Target, Case]],
    options: RunOptions,
    workers: int,
    repeats: Repeats,
    stories: dict[int, _Story],
    doubtful: Sequence[int],
) -> Iterator[tuple[int, RunRecord]]:
    inner = Repeats(_FROM_POWER_ON, len(doubtful))
    again = [runs[position] for position in doubtful]
    for number, record in repeat_cases(again, replace(options, cold=True), workers, inner):
        position = doubtful[number]
        repeats.runs += _FROM_POWER_ON
        if record.verdict is stories[position].first.verdict:
            repeats.other_phase += 1
            stories[position].difference = None
        yield position, _told(stories[position], repeats)


def _told(story: _Story, repeats: Repeats) -> RunRecord:
    """One record for all runs of a case."""
    assert story.times is not None
    record = replace(story.first, ms=median(story.times))
    if story.difference is None or story.differs is None:
        return record
    repeats.different += 1
    reason = f"not the same each time: in run {story.number} of {repeats.rounds} {story.difference.text}"
    verdict = Verdict.ERROR if Verdict.ERROR in (story.first.verdict, story.differs.verdict) else Verdict.FAIL
    sections = [Section("Reason", reason, SectionKind.VERDICT)]
    for number, told in ((1, story.first), (story.number, story.differs)):
        sections += [replace(each, title=f"{each.title} of run {number}") for each in told.detail.sections]
    where = story.differs if story.differs.detail.path else story.first
    detail = FailureDetail(tuple(sections), where.detail.path, where.detail.line)
    command_line = story.differs.command_line or story.first.command_line
    record = replace(story.differs, ms=record.ms, command_line=command_line)  # whose interrupts are shown
    return replace(record, verdict=verdict, reason=reason, deviation="", detail=detail)
