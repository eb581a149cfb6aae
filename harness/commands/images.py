"""`trapgate images`: probes as files to boot by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.commands.options import Selection, selecting
from harness.commands.planning import usage_error
from harness.probes.probe import Case
from harness.probes.probe_error import ProbeError
from harness.probes.selection import SelectionError

__all__ = ["images_command"]


@selecting
def images_command(
    selection: Selection,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The folder for the files.")] = Path("images"),
) -> None:
    """Write the ROM and, for each probe, a multiboot ELF, a PVH ELF, the ROM's staging area and a listing."""
    from harness.image.files import write_image, write_rom  # loads the assembler: not for --help
    from harness.qemu.errors import QemuError
    from harness.run.build import build

    try:
        board, cases = selection.plan_on_one_target()
        chosen = _one_of_each_file(cases) if selection.whole else cases
        console = Console(soft_wrap=True, highlight=False)
        for index, case in enumerate(chosen):
            built = build(case, board)
            if not index:
                console.print(f"{write_rom(folder, built.image)}")
            files = write_image(folder, _file_name(case), built.image, cpus=case.probe.cpus)
            console.print(f"{files.elf}  [dim]{case.id}[/dim]")
    except (SelectionError, ProbeError, QemuError) as error:
        usage_error(str(error))
    except OSError as error:
        usage_error(f"cannot write to {folder}: {error.strerror}")


def _one_of_each_file(cases: list[Case]) -> list[Case]:
    """The first case of each file: enough to try every feature of the board by hand."""
    first: dict[str, Case] = {}
    for case in cases:
        first.setdefault(case.probe.relative, case)
    return list(first.values())


def _file_name(case: Case) -> str:
    """`timers-hpet-one_shot_fires_once-pin20`."""
    stem = case.probe.relative.removesuffix(".py").replace("/", "-")
    label = f"-{case.label}" if case.label else ""
    return re.sub(r"[^\w.+-]", "_", f"{stem}-{case.probe.name}{label}")
