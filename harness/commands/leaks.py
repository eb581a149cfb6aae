"""`trapgate leaks`: find state that one guest leaves to the next guest of a warm machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.commands.options import TargetSelection, selecting
from harness.commands.planning import check_programs, usage_error
from harness.qemu.devices import DEVICES
from harness.qemu.errors import QemuError
from harness.report.atomic import write_atomic
from harness.report.json_file import SCHEMA
from harness.report.terminal import make_console

__all__ = ["leaks_command"]


@selecting
def leaks_command(
    selection: TargetSelection,
    needs: Annotated[
        list[str] | None,
        typer.Option(
            "--needs",
            metavar="DEVICE",
            help="Also a machine with this device, or with devices in a comma list (repeatable). 'all': each alone.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="Only attacks of this kind, such as port, MSR or BAR (repeatable)."
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the findings as JSON (docs/json.md)."),
    ] = None,
) -> None:
    """Run hostile guests that write everything they can reach, and compare the next guest's machine with a fresh one.

    Exit codes: 0 no leak; 1 a leak: state reaches the next guest; 2 wrong usage; 3 no machine could be compared.
    """
    from harness.campaign.leaks import find_leaks  # loads the assembler and QMP: not for --help
    from harness.commands.leaks_report import leaks_document, print_leaks
    from harness.qemu.vmstate import VmStateError

    try:
        targets = selection.find_targets()
        check_programs(targets)
    except QemuError as error:
        usage_error(str(error))
    groups: list[tuple[str, ...]] = [()]
    for text in needs or ():
        groups += [(name,) for name in DEVICES] if text == "all" else [tuple(text.split(","))]
    console = make_console()
    results, problems = [], []
    for chosen in targets:
        for devices in groups:
            name = " + ".join((chosen.name, *devices))
            kinds = tuple(kind or ()) or (("BAR", "PCI configuration", "VT-d") if devices else ())
            with console.status(name) as status:
                try:
                    found = find_leaks(chosen, devices, kinds=kinds, report=lambda text: status.update(Text(text)))
                except (VmStateError, QemuError) as error:
                    problems.append(f"{name}: not compared: {error}")
                    console.print(Text(problems[-1], "yellow"), soft_wrap=True)
                    continue
            results.append((name, found))
            print_leaks(name, found)
    if json_file is not None:
        document = [leaks_document(name, found) for name, found in results]
        text = json.dumps({"schema": SCHEMA, "machines": document, "not_compared": problems}, indent=1) + "\n"
        try:
            write_atomic(json_file, text.encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    if any(found.leaks for _, found in results):
        raise typer.Exit(1)
    if not results:
        raise typer.Exit(3)
