"""`trapgate doctor`: what this host can run, found by running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import TargetSelection, selecting
from harness.commands.planning import usage_error
from harness.qemu.errors import TargetError
from harness.report.atomic import write_atomic
from harness.report.terminal import make_console

__all__ = ["doctor_command"]


@selecting
def doctor_command(
    selection: TargetSelection,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write it as JSON (docs/json.md); - is stdout."),
    ] = None,
) -> None:
    """Report what this host can run, by running it: every target (or those of --target) and every QEMU.

    With --qemu, that QEMU alone and the targets on it. Else the QEMU of each target, the one in PATH, and those that
    `make qemu-all` put into qemus/.

    Exit codes: 0; 1 where no target works; 2 for wrong usage.
    """
    from harness.commands.doctor_tables import show_defaults, show_survey
    from harness.commands.host_survey import survey  # loads QMP: not for --help

    try:
        targets = selection.find_targets(("all",))
    except TargetError as error:
        usage_error(str(error))
    found = survey(targets, selection.program)
    if json_file is not None:
        text = json.dumps(found.document(), indent=2) + "\n"
        if str(json_file) == "-":
            print(text, end="")
            raise typer.Exit(0 if found.works else 1)
        try:
            write_atomic(json_file, text.encode())
        except OSError as error:
            usage_error(f"--json {json_file}: {error.strerror}")
    show_survey(make_console(), found)
    show_defaults(make_console(), selection.project)
    if not found.works:
        raise typer.Exit(1)
