"""`trapgate doctor`: what this host can run, found by running it."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.one_line import one_line
from harness.qemu.devices import DEVICES
from harness.qemu.errors import QemuError, TargetError
from harness.qemu.features import Features, features, trial, unsupported
from harness.qemu.firmware import find_uefi
from harness.qemu.shape import Shape
from harness.qemu.target import Accelerator, MachineType, Target, load_targets

__all__ = ["doctor_command"]

_MACHINES: tuple[MachineType, ...] = ("q35", "pc", "microvm")
_ACCELERATORS: tuple[Accelerator, ...] = ("tcg", "kvm")
_PACKAGES = ("capstone", "keystone-engine", "pexpect", "pyelftools", "pytest", "qemu.qmp", "rich", "typer", "jinja2")
_PROGRAMS = {"setpriv": "ties QEMU's life to ours; from util-linux"}


def doctor_command(
    qemu: Annotated[list[Path] | None, typer.Option("--qemu", help="Another QEMU binary to look at.")] = None,
    targets: Annotated[Path | None, typer.Option("--targets", help="A TOML file with targets of your own.")] = None,
) -> None:
    """Tell what this host can do, by doing it; status 0 if at least one target works."""
    console = Console()
    try:
        known = load_targets(targets)
    except TargetError as error:
        Console(stderr=True).print(f"trapgate doctor: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    found = [has for program in _programs(known.values(), qemu or []) if (has := _report_program(console, program))]
    if found:
        _report_devices(console, found)
    working = _report_targets(console, list(known.values()))
    _report_host(console)
    if not working:
        console.print("\nNo target works on this host.", style="bold red")
        raise typer.Exit(1)


def _programs(targets: Iterable[Target], more: list[Path]) -> list[str]:
    found: dict[str, None] = {}
    names = ["qemu-system-x86_64", *(t.binary for t in targets if t.binary is not None)]
    for name in [*names, "qemu-10/qemu-system-x86_64", *map(str, more)]:
        path = shutil.which(name)
        if path is not None:
            found[path] = None
    return list(found)


def _sign(reason: str | None) -> Text:
    return Text("yes", style="green") if reason is None else Text(f"no: {reason}", style="yellow")


def _report_program(console: Console, program: str) -> Features | None:
    try:
        has = features(program)
    except (QemuError, OSError) as error:
        console.print(f"[bold]{program}[/]: [red]does not run[/]")
        console.print(f"  {error}", markup=False)
        return None
    console.print(f"[bold]{program}[/]: QEMU {has.version}" + ("" if has.sandbox else ", without seccomp sandbox"))
    table = Table(box=box.SIMPLE, show_header=True, pad_edge=False)
    table.add_column("runs a guest")
    for machine in _MACHINES:
        table.add_column(machine)
    for accelerator in _ACCELERATORS:
        table.add_row(accelerator, *(_trial(program, has, accelerator, machine) for machine in _MACHINES))
    console.print(table)
    return has


def _trial(program: str, has: Features, accelerator: Accelerator, machine: MachineType) -> Text:
    if machine not in has.machines:
        return Text("no such machine type", style="yellow")
    done = trial(program, accelerator, machine)
    return Text(f"yes, -cpu {done.cpu}", style="green") if done.reason is None else _sign(done.reason)


def _report_devices(console: Console, binaries: list[Features]) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("needs=[…]")
    for has in binaries:
        table.add_column(f"QEMU {has.version}")
    table.add_column("on")
    table.add_column("what it is", style="dim")
    for name, device in sorted(DEVICES.items()):
        lacking = [", ".join(kind for kind in device.types if kind not in has.types) for has in binaries]
        table.add_row(name, *(_sign(types or None) for types in lacking), ", ".join(device.platforms), device.summary)
    console.print(table)


def _report_targets(console: Console, targets: list[Target]) -> int:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("target", "works", "machine", "accelerator", "clock", "QEMU"):
        table.add_column(heading)
    working = 0
    for target in targets:
        try:
            reason = unsupported(Shape(target))
            program = str(target.find_binary())
            if reason is None:
                reason = trial(program, target.accelerator, target.machine).reason
        except (QemuError, OSError) as error:
            reason, program = one_line(str(error)), target.binary or "-"
        working += reason is None
        clock = f"icount, 2^{target.icount_shift} ns" if target.deterministic else "real time"
        table.add_row(target.name, _sign(reason), target.machine, target.accelerator, clock, program)
    console.print(table)
    return working


def _report_host(console: Console) -> None:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column()
    uefi = find_uefi()
    table.add_row("UEFI firmware", str(uefi.code) if uefi else Text("none: install ovmf", style="yellow"))
    for program, purpose in _PROGRAMS.items():
        path = shutil.which(program)
        table.add_row(program, path or Text(f"missing: it {purpose}", style="red"))
    for package in _PACKAGES:
        try:
            version = Text(metadata.version(package))
        except metadata.PackageNotFoundError:
            version = Text("missing", style="red")
        table.add_row(package, version)
    table.add_row("Python", platform.python_version())
    table.add_row("kernel", platform.release())
    console.print(table)
