"""Benchmark of runs: ratios of one session, from medians of interleaved samples.

Absolute times belong to one host at one moment. Two figures of one ratio are sampled alternately, so that other load of
the host affects both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from harness import abi
from harness.assembly import SourceLine, assemble, source_from_text
from harness.campaign.bare_qemu import floor_ms, guest_alone_ms
from harness.campaign.parallel import run_cases
from harness.campaign.sharding import shuffled
from harness.image.image import Image, Parameters
from harness.kernel.runtime import runtime_source
from harness.probes.probe import Case
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import Target
from harness.run.build import build
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

__all__ = ["Bench", "BenchError", "measure"]

Figures = dict[str, float]

WARM_RUNS = 20
"""Warm runs for each cold one: a warm machine serves many runs in a row, and is slower directly after other load."""


class BenchError(Exception):
    """A measured run did not pass, so its time is meaningless."""


@dataclass
class Bench:
    """All figures, by the keys of docs/bench.md; times in milliseconds unless the key has another unit."""

    probe: str
    target: str
    figures: Figures = field(default_factory=dict)
    parts_ms: Figures = field(default_factory=dict)
    steps_ms: Figures = field(default_factory=dict)
    assembler_ms: Figures = field(default_factory=dict)
    targets: dict[str, Figures] = field(default_factory=dict)
    scaling: list[tuple[int, float]] = field(default_factory=list)  # (cases, seconds)


def measure(
    reference: Case,
    target: Target,
    others: Sequence[Target],
    waiting: Case,
    catalogue: Sequence[Case],
    samples: int,
    progress: Callable[[str], object],
) -> Bench:
    """Measure everything.

    `reference` is the probe that is run alone, `waiting` one that waits in guest time, `catalogue` what is run whole.

    Raises BenchError, BareQemuError, QemuError, WorkerPoolError.
    """
    bench = Bench(reference.id, target.name)
    progress("cold and warm runs against a bare QEMU")
    _runs(bench, reference, target, samples)
    bench.figures["warm_waiting_ms"] = _cold_and_warm(waiting, target, max(3, samples // 3))["warm_ms"]
    progress("the steps of a warm run")
    _steps(bench, reference, target, samples * 5)
    progress("the assembler")
    _assembler(bench, reference, target, samples)
    for other in others:
        progress(f"cold and warm runs on {other.name}")
        bench.targets[other.name] = _cold_and_warm(reference, other, max(3, samples // 2))
    progress("runs per second")
    _rates(bench, reference, target, samples * 20)
    if catalogue:
        progress("the whole catalogue")
        _catalogue(bench, catalogue, target)
    return bench


def _elapsed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3


def _passed(record: RunRecord) -> RunRecord:
    if record.verdict is not Verdict.PASS:
        raise BenchError(f"{record.probe} on {record.target}: {record.verdict}, {record.reason}")
    return record


def _runs(bench: Bench, reference: Case, target: Target, samples: int) -> None:
    floors, alone, cold, warm = [], [], [], []
    parts: dict[str, list[float]] = {}
    image = build(reference, target).image
    with Executor(target, RunOptions(cold=False)) as executor:
        _passed(executor.run(reference))
        floor_ms(target)
        for _ in range(samples):
            floors.append(floor_ms(target))
            alone.append(guest_alone_ms(target, image))
            cold.append(_passed(executor.run(reference, RunOptions(cold=True))).ms)
            for _ in range(WARM_RUNS):
                record = _passed(executor.run(reference))
                warm.append(record.ms)
                for name, value in record.parts_ms.items():
                    parts.setdefault(name, []).append(value)
    figures = {
        "floor_ms": median(floors),
        "guest_alone_ms": median(alone),
        "cold_ms": median(cold),
        "warm_ms": median(warm),
        "warm_fastest_ms": min(warm),
    }
    figures["cold_over_floor"] = figures["cold_ms"] / figures["floor_ms"]
    figures["cold_over_warm"] = figures["cold_ms"] / figures["warm_ms"]
    figures["python_overhead_ms"] = figures["cold_ms"] - figures["guest_alone_ms"]
    bench.figures |= figures
    bench.parts_ms = {name: median(values) for name, values in parts.items()}


def _steps(bench: Bench, reference: Case, target: Target, samples: int) -> None:
    """The steps of a warm run, each measured separately."""
    times: dict[str, list[float]] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        times.setdefault(name, []).append((time.perf_counter() - started) * 1e3)

    image: Image = build(reference, target).image
    with Machine.launch(MachineConfig(target), image.rom) as machine:
        for number in range(samples):
            with timed("build and assemble"):
                image = build(reference, target).image
            pieces = image.staged(Parameters(1_000_000 if target.deterministic else 0, number << 16 | 1, 1))
            with timed("clear RAM"):
                machine.clear()
            if number:
                with timed("reset"):
                    machine.reset()
            with timed("write and run"):
                stop = machine.run_once(pieces)
            stop.check()
            with timed("read console"):
                machine.serial_output()
            with timed("dump registers"):
                machine.registers()
            with timed("dump local APIC"):
                machine.lapic()
            with timed("dump IO APIC and 8259s"):
                machine.pics()
    bench.steps_ms = {name: median(values) for name, values in times.items()}


def _assembler(bench: Bench, reference: Case, target: Target, samples: int) -> None:
    runtime = runtime_source()
    program = build(reference, target).program
    statements = _statements(3000)

    def one(name: str, action: Callable[[], object]) -> None:
        bench.assembler_ms[f"{name}, from the cache"] = median(_elapsed(action) for _ in range(samples))
        with _no_cache():
            bench.assembler_ms[f"{name}, not cached"] = median(_elapsed(action) for _ in range(max(3, samples // 4)))

    one("runtime", lambda: assemble(runtime, address=abi.RUNTIME, mode=32, constants=abi.constants()))
    one("reference probe", program.finish)
    one("3000 statements", lambda: assemble(statements, address=abi.PROGRAM, mode=64))


def _statements(number: int) -> list[SourceLine]:
    """Statements of the kinds that programs are made of, with operands that differ."""
    kinds = (
        "mov rax, {n:#x}",
        "mov dword ptr [rax + {n:#x}], ecx",
        "add rdx, {n:#x}",
        "lea rsi, [rip + start]",
        "test byte ptr [rbx + 8*rcx + {n:#x}], 1",
        "jnz start",
        "out dx, al",
        "xor r{r}, r{r}",
    )
    lines = [kinds[n % len(kinds)].format(n=n, r=8 + n % 8) for n in range(number)]
    return source_from_text("\n".join(["start:", *lines]), "benchmark")


@contextmanager
def _no_cache() -> Iterator[None]:
    before = os.environ.get("TRAPGATE_CACHE")
    os.environ["TRAPGATE_CACHE"] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ["TRAPGATE_CACHE"]
        else:
            os.environ["TRAPGATE_CACHE"] = before


def _cold_and_warm(reference: Case, target: Target, samples: int) -> Figures:
    cold, warm = [], []
    with Executor(target, RunOptions(cold=False)) as executor:
        first = executor.run(reference)
        if first.verdict is Verdict.UNSUPPORTED:
            return {}
        _passed(first)
        for _ in range(samples):
            cold.append(_passed(executor.run(reference, RunOptions(cold=True))).ms)
            warm += [_passed(executor.run(reference)).ms for _ in range(WARM_RUNS)]
    figures = {"cold_ms": median(cold), "warm_ms": median(warm)}
    return {**figures, "cold_over_warm": figures["cold_ms"] / figures["warm_ms"]}


def _rates(bench: Bench, reference: Case, target: Target, runs: int) -> None:
    """Runs per second with one worker or two, without their start."""
    for workers in (1, 2):
        times = []
        for _, record in run_cases([(target, reference)] * runs, RunOptions(cold=False), workers):
            _passed(record)
            times.append(time.perf_counter())
        skipped = runs // 10
        bench.figures[f"runs_per_second_{workers}"] = (runs - skipped - 1) / (times[-1] - times[skipped])
    bench.figures["two_over_one"] = bench.figures["runs_per_second_2"] / bench.figures["runs_per_second_1"]


def _catalogue(bench: Bench, catalogue: Sequence[Case], target: Target) -> None:
    """The catalogue on all cores, warm; also a quarter and a half of the cases: the time must grow in proportion."""
    cores = len(os.sched_getaffinity(0))
    order = shuffled(catalogue, seed=1)
    for part in (4, 2, 1):
        chosen = order[: len(order) // part]
        started = time.perf_counter()
        records = [
            record for _, record in run_cases([(target, case) for case in chosen], RunOptions(cold=False), cores)
        ]
        bench.scaling.append((len(chosen), time.perf_counter() - started))
    (few, quarter), (some, half), (all_, last) = bench.scaling
    times = [record.ms for record in records]
    bench.figures |= {
        "catalogue_s": last,
        "catalogue_cases": float(len(catalogue)),
        "catalogue_case_median_ms": median(times),
        # Milliseconds that a case of the second half adds, over those that one of the second quarter adds.
        "catalogue_linearity": ((last - half) / max(1, all_ - some)) / ((half - quarter) / max(1, some - few)),
    }
