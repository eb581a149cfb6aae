"""The command `trapgate`."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from harness.commands.asm import asm_command
from harness.commands.bench import bench_command
from harness.commands.compare import compare_command
from harness.commands.completion import end_word_at_colons
from harness.commands.doctor import doctor_command
from harness.commands.images import images_command
from harness.commands.leaks import leaks_command
from harness.commands.list import list_command
from harness.commands.matrix import matrix_command
from harness.commands.new import new_command
from harness.commands.report import report_command
from harness.commands.run import EXIT_CODES, run_command
from harness.commands.show import show_command
from harness.commands.vacuity import vacuity_command
from harness.report.host import version
from harness.report.streams import guard_streams

__all__ = ["app", "main"]

app = typer.Typer(
    name="trapgate",
    help="Boot tiny x86_64 guests on real QEMU and check every interrupt against the manuals.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        print(f"trapgate {version()}")
        raise typer.Exit


@app.callback()
def _trapgate(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command("list")(list_command)
app.command("new")(new_command)
app.command("run", epilog=EXIT_CODES)(run_command)
app.command("report")(report_command)
app.command("compare")(compare_command)
app.command("show")(show_command)
app.command("images")(images_command)
app.command("asm")(asm_command)
app.command("doctor")(doctor_command)
app.command("vacuity")(vacuity_command)
app.command("leaks")(leaks_command)
app.command("bench")(bench_command)
app.command("matrix")(matrix_command)


def main() -> None:
    """Entry point: runs the command and exits with its code; 3 where Trapgate itself breaks, or its output is lost."""
    end_word_at_colons(os.environ)
    output, errors = guard_streams()
    code = _run()
    sys.exit(errors.settle(output.settle(code)))


def _run() -> int:
    try:
        app(prog_name="trapgate")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:  # code 1 would mean that a probe failed
        traceback.print_exc()
        print("trapgate: an internal error, shown above. Please report it with these lines", file=sys.stderr)
        return 3
    return 0
