"""`trapgate doctor`: what this host can run, found by running it."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.commands.host_survey import MACHINES, PROGRAMS, Program, Survey, TargetState, Trial, survey
from harness.commands.planning import usage_error
from harness.qemu.devices import DEVICES
from harness.qemu.errors import TargetError
from harness.qemu.target import load_targets
from harness.report.atomic import write_atomic
from harness.report.documents import document
from harness.report.terminal import make_console
from harness.run.host_faults import REFERENCE

__all__ = ["doctor_command"]

_SOFTWARE = "without hardware virtualisation"


def doctor_command(
    qemu: Annotated[
        list[Path] | None, typer.Option("--qemu", metavar="PATH", help="One more QEMU program to try (repeatable).")
    ] = None,
    target_file: Annotated[
        Path | None,
        typer.Option(
            "--target-file",
            "--targets",
            metavar="TOML",
            help="More targets, one table each (docs/ci.md).",
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write it as JSON (docs/json.md); - is stdout."),
    ] = None,
) -> None:
    """Report what this host can do, by doing it.

    Exit codes: 0; 1 where no target works; 2 for wrong usage.
    """
    try:
        known = load_targets(target_file)
    except TargetError as error:
        usage_error(str(error))
    found = survey(known.values(), qemu or ())
    if json_file is not None:
        text = json.dumps(found.document(), indent=2) + "\n"
        if str(json_file) == "-":
            print(text, end="")
            raise typer.Exit(0 if found.works else 1)
        try:
            write_atomic(json_file, text.encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    console = make_console()
    for program in found.qemus:
        _show_program(console, program)
    if any(not program.error for program in found.qemus):
        _show_devices(console, [program for program in found.qemus if not program.error])
    _show_targets(console, found.targets)
    _show_host(console, found)
    if not found.works:
        console.print("\nNo target works on this host.", style="bold red")
        raise typer.Exit(1)


def _yes(kvm: str, cpu: str = "") -> Text:
    parts = ["yes", *[_SOFTWARE] * (kvm == "software")]
    text = ", ".join(parts) + (f": -cpu {cpu}" if cpu else "")
    return Text(text, "yellow" if kvm == "software" else "green")


def _no(reason: str) -> Text:
    return Text(f"no: {reason}", "yellow")


def _show_program(console: Console, found: Program) -> None:
    if found.error:
        console.print(Text.assemble((found.program, "bold"), ": ", ("does not run", "red")), soft_wrap=True)
        console.print(Text(f"  {found.error}"), soft_wrap=True)
        return
    sandbox = "" if found.sandbox else ", without seccomp sandbox"
    console.print(Text.assemble((found.program, "bold"), f": QEMU {found.version}{sandbox}"), soft_wrap=True)
    table = Table(box=box.SIMPLE, show_header=True, pad_edge=False)
    table.add_column("runs a guest")
    for machine in MACHINES:
        table.add_column(machine, overflow="fold")
    rows: dict[str, list[Trial]] = {}
    for done in found.runs:
        rows.setdefault(done.accelerator, []).append(done)
    for accelerator, trials in rows.items():
        table.add_row(accelerator, *(_yes(t.kvm, t.cpu) if t.works else _no(t.reason) for t in trials))
    console.print(table)


def _show_devices(console: Console, programs: Sequence[Program]) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("needs=[…]")
    for program in programs:
        table.add_column(f"QEMU {program.version}")
    table.add_column("on")
    table.add_column("what it is", style="dim")
    for name, device in sorted(DEVICES.items()):
        lacking = [", ".join((program.lacks or {}).get(name, ())) for program in programs]
        cells = [_no(types) if types else _yes("") for types in lacking]
        table.add_row(name, *cells, ", ".join(sorted(device.platforms)), device.summary)
    console.print(table)


def _show_targets(console: Console, targets: Sequence[TargetState]) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("target", "works", "machine", "accelerator", "clock", "QEMU"):
        table.add_column(heading, overflow="fold")
    for target in targets:
        works = _yes(target.kvm) if target.works else _no(target.reason)
        table.add_row(target.name, works, target.machine, target.accelerator, target.clock, target.qemu or "-")
    console.print(table)


def _show_host(console: Console, found: Survey) -> None:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("KVM", _kvm(found.kvm))
    table.add_row("UEFI firmware", found.uefi or Text("none: install ovmf", "yellow"))
    for program, path in found.programs.items():
        table.add_row(program, path or Text(f"missing: it {PROGRAMS[program]}", "red"))
    for package, number in found.packages.items():
        table.add_row(package, number or Text("missing", "red"))
    table.add_row("kernel", platform.release())
    table.add_row("cache", Text(f"off: {found.cache_unused}", "yellow") if found.cache_unused else found.cache)
    console.print(table)


def _kvm(kind: str) -> Text:
    if kind == "software":
        says = (
            "/proc/cpuinfo has neither vmx nor svm: guests execute in software, and their failures prove little about"
        )
        return Text(f"{_SOFTWARE}: {says} KVM elsewhere. See {document(REFERENCE)}", "yellow")
    return Text("with hardware virtualisation", "green") if kind else Text("none: there is no /dev/kvm", "yellow")
