"""The tables of `trapgate doctor`."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.commands.host_survey import MACHINES, PROGRAMS, GuestTrial, QemuState, Survey, TargetState
from harness.probes.probe_places import shown
from harness.probes.project_settings import FILE, OPTIONS, TABLE, ProjectSettings
from harness.qemu.devices import DEVICES
from harness.report.documents import document
from harness.run.host_faults import REFERENCE

__all__ = ["show_defaults", "show_survey"]

_SOFTWARE = "without hardware virtualisation"


def show_survey(console: Console, found: Survey) -> None:
    """Print everything that was found."""
    for program in found.qemus:
        _show_program(console, program)
    if any(not program.error for program in found.qemus):
        _show_devices(console, [program for program in found.qemus if not program.error])
    _show_targets(console, found.targets)
    _show_host(console, found)
    if not found.works:
        console.print("\nNo target works on this host.", style="bold red")


def show_defaults(console: Console, project: ProjectSettings) -> None:
    """Print the defaults of the options, with the file that gives them."""
    if project.file is None:
        console.print(
            f"No defaults: no {FILE} in this folder or above has the table {TABLE}.", style="dim", soft_wrap=True
        )
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("default of", "value", "from"):
        table.add_column(heading, overflow="fold")
    for key, value in project.given.items():
        table.add_row(OPTIONS[key], Text(value), Text(shown(project.file)))
    console.print(table)


def _yes(kvm: str, cpu: str = "") -> Text:
    parts = ["yes", *[_SOFTWARE] * (kvm == "software")]
    text = ", ".join(parts) + (f": -cpu {cpu}" if cpu else "")
    return Text(text, "yellow" if kvm == "software" else "green")


def _no(reason: str) -> Text:
    return Text(f"no: {reason}", "yellow")


def _show_program(console: Console, found: QemuState) -> None:
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
    rows: dict[str, list[GuestTrial]] = {}
    for done in found.runs:
        rows.setdefault(done.accelerator, []).append(done)
    for accelerator, trials in rows.items():
        table.add_row(accelerator, *(_yes(t.kvm, t.cpu) if t.works else _no(t.reason) for t in trials))
    console.print(table)


def _show_devices(console: Console, programs: Sequence[QemuState]) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("needs=[…]")
    for program in programs:
        table.add_column(f"QEMU {program.version}")
    table.add_column("on")
    table.add_column("device", style="dim")
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
        table.add_row(program, path or Text(f"missing: {PROGRAMS[program]}", "red"))
    for package, number in found.packages.items():
        table.add_row(package, number or Text("missing", "red"))
    table.add_row("kernel", platform.release())
    table.add_row("cache", Text(f"off: {found.cache_unused}", "yellow") if found.cache_unused else found.cache)
    console.print(table)


def _kvm(kind: str) -> Text:
    if kind == "software":
        why = "/proc/cpuinfo has neither vmx nor svm: guests execute in software, and their failures prove little about"
        return Text(f"{_SOFTWARE}: {why} KVM elsewhere. See {document(REFERENCE)}", "yellow")
    return Text("with hardware virtualisation", "green") if kind else Text("none: there is no /dev/kvm", "yellow")
