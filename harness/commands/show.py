"""`trapgate show`: list the guest program of a probe by source lines."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from harness.commands.options import Selection, selecting
from harness.commands.planning import usage_error
from harness.probes.probe import Case
from harness.probes.probe_error import ProbeError
from harness.probes.probe_places import shown
from harness.report.terminal import make_console

if TYPE_CHECKING:
    from harness.assembly import ListingLine

__all__ = ["show_command"]

_BYTES_A_LINE = 8
_REGISTERS_AT = 70  # column of the names of registers


@selecting
def show_command(selection: Selection) -> None:
    """List the guest program of a probe: address, bytes and assembly below each line of its source.

    A comment names the registers at addresses, ports and MSR numbers.

    Exit codes: 0; 1 where the program cannot be assembled; 2 where the name is unknown or selects several probes.
    """
    if selection.whole:
        usage_error("show: expected the name of one probe, as `trapgate list` prints it")
    target, cases = selection.plan_on_one_target()
    if len({case.probe.id for case in cases}) > 1:
        listed = "\n".join(f"  {identity}" for identity in dict.fromkeys(case.probe.id for case in cases))
        usage_error(f"{' '.join(selection.names or ())!r} selects several probes. Expected: one of\n{listed}")
    from harness.assembly import AssemblyError
    from harness.run.execute import build

    case = cases[0]
    try:
        lines = build(case, target).lines
    except (AssemblyError, ProbeError) as error:
        make_console(stderr=True).print(Text(str(error), "red"), soft_wrap=True)
        raise typer.Exit(1) from error
    console = make_console()
    _heading(console, case, [other.label for other in cases])
    _listing(console, lines)


def _heading(console: Console, case: Case, labels: Sequence[str]) -> None:
    console.print(Text(case.id, "bold"), soft_wrap=True)
    console.print(Text(case.probe.rule))
    console.print(Text(case.probe.spec, "dim"))
    if len(labels) > 1:
        console.print(Text(f"the first of {len(labels)} cases: {', '.join(labels)}", "dim"))
    console.print()


def _listing(console: Console, lines: Sequence[ListingLine]) -> None:
    from harness.kernel.register_names import RegisterNames

    names = RegisterNames()
    for (file, number), group in groupby(lines, key=lambda line: (line.origin.file, line.origin.line)):
        source = linecache.getline(file, number).strip()
        where = Text(f"{shown(Path(file))}:{number}  ", "cyan")
        where.append(_coloured(source, "python" if file.endswith(".py") else "gas"))
        console.print(where, soft_wrap=True)
        for line in group:
            _statement(console, line, names.of(line))


def _statement(console: Console, line: ListingLine, registers: str) -> None:
    """One statement; a label or a directive without bytes has its address only."""
    chunks = [line.data[i : i + _BYTES_A_LINE] for i in range(0, len(line.data), _BYTES_A_LINE)] or [b""]
    for index, chunk in enumerate(chunks):
        text = Text(f"  {line.address + index * _BYTES_A_LINE:08x}  ", "dim")
        text.append(f"{chunk.hex(' '):<{3 * _BYTES_A_LINE}} ", "yellow")
        if index == 0:
            text.append(_coloured(line.text.strip(), "nasm"))
            if registers:
                text.append(" " * max(1, _REGISTERS_AT - len(text)) + f"; {registers}", "green")
        console.print(text, soft_wrap=True)


def _coloured(source: str, language: str) -> Text:
    text = Syntax("", language, theme="ansi_dark", background_color="default").highlight(source)
    text.rstrip()
    return text
