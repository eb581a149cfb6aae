"""Cases × targets over worker processes; results as they come.

A worker gets the file and the name of a probe, and loads the file itself. Runs that need equal machines go to the same
worker, so that warm machines are used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from harness.campaign.worker_pool import Done, WorkerPool
from harness.evidence.failures import Section, SectionKind
from harness.one_line import one_line
from harness.probes.loader import load_file
from harness.probes.probe import Case, Probe
from harness.qemu.target import Target
from harness.run.execute import Executor
from harness.run.executors import Executors
from harness.run.options import RunOptions
from harness.run.record import AtFault, FailureDetail, RunRecord, Verdict
from harness.run.rerun import rerun_command

__all__ = [
    "CaseJob",
    "Starting",
    "exception_of",
    "for_each_case",
    "ignore_start",
    "lost_record",
    "run_cases",
    "run_one",
]

R = TypeVar("R")
Starting = Callable[[Case, Target], object]


@dataclass(frozen=True)
class CaseJob:
    """A case by its place, and the target to run it on."""

    path: Path
    root: Path
    probe: str
    index: int  # among the probe's cases
    case: str
    target: Target

    @classmethod
    def of(cls, case: Case, target: Target) -> CaseJob:
        """The job that runs this case there."""
        ids = [other.id for other in case.probe.cases()]
        return cls(case.probe.path, case.probe.root, case.probe.name, ids.index(case.id), case.id, target)

    def find(self) -> Case:
        """The case, loaded from its file. Raises LoadError, LookupError where the file has changed meanwhile."""
        found = _load(self.path, self.root).get(self.probe)
        cases = found.cases() if found is not None else ()
        if self.index >= len(cases) or cases[self.index].id != self.case:
            raise LookupError(f"{self.path} has changed: {self.case} is no longer in it")
        return cases[self.index]


@cache
def _load(path: Path, root: Path) -> dict[str, Probe]:
    return {found.name: found for found in load_file(path, root)}


def ignore_start(case: Case, target: Target) -> None:
    """Do nothing about a run that begins."""


def run_one(executor: Executor, case: Case) -> RunRecord:
    """One run as the executor makes it."""
    return executor.run(case)


@contextmanager
def _open(options: RunOptions, do: Callable[[Executor, Case], R]) -> Iterator[Callable[[CaseJob], R]]:
    """In a worker process: the function from a job to its result."""
    with Executors(options) as executors:
        yield lambda job: do(executors.of(job.target), job.find())


def for_each_case(
    runs: Sequence[tuple[Target, Case]],
    options: RunOptions,
    do: Callable[[Executor, Case], R],
    workers: int,
    starting: Starting = ignore_start,
) -> Iterator[Done[R]]:
    """Do something with each case on its target, in `workers` processes; `Done.number` is the position in `runs`.

    With one worker, all is done in this process, in order. Else `do` must be picklable, and results come in any order.
    `starting` is called with each run that begins; with worker processes, with about the one that begins.
    Raises WorkerPoolError.
    """
    if workers <= 1:
        with Executors(options) as executors:
            for number, (target, case) in enumerate(runs):
                starting(case, target)
                yield Done(number, do(executors.of(target), case))
        return
    groups: dict[object, list[tuple[int, CaseJob]]] = {}
    for number, (target, case) in enumerate(runs):
        probe = case.probe
        config = (target.name, probe.cpus, probe.needs, probe.interactive, case.boot == "rom")
        groups.setdefault(config, []).append((number, CaseJob.of(case, target)))
    with WorkerPool[CaseJob, R](workers, partial(_open, options, do)) as pool:
        for done in pool.run(list(groups.values())):
            following = done.number + workers
            if following < len(runs):
                target, case = runs[following]
                starting(case, target)
            yield done


def run_cases(
    runs: Sequence[tuple[Target, Case]],
    options: RunOptions,
    workers: int,
    starting: Starting = ignore_start,
    do: Callable[[Executor, Case], RunRecord] = run_one,
) -> Iterator[tuple[int, RunRecord]]:
    """Run each case on its target; (position in `runs`, record) as they finish. `do` makes one run.

    A case whose worker was killed is run once more by another one (`attempts` is 2), and is an `error` if that is
    killed too. `starting`: see `for_each_case`. Raises WorkerPoolError.
    """
    for done in for_each_case(runs, options, do, workers, starting):
        if done.result is None:
            yield done.number, lost_record(*runs[done.number], done, options)
        else:
            yield done.number, replace(done.result, attempts=max(done.attempts, done.result.attempts))


def exception_of(text: str) -> str:
    """The exception of a traceback with all its lines; any other text as it is."""
    lines = text.rstrip().splitlines()
    inside = [number for number, line in enumerate(lines) if line.startswith("  ")]
    if not lines or not lines[0].startswith("Traceback (") or not inside:
        return text
    heads = [number for number, line in enumerate(lines) if line.startswith("Traceback (")]
    first = next(
        (number for number in range(heads[-1] + 1, len(lines)) if not lines[number].startswith(" ")), len(lines) - 1
    )
    return "\n".join(lines[first:])


def lost_record(target: Target, case: Case, done: Done[R], options: RunOptions) -> RunRecord:
    """Record for a job whose worker process died."""
    reason = one_line(exception_of(done.lost))
    return RunRecord(
        probe=case.id,
        target=target.name,
        verdict=Verdict.ERROR,
        rule=case.probe.rule,
        citation=case.probe.spec,
        ms=0.0,
        reason=reason,
        at_fault=AtFault.HARNESS,
        attempts=done.attempts,
        detail=FailureDetail((Section("Error", done.lost, SectionKind.FINDING),)),
        rerun=rerun_command(case, target, options),
    )
