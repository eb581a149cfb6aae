"""The throughput figures of targets: the list of benchmarks, and how each is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from harness.campaign.throughput.disks import AhciTransfers, IdeTransfers, NvmeTransfers, VirtioTransfers
from harness.campaign.throughput.interrupts import (
    EduMessages,
    HpetEdges,
    IoApicEdges,
    NvmeMessages,
    SelfIpis,
    VirtioMessages,
)
from harness.campaign.throughput.moves import E1000eFrames, EduTransfers
from harness.campaign.throughput.sampling import Benchmark, Rate, Sampling, Unit
from harness.probes.probe import Case, Probe
from harness.qemu.target import Target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

__all__ = ["BENCHMARKS", "Figure", "ThroughputError", "measure_rate", "measure_throughput"]

_AT_LEAST_S = 0.05
_SAMPLES = 3

BENCHMARKS: Sequence[Callable[[], Benchmark]] = (
    SelfIpis,
    IoApicEdges,
    HpetEdges,
    EduMessages,
    VirtioMessages,
    NvmeMessages,
    partial(EduTransfers, to_device=True),
    partial(EduTransfers, to_device=False),
    partial(VirtioTransfers, write=False),
    partial(VirtioTransfers, write=True),
    partial(NvmeTransfers, write=False),
    partial(NvmeTransfers, write=True),
    partial(AhciTransfers, write=False),
    partial(AhciTransfers, write=True),
    partial(IdeTransfers, write=False),
    partial(IdeTransfers, write=True),
    E1000eFrames,
)
"""What is measured, in the order of the table."""


class ThroughputError(Exception):
    """A benchmark did not do the work that is timed: a device reported an error, or data is wrong."""


@dataclass(frozen=True)
class Figure:
    """One row: what a device does, and its rate on each target, by name; `None` where the target cannot do it."""

    device: str
    operation: str
    unit: Unit
    rates: Mapping[str, Rate | None]


def measure_throughput(
    targets: Sequence[Target],
    progress: Callable[[str], object],
    benchmarks: Iterable[Callable[[], Benchmark]] = BENCHMARKS,
    *,
    at_least_s: float = _AT_LEAST_S,
    samples: int = _SAMPLES,
) -> list[Figure]:
    """Measure every benchmark on every target, one after the other. Raises ThroughputError."""
    figures = []
    for make in benchmarks:
        rates: dict[str, Rate | None] = {}
        for target in targets:
            one = make()
            progress(f"{one.device}, {one.operation} on {target.name}")
            rates[target.name] = measure_rate(one, target, at_least_s=at_least_s, samples=samples)
        figures.append(Figure(one.device, one.operation, one.unit, MappingProxyType(rates)))
    return figures


def measure_rate(benchmark: Benchmark, target: Target, *, at_least_s: float, samples: int) -> Rate | None:
    """The median rate of so many samples, each of them `at_least_s` seconds long; `None` where the target lacks it.

    Takes a fresh benchmark, and a QEMU of its own. Raises ThroughputError.
    """
    sampling = Sampling(benchmark, at_least_s=at_least_s, samples=samples)
    probe = Probe(sampling.body, spec="", needs=benchmark.needs, path=Path("throughput"))
    with Executor(target, RunOptions(cold=True)) as executor:
        record = executor.run(Case(probe, {}))
    match record.verdict:
        case Verdict.PASS:
            return sampling.rate
        case Verdict.UNSUPPORTED:
            return None
        case verdict:
            what = f"{benchmark.device}, {benchmark.operation} on {target.name}"
            raise ThroughputError(f"{what}: {verdict}, {record.reason}")
