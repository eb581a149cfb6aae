"""One figure: a guest repeats an operation, and the host measures the time between two of its stops.

The guest stops at a checkpoint, gets a number of rounds, makes them, and stops at the next: QEMU's start, the boot and
the set-up are not in the time. The time of an interval without any round (the stop, QMP) is measured in the same run
and subtracted.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from harness import abi
from harness.evidence.failures import RunFailure
from harness.evidence.run import Run
from harness.hardware.block import Value
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.program import Buffer
from harness.probes.probe import ProbeBody

__all__ = ["Benchmark", "Rate", "Sampling", "Unit", "differs", "fill", "write_value"]

Unit: TypeAlias = Literal["interrupts", "bytes"]

_FIRST_ROUNDS = 2  # edu's engine needs 100 ms of guest time for one
_FASTER = 8  # by how much the number of rounds grows at most from one attempt to the next
_EMPTY_SAMPLES = 5
_OVER_EMPTY = 4  # multiples of the time of an empty interval: a shorter sample would be noise
_ENOUGH, _CONCLUDE = -1, -2  # instead of a number of rounds


@dataclass(frozen=True)
class Rate:
    """The throughput of a target.

    `per_second` of the host's clock, the median of the samples; `per_guest_second` the same by the guest's time-stamp
    counter (`None` under icount, where that is virtual time). `amount`: in one sample.
    """

    per_second: float
    per_guest_second: float | None
    amount: int


class Benchmark(ABC):
    """One benchmark: the operation of the guest, and the check of the host.

    An instance serves one run. `per_round`: interrupts, or bytes, of one round.
    """

    device: str
    operation: str
    unit: Unit
    per_round: int
    needs: tuple[str, ...] = ()
    concludes = False

    failed: Value[int]  # a round sets bits in it where the device reported an error

    @abstractmethod
    def prepare(self, k: Kernel) -> None:
        """Write the part of the program that sets the device up."""

    @abstractmethod
    def round(self, k: Kernel) -> None:
        """Write one round: it may use RBX, RBP, R12 and R13, which keep what they hold from one to the next."""

    def drain(self, k: Kernel) -> None:  # noqa: B027 - most have nothing to add
        """Write what follows the last round of a sample, inside its time: until all work is complete."""

    def conclude(self, k: Kernel) -> None:  # noqa: B027 - as above
        """Where `concludes` is set: what follows a sample, outside its time, so that the host sees what was done."""

    def before(self, run: Run, rounds: int) -> None:  # noqa: B027 - as above
        """Before a sample of so many rounds, while the guest is stopped."""

    @abstractmethod
    def after(self, run: Run, rounds: int) -> None:
        """Raise `RunFailure` unless what these rounds should have done was done."""


class Sampling:
    """A benchmark as the body of a probe, for one run; afterwards `rate` is there."""

    rate: Rate

    def __init__(self, benchmark: Benchmark, *, at_least_s: float, samples: int) -> None:
        self.benchmark = benchmark
        self._at_least_s = at_least_s
        self._samples = samples

    def body(self, k: Kernel) -> ProbeBody:
        """Make the number of rounds that the host writes, from one checkpoint to the next, until it writes 0."""
        program = k.program
        self._rounds, self._from, self._to = k.value("rounds"), k.value("first_tick"), k.value("last_tick")
        self.benchmark.failed = k.value("failed")
        k.store(self.benchmark.failed, 0)
        self.benchmark.prepare(k)
        k.sti()
        again, turn, done, conclude, end = map(program.unique, ("again", "turn", "done", "conclude", "end"))
        program.plain(f"{again}:")
        k.checkpoint("ready")
        program.plain(f"mov r15, {slot(self._rounds)}", f"cmp r15, {_ENOUGH}", f"je {end}", f"jl {conclude}")
        k.read_tsc(self._from)
        program.plain("test r15, r15", f"jz {done}", f"{turn}:")
        self.benchmark.round(k)
        program.plain("dec r15", f"jnz {turn}", f"{done}:")
        self.benchmark.drain(k)
        k.read_tsc(self._to)
        program.plain(f"jmp {again}", f"{conclude}:")
        self.benchmark.conclude(k)
        program.plain(f"jmp {again}", f"{end}:")

        run = yield

        self._empty_s = 0.0
        self._empty_s = min(self._sample(run, 0)[0] for _ in range(_EMPTY_SAMPLES))
        rounds, samples = self._long_samples(run)
        amount = rounds * self.benchmark.per_round
        seconds, guest_seconds = (median(column) for column in zip(*samples, strict=True))
        self.rate = Rate(amount / seconds, None if k.deterministic else amount / guest_seconds, amount)
        self._tell(run, _ENOUGH)

    def _long_samples(self, run: Run) -> tuple[int, list[tuple[float, float]]]:
        """A number of rounds that takes long enough each time, and the samples of it.

        A busy host makes a sample longer, never shorter: so a short one shows that there were too few rounds.
        """
        enough_s = max(self._at_least_s, _OVER_EMPTY * self._empty_s)
        rounds = _FIRST_ROUNDS
        samples: list[tuple[float, float]] = []
        while len(samples) < self._samples:
            samples.append(self._sample(run, rounds))
            this_s = samples[-1][0]
            if this_s < enough_s:
                factor = 1.5 * enough_s / this_s if this_s > 0 else _FASTER
                rounds = max(int(rounds * min(factor, _FASTER)), rounds + 1)
                samples.clear()
        return rounds, samples

    def _sample(self, run: Run, rounds: int) -> tuple[float, float]:
        """Seconds that so many rounds take, by the host's clock and by the guest's time-stamp counter."""
        benchmark = self.benchmark
        benchmark.before(run, rounds)
        started = time.perf_counter()
        self._tell(run, rounds)
        seconds = time.perf_counter() - started
        ticks = run[self._to] - run[self._from]
        if benchmark.concludes and rounds:
            self._tell(run, _CONCLUDE)
        if run[benchmark.failed]:
            raise RunFailure(f"the device reported an error in {rounds} rounds: {run[benchmark.failed]:#x}")
        benchmark.after(run, rounds)
        return seconds - self._empty_s, ticks / (run.tsc_khz * 1e3)

    def _tell(self, run: Run, number: int) -> None:
        """Let the guest make so many rounds, and wait for its next checkpoint."""
        run.reached("ready")
        write_value(run, self._rounds, number)
        run.resume()


def write_value(run: Run, value: Value[int], number: int) -> None:
    """Put a number into a value, for the guest to read."""
    at = abi.VALUES + 8 * value.index
    run.machine.ram[at : at + 8] = number.to_bytes(8, "little", signed=True)


def fill(run: Run, buffer: Buffer, content: bytes) -> None:
    """Put bytes where a buffer begins, while the guest is stopped."""
    run.machine.ram[buffer.address : buffer.address + len(content)] = content


def differs(what: str, found: Sequence[int], expected: Sequence[int]) -> None:
    """Raise `RunFailure` naming the first byte that is not as expected."""
    if bytes(found) == bytes(expected):
        return
    if len(found) != len(expected):
        raise RunFailure(f"{what}: {len(found)} bytes instead of {len(expected)}")
    at = next(index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
    raise RunFailure(f"{what}: byte {at} is {found[at]:#04x}, not {expected[at]:#04x}")
