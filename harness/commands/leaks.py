"""`trapgate leaks`: find by machine what one guest leaves to the next guest of a warm machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from harness.campaign.leaks import UNOBSERVABLE, Leaks, Leftover, find_leaks
from harness.commands.options import TargetSelection, selecting
from harness.commands.planning import check_programs, usage_error
from harness.qemu.devices import DEVICES
from harness.qemu.errors import QemuError
from harness.qemu.features import features
from harness.qemu.vmstate import VmStateError
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
        typer.Option("--kind", metavar="KIND", help="Only attacks of this kind, as port, MSR, BAR (repeatable)."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write what was found as JSON (docs/json.md)."),
    ] = None,
) -> None:
    """Let hostile guests write all they can reach, and compare the next guest's machine with a fresh one.

    Exit codes: 0 nothing reaches the next guest; 1 something does; 2 wrong usage; 3 a machine could not be compared.
    """
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
                    found = find_leaks(chosen, devices, kinds=kinds, tell=lambda text: status.update(Text(text)))
                except (VmStateError, QemuError) as error:
                    problems.append(f"{name}: not compared: {error}")
                    console.print(Text(problems[-1], "yellow"), soft_wrap=True)
                    continue
            results.append((name, found))
            _print(name, found)
    if json_file is not None:
        document = [_document(name, found) for name, found in results]
        text = json.dumps({"schema": SCHEMA, "machines": document, "not_compared": problems}, indent=1) + "\n"
        try:
            write_atomic(json_file, text.encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    if any(found.leaks for _, found in results):
        raise typer.Exit(1)
    if not results:
        raise typer.Exit(3)


def _print(name: str, found: Leaks) -> None:
    console = make_console()
    version = features(str(found.config.target.find_binary())).version
    leaks = len({_family(finding.path) for finding in found.leaks})
    console.print(
        f"{name}, QEMU {version}: {found.attacks} guests, {found.fields} fields compared, "
        f"{len(found.varying)} vary by themselves, {len(found.broken)} guests did not end in order"
    )
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("survives a reset", overflow="fold", ratio=3)
    table.add_column("fields", justify="right")
    table.add_column("what is done", overflow="fold", ratio=3)
    for family, findings in _families(found.findings):
        leak = next((finding for finding in findings if finding.leak), None)
        done = (
            Text(f"reaches the next guest: {leak.attack}", "bold red")
            if leak
            else Text(f"the machine serves no further run: {findings[0].reason}")
        )
        table.add_row(Text(family), str(len({finding.path for finding in findings})), done)
    if found.findings:
        console.print(table)
    console.print(Text(f"{leaks} leaks" if leaks else "no leak", "bold red" if leaks else "green"))


def _family(path: str) -> str:
    """The path without the numbers of its elements."""
    return re.sub(r"\+0x[0-9a-f]+$", "", re.sub(r"\[\d+\]", "[…]", path))


def _families(findings: Iterable[Leftover]) -> list[tuple[str, list[Leftover]]]:
    families: dict[str, list[Leftover]] = {}
    for finding in findings:
        families.setdefault(_family(finding.path), []).append(finding)
    return sorted(families.items())


def _document(name: str, found: Leaks) -> dict[str, Any]:
    return {
        "machine": name,
        "version": features(str(found.config.target.find_binary())).version,
        "guests": found.attacks,
        "fields": found.fields,
        "varying": sorted(found.varying),
        "unobservable": {pattern.pattern: why for pattern, why in UNOBSERVABLE.items()},
        "not_in_order": found.broken,
        "findings": [
            {
                "field": finding.path,
                "fresh": None if finding.fresh is None else finding.fresh.hex(),
                "left": None if finding.left is None else finding.left.hex(),
                "guest": finding.attack,
                "retired": finding.reason,
                "leak": finding.leak,
            }
            for finding in found.findings
        ],
    }
