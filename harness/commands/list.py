"""`trapgate list`: the probes and the rule of each."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from harness.commands.coverage import show_coverage
from harness.commands.options import Selection, selecting
from harness.commands.planning import find_cases, usage_error
from harness.probes.probe import Case, Probe
from harness.probes.probe_error import ProbeError
from harness.probes.selection import SelectionError
from harness.report.atomic import write_atomic
from harness.report.json_file import SCHEMA
from harness.report.terminal import make_console
from harness.report.text import plural

__all__ = ["list_command"]


@selecting
def list_command(
    selection: Selection,
    area: Annotated[
        list[str] | None, typer.Option("--area", metavar="AREA", help="Only this area (repeatable).")
    ] = None,
    areas: Annotated[bool, typer.Option("--areas", help="Only the areas, with their counts.")] = False,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="Compare the coverage bullets of the catalogue with its probes."),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the list as JSON (docs/json.md); - is stdout."),
    ] = None,
) -> None:
    """List probes by area: id, rule, cited source, cases. With -k only those that a target would run.

    Exit codes: 0, or 2 where a name is unknown or a probe file cannot be loaded. With --coverage 1 where a bullet has
    no probe or is defined twice, or a probe names an unknown one.
    """
    if coverage:
        _coverage(selection, [*(selection.names or ()), *(area or ())], areas, json_file)
        return
    cases = list(selection.plan().cases)
    if area:
        unknown = set(area) - {case.probe.area for case in cases}
        if unknown:
            known = ", ".join(sorted({case.probe.area for case in cases}))
            usage_error(f"no area is named {', '.join(sorted(unknown))}. Known: {known}")
        cases = [case for case in cases if case.probe.area in area]
    families = _families(cases)
    if json_file is not None:
        document = {"schema": SCHEMA, "probes": [_entry(found, members) for found, members in families]}
        text = json.dumps(document, indent=2) + "\n"
        if str(json_file) == "-":
            print(text, end="")
            return
        try:
            write_atomic(json_file, text.encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    console = make_console()
    _print_areas(console, families) if areas else _print(console, families)


def _coverage(selection: Selection, areas: list[str], totals_only: bool, json_file: Path | None) -> None:
    if selection.narrowing:
        usage_error(f"--coverage: is about the whole catalogue. To fix: name areas, without {selection.narrowing[0]}")
    try:
        cases = find_cases(())
    except (SelectionError, ProbeError) as error:
        usage_error(str(error))
    raise typer.Exit(show_coverage(cases, areas, totals_only=totals_only, json_file=json_file))


def _families(cases: list[Case]) -> list[tuple[Probe, list[Case]]]:
    """The chosen cases by their probe, in order, areas together."""
    members: dict[str, list[Case]] = {}
    for case in cases:
        members.setdefault(case.probe.id, []).append(case)
    families = [(chosen[0].probe, chosen) for chosen in members.values()]
    return sorted(families, key=lambda family: family[0].area)


def _entry(found: Probe, members: list[Case]) -> dict[str, Any]:
    return {
        "id": found.id,
        "area": found.area,
        "rule": found.rule,
        "citation": found.spec,
        "cases": [case.id for case in members],
        "needs": list(found.needs),
        "cpus": found.cpus,
        "covers": list(found.covers),
        "line": found.line,
    }


def _print_areas(console: Console, families: list[tuple[Probe, list[Case]]]) -> None:
    grouped = {area: list(group) for area, group in groupby(families, key=lambda family: family[0].area)}
    width = max(len(area) for area in grouped)
    for area, group in grouped.items():
        number = sum(len(members) for _, members in group)
        console.print(f"{area:<{width}}  {plural(len(group), 'probe')}, {plural(number, 'case')}", soft_wrap=True)


def _print(console: Console, families: list[tuple[Probe, list[Case]]]) -> None:
    for area, group in groupby(families, key=lambda family: family[0].area):
        console.print(Text(area, "bold"))
        for found, members in group:
            console.print(Text(f"  {found.id}", "cyan"), soft_wrap=True)
            labels = [case.label for case in members if case.label]
            cases = "cases: " + ", ".join(labels) if labels else ""
            for text, style in ((found.rule, ""), (found.spec, "dim"), (cases, "dim")):
                for line in wrap(text, max(40, console.width - 4)):
                    console.print(Text(f"    {line}", style), soft_wrap=True)
        console.print()
    total = sum(len(members) for _, members in families)
    areas = len({found.area for found, _ in families})
    console.print(
        f"{plural(len(families), 'probe')}, {plural(total, 'case')}, in {plural(areas, 'area')}", soft_wrap=True
    )
