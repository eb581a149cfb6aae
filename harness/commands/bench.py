"""`trapgate bench`: times of runs against a bare QEMU, and throughput of devices; two tables, and bench.json."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.campaign.worker_pool import WorkerPoolError
from harness.commands.options import Selection, selecting
from harness.commands.planning import check_programs, find_cases, usage_error
from harness.commands.throughput import throughput_document, throughput_tables
from harness.probes.loader import catalogue_root
from harness.probes.probe import Case
from harness.probes.probe_error import ProbeError
from harness.probes.selection import SelectionError
from harness.qemu.errors import QemuError
from harness.report.atomic import write_atomic
from harness.report.host import host_facts, qemu_version, version
from harness.report.terminal import make_console
from harness.run.targets import find_targets

if TYPE_CHECKING:
    from harness.campaign.bench import Bench
    from harness.qemu.target import Target

__all__ = ["bench_command"]

_REFERENCE = "lapic/self_ipi.py::request_collapses_in_the_irr"  # interrupts, then 1 ms of quiet: a typical probe
_WAITING = "timers/hpet.py::one_shot_fires_once"  # waits for 1 ms, then for 5 ms of quiet
_OTHERS = ("q35-tcg-rt", "pc-tcg", "microvm-tcg", "q35-kvm")
_THROUGHPUT = ("q35-tcg", "q35-tcg-rt", "pc-tcg", "q35-kvm")  # microvm has no PCI, so it lacks most of these devices

# Key, what it means, goal: (comparison, number) or None.
_ROWS: tuple[tuple[str, str, tuple[str, float] | None], ...] = (
    ("floor_ms", "bare QEMU: start, one instruction, exit", None),
    ("guest_alone_ms", "bare QEMU with the reference guest: start, run, exit", None),
    ("cold_ms", "cold run: fresh QEMU, guest, evidence, verdict", None),
    ("warm_ms", "warm run: from the call to the verdict with its evidence", ("<=", 3.0)),
    ("warm_fastest_ms", "the fastest of them", None),
    ("warm_waiting_ms", "warm run of a probe that waits for 6 ms of guest time", None),
    ("cold_over_floor", "cold run over bare QEMU", ("<=", 1.5)),
    ("cold_over_warm", "cold run over warm run", (">=", 15.0)),
    ("python_overhead_ms", "time that a cold run adds to the same guest on bare QEMU", ("<=", 15.0)),
    ("runs_per_second_1", "warm runs per second, one process", None),
    ("runs_per_second_2", "warm runs per second, two processes", None),
    ("two_over_one", "two processes over one", None),
    ("catalogue_cases", "cases in the catalogue", None),
    ("catalogue_s", "the catalogue, warm, on all cores, in seconds", None),
    ("catalogue_case_median_ms", "median case of the catalogue", None),
    ("catalogue_linearity", "time per case of its second half over that of its second quarter", None),
)


@selecting
def bench_command(
    selection: Selection,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=3, help="Number of cold runs for the medians.")
    ] = 15,
    output: Annotated[Path, typer.Option("--json", metavar="FILE", help="The file for the figures.")] = Path(
        "bench.json"
    ),
    reference: Annotated[
        str, typer.Option("--reference", metavar="CASE", help="The reference case, which is measured alone.")
    ] = _REFERENCE,
    no_catalogue: Annotated[bool, typer.Option("--no-catalogue", help="Do not run the catalogue.")] = False,
    no_throughput: Annotated[
        bool, typer.Option("--no-throughput", help="Do not measure the throughput of devices.")
    ] = False,
    only_throughput: Annotated[
        bool, typer.Option("--only-throughput", help="Measure the throughput of devices only.")
    ] = False,
) -> None:
    """Measure cold and warm runs against a bare QEMU, the steps of a run, and the throughput of devices.

    Absolute times depend on this host and its load; ratios are of interleaved samples. Goals are shown, not enforced.

    Names, -k and --probes choose the probes that are run in place of the catalogue.

    Exit codes: 0 · 2 wrong usage · 3 a measured run did not pass.
    """
    from harness.campaign.bare_qemu import BareQemuError
    from harness.campaign.bench import BenchError, measure
    from harness.campaign.throughput.figures import ThroughputError, measure_throughput

    console, log = make_console(), make_console(stderr=True)
    started = time.monotonic()
    if no_throughput and only_throughput:
        usage_error("--no-throughput and --only-throughput: nothing is left to measure")
    chosen, chosen_cases = selection.plan_on_one_target()
    catalogue = [] if no_catalogue or only_throughput else chosen_cases
    try:
        (waiting,) = find_cases([f"{catalogue_root()}/{_WAITING}"])
        (case,) = _reference(selection, reference)
        chosen, *others = _with_arguments([chosen, *_others(selection, chosen, _OTHERS)], selection.qemu_args)
        rivals = [chosen, *_with_arguments(_others(selection, chosen, _THROUGHPUT), selection.qemu_args)]
        check_programs([chosen])
    except (SelectionError, ProbeError, QemuError) as error:
        usage_error(str(error))
    except ValueError:
        usage_error(f"--reference {reference}: expected one case")
    document = _heading(chosen)
    try:
        if not only_throughput:
            with log.status("measuring") as status:
                bench = measure(case, chosen, others, waiting, catalogue, samples, lambda text: status.update(text))
            _show(console, bench)
            document |= _document(bench, samples)
        if not no_throughput:
            with log.status("measuring") as status:
                figures = measure_throughput(rivals, lambda text: status.update(text))
            for table in throughput_tables(figures):
                console.print(table, soft_wrap=False)
            document["throughput"] = throughput_document(figures)
    except (BenchError, BareQemuError, QemuError, WorkerPoolError, ThroughputError) as error:
        log.print(Text(f"trapgate bench: {error}", "bold magenta"), soft_wrap=True)
        raise typer.Exit(3) from None
    document["seconds"] = round(time.monotonic() - started, 1)
    try:
        write_atomic(output, (json.dumps(document, indent=2) + "\n").encode())
    except OSError as error:
        log.print(Text(f"--json {output}: {error.strerror}", "bold magenta"), soft_wrap=True)
        raise typer.Exit(3) from None


def _reference(selection: Selection, name: str) -> list[Case]:
    """The case that is run alone: of the folders of --probes or of the catalogue."""
    if name == _REFERENCE:  # what is on disk here must not replace it
        return find_cases([f"{catalogue_root()}/{name}"])
    return find_cases([name], selection.probes or (), catalogue=True)


def _others(selection: Selection, chosen: Target, names: Sequence[str]) -> list[Target]:
    """The targets that the chosen one is compared with."""
    return find_targets([name for name in names if name != chosen.name], selection.target_file, selection.program)


def _with_arguments(targets: Sequence[Target], qemu_args: tuple[str, ...]) -> list[Target]:
    return [replace(target, extra=(*target.extra, *qemu_args)) for target in targets]


def _show(console: Console, bench: Bench) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=f"{bench.probe} on {bench.target}")
    table.add_column("key")
    table.add_column("what")
    table.add_column("median", justify="right")
    table.add_column("goal", justify="right")
    for key, what, goal in _ROWS:
        if key not in bench.figures:
            continue
        value = bench.figures[key]
        met = goal is None or (value <= goal[1] if goal[0] == "<=" else value >= goal[1])
        shown = "" if goal is None else f"{goal[0]} {goal[1]:g}"
        table.add_row(key, what, Text(_number(value), "" if met else "bold yellow"), shown)
    groups = (("parts_ms", bench.parts_ms), ("steps_ms", bench.steps_ms), ("assembler_ms", bench.assembler_ms))
    for title, figures in groups:
        table.add_section()
        for name, value in figures.items():
            table.add_row(title, name, _number(value), "")
    table.add_section()
    for name, figures in bench.targets.items():
        text = "  ".join(f"{key} {_number(value)}" for key, value in figures.items()) or "this host cannot run it"
        table.add_row(name, text, "", "")
    for cases, seconds in bench.scaling:
        table.add_row("scaling", f"{cases} cases: {1e3 * seconds / max(cases, 1):.1f} ms each", f"{seconds:.2f} s", "")
    console.print(table, soft_wrap=False)


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _heading(target: Target) -> dict[str, Any]:
    return {
        "schema": 1,
        "trapgate": version(),
        "qemu": qemu_version(str(target.find_binary())),
        "host": host_facts(),
        "target": target.name,
    }


def _document(bench: Bench, samples: int) -> dict[str, Any]:
    def rounded(figures: dict[str, float]) -> dict[str, float]:
        return {name: round(value, 4) for name, value in figures.items()}

    return {
        "probe": bench.probe,
        "samples": samples,
        **rounded(bench.figures),
        "parts_ms": rounded(bench.parts_ms),
        "steps_ms": rounded(bench.steps_ms),
        "assembler_ms": rounded(bench.assembler_ms),
        "targets": {name: rounded(figures) for name, figures in bench.targets.items()},
        "scaling": [{"cases": cases, "seconds": round(seconds, 3)} for cases, seconds in bench.scaling],
    }
