"""The records of a plan as they come: here or in worker processes, once or many times."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.campaign.sharding import default_workers, shuffled
from harness.probes.probe import Case
from harness.qemu.target import Target
from harness.run.record import RunRecord

if TYPE_CHECKING:
    from harness.campaign.repeat_tally import Repeats
    from harness.probes.own_records import OwnRecord

__all__ = ["OpenRunner", "Runner", "Stream"]


class Runner(Protocol):
    """What runs cases on one target."""

    def run(self, case: Case) -> RunRecord:
        """Boot once, observe, judge."""


OpenRunner = Callable[[Target, Sequence[str]], AbstractContextManager[Runner]]


@dataclass(frozen=True)
class Stream:
    """How a plan is carried out. `jobs`: worker processes; 0 lets the length of the plan decide."""

    jobs: int = 1
    cold: bool = False
    rounds: int = 1
    seed: int | None = None  # of the random order
    second_source: bool = False
    verify_warm: bool = False  # each pass once more on a fresh machine
    own: tuple[OwnRecord, ...] = ()  # deviations beside those of the probes

    def workers(self, runs: int) -> int:
        """How many processes run so many runs."""
        return self.jobs or default_workers(runs)

    def records(
        self,
        runs: Sequence[tuple[Target, Case]],
        qemu_args: Sequence[str],
        open_runner: OpenRunner,
        starting: Callable[[Case, Target], object],
        repeats: Repeats | None,
    ) -> Generator[tuple[int, RunRecord], None, None]:
        """(Position in `runs`, record) as they finish. `repeats` counts along where there are several rounds."""
        if repeats is None and self.workers(len(runs)) == 1 and not self.verify_warm:
            yield from self._here(runs, qemu_args, open_runner, starting)
            return
        from harness.campaign.parallel import run_cases, run_one  # loads the assembler: not for --help
        from harness.campaign.repeat import repeat_cases
        from harness.campaign.verify import run_verified
        from harness.run.execute import RunOptions

        options = RunOptions(
            cold=self.cold, qemu_args=tuple(qemu_args), second_source=self.second_source, records=self.own
        )
        if repeats is not None:

            def each(position: int, record: RunRecord) -> None:
                starting(runs[position][1], runs[position][0])

            workers = self.workers(len(runs) * repeats.rounds)
            yield from repeat_cases(runs, options, workers, repeats, self.seed, each)
            return
        order = shuffled(range(len(runs)), self.seed)
        do = run_verified if self.verify_warm else run_one
        planned = [runs[position] for position in order]
        for number, record in run_cases(planned, options, self.workers(len(runs)), starting=starting, do=do):
            yield order[number], record

    def _here(
        self,
        runs: Sequence[tuple[Target, Case]],
        qemu_args: Sequence[str],
        open_runner: OpenRunner,
        starting: Callable[[Case, Target], object],
    ) -> Generator[tuple[int, RunRecord], None, None]:
        order = shuffled(range(len(runs)), self.seed)
        order.sort(key=lambda position: _first_of(runs, runs[position][0]))  # one target after the other
        with ExitStack() as stack:
            target: Target | None = None
            for position in order:
                wanted, case = runs[position]
                if wanted is not target:
                    stack.pop_all().close()
                    runner = stack.enter_context(open_runner(wanted, qemu_args))
                    target = wanted
                starting(case, wanted)
                yield position, runner.run(case)


def _first_of(runs: Sequence[tuple[Target, Case]], target: Target) -> int:
    return next(number for number, (other, _) in enumerate(runs) if other is target)
