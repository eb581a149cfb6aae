"""Runs a plan in this process or in worker processes, once or several times."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.campaign.sharding import default_workers, shuffled
from harness.probes.probe import Case
from harness.qemu.target import Target
from harness.run.options import RunOptions
from harness.run.record import RunRecord

if TYPE_CHECKING:
    from harness.campaign.repeat_tally import Repeats

__all__ = ["Stream"]


@dataclass(frozen=True)
class Stream:
    """How a plan is executed. `jobs`: worker processes; 0 lets the length of the plan decide."""

    options: RunOptions
    jobs: int = 0
    rounds: int = 1
    seed: int | None = None  # of the random order

    def workers(self, runs: int) -> int:
        """The number of processes for this number of runs."""
        return self.jobs or default_workers(runs)

    def records(
        self,
        runs: Sequence[tuple[Target, Case]],
        starting: Callable[[Case, Target], object],
        repeats: Repeats | None,
    ) -> Generator[tuple[int, RunRecord], None, None]:
        """(Position in `runs`, record) as they finish. `repeats` counts the runs where there are several rounds."""
        from harness.campaign.parallel import run_cases, run_one  # loads the assembler and QMP: not for --help
        from harness.campaign.repeat import repeat_cases
        from harness.campaign.verify import run_verified

        if repeats is not None:
            workers = self.workers(len(runs) * repeats.rounds)
            yield from repeat_cases(runs, self.options, workers, repeats, self.seed, starting)
            return
        targets = {target: number for number, target in enumerate(dict.fromkeys(target for target, _ in runs))}
        order = shuffled(range(len(runs)), self.seed)
        order.sort(key=lambda position: targets[runs[position][0]])  # the machines of one target after the other
        planned = [runs[position] for position in order]
        do = run_verified if self.options.verify_warm else run_one
        for number, record in run_cases(planned, self.options, self.workers(len(runs)), starting, do):
            yield order[number], record
