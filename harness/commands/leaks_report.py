"""The output of `trapgate leaks`, and its JSON document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.campaign.leaks import UNOBSERVABLE, Leaks, Leftover
from harness.qemu.features import features
from harness.report.terminal import make_console

__all__ = ["leaks_document", "print_leaks"]


def print_leaks(name: str, found: Leaks) -> None:
    """Print what survives a reset of one machine."""
    console = make_console()
    version = features(str(found.config.target.find_binary())).version
    leaks = len({_family(finding.path) for finding in found.leaks})
    console.print(
        f"{name}, QEMU {version}: {found.attacks} guests, {found.fields} fields compared, "
        f"{len(found.varying)} vary between harmless runs, {len(found.broken)} guests did not end in order"
    )
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("survives a reset", overflow="fold", ratio=3)
    table.add_column("fields", justify="right")
    table.add_column("consequence", overflow="fold", ratio=3)
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


def leaks_document(name: str, found: Leaks) -> dict[str, Any]:
    """The entry of docs/json.md for one machine."""
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
