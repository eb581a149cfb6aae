"""`trapgate list --coverage`: the catalogue's bullets with the probes that cover them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.commands.planning import usage_error
from harness.probes.coverage import Coverage, CoverageAnswer, CoverageError, State, coverage_root, load_bullets, measure
from harness.probes.probe import Case
from harness.report.atomic import write_atomic
from harness.report.json_file import SCHEMA
from harness.report.terminal import make_console
from harness.report.text import plural

__all__ = ["show_coverage"]

_STYLES = {State.COVERED: "green", State.UNSUPPORTED: "yellow", State.MISSING: "bold red"}


def show_coverage(cases: Iterable[Case], areas: Sequence[str], *, totals_only: bool, json_file: Path | None) -> int:
    """Print the coverage of the areas (all without any), or write it as JSON; returns the exit code, 0 or 1."""
    try:
        coverage = measure(load_bullets(coverage_root()), cases, areas)
    except CoverageError as error:
        usage_error(str(error))
    status = 1 if coverage.problems else 0
    if json_file is not None:
        text = json.dumps(_document(coverage), indent=2, ensure_ascii=False) + "\n"
        if str(json_file) == "-":
            print(text, end="")
            return status
        try:
            write_atomic(json_file, text.encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    console = make_console()
    if not totals_only:
        for area, answers in groupby(coverage.answers, key=lambda answer: answer.bullet.area):
            _print_area(console, area, list(answers))
    console.print(_totals(coverage))
    for problem in coverage.problems:
        console.print(Text(problem, "red"), soft_wrap=True)
    console.print(_headline(coverage), soft_wrap=True)
    return status


def _print_area(console: Console, area: str, answers: Sequence[CoverageAnswer]) -> None:
    table = Table(title=Text(area, "bold"), title_justify="left", show_edge=False, pad_edge=False, expand=True)
    # ids are never cut, so that they can be pasted; the text gets the rest of the width
    table.add_column("bullet", no_wrap=True, min_width=max(len(answer.bullet.id) for answer in answers))
    table.add_column("what it states", overflow="fold", ratio=1)
    table.add_column("answered by", overflow="fold", max_width=18)
    for answer in answers:
        bullet = answer.bullet
        text = Text(bullet.text)
        if answer.state is State.UNSUPPORTED:
            text.append(f"\nunsupported: {bullet.unsupported}", "yellow")
        table.add_row(Text(bullet.id, "cyan"), text, _verdict(answer))
    console.print(table)
    console.print()


def _verdict(answer: CoverageAnswer) -> Text:
    if answer.state is State.COVERED:
        return Text(
            f"{plural(len(answer.probes), 'probe')}, {plural(len(answer.cases), 'case')}", _STYLES[answer.state]
        )
    return Text("MISSING" if answer.state is State.MISSING else "unsupported", _STYLES[answer.state])


def _totals(coverage: Coverage) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("area")
    for name in ("bullets", *State, "probes", "cases"):
        table.add_column(name, justify="right")
    for area in coverage.areas:
        table.add_row(area, *_numbers([answer for answer in coverage.answers if answer.bullet.area == area]))
    if len(coverage.areas) > 1:
        table.add_section()
        table.add_row("all", *_numbers(coverage.answers))
    return table


def _numbers(answers: Sequence[CoverageAnswer]) -> list[Text]:
    states = Counter(answer.state for answer in answers)
    probes = {probe for answer in answers for probe in answer.probes}
    cases = {case.id for answer in answers for case in answer.cases}
    return [
        Text(str(len(answers))),
        *(Text(str(states[state]), _STYLES[state] if states[state] else "dim") for state in State),
        Text(str(len(probes))),
        Text(str(len(cases))),
    ]


def _headline(coverage: Coverage) -> Text:
    number = len(coverage.problems)
    if number:
        return Text(f"{plural(number, 'problem')}, in {plural(len(coverage.answers), 'bullet')}", "bold red")
    return Text(f"{plural(len(coverage.answers), 'bullet')}, each covered or explained", "bold green")


def _document(coverage: Coverage) -> dict[str, Any]:
    """The fields are documented in docs/coverage/README.md."""
    states = Counter(answer.state for answer in coverage.answers)
    return {
        "schema": SCHEMA,
        "counts": {str(state): states[state] for state in State},
        "problems": list(coverage.problems),
        "bullets": [
            {
                "id": answer.bullet.id,
                "area": answer.bullet.area,
                "text": answer.bullet.text,
                "citation": answer.bullet.citation,
                "state": str(answer.state),
                "unsupported": answer.bullet.unsupported,
                "probes": list(answer.probes),
                "cases": [case.id for case in answer.cases],
            }
            for answer in coverage.answers
        ],
    }
