"""`trapgate report`: the HTML report of the last run, or of a JSON report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.commands.planning import usage_error
from harness.report.terminal import make_console

__all__ = ["report_command"]


def report_command(
    result: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULT.json]",
            help="A file of `trapgate run --json` or `matrix --json`. Default: the last run in this folder.",
        ),
    ] = None,
    html_file: Annotated[Path, typer.Option("--html", metavar="FILE", help="The file to write.")] = Path(
        "trapgate-report.html"
    ),
) -> None:
    """Write the HTML report of the last `trapgate run` in this folder, or of a JSON report (docs/report.md).

    Exit codes: 0 it was written, whatever the verdicts are; 2 the report cannot be read; 3 the file cannot be written.
    """
    from harness.report.html.html_file import read_report_file, write_page  # loads jinja2: not for --help
    from harness.report.html.model import ReportFileError, read_report
    from harness.report.last_run import load_last_run

    if result is None:
        document = load_last_run()
        if document is None:
            usage_error(
                "there is no last run of this folder. To fix: call trapgate run here, or name a file of "
                "trapgate run --json"
            )
        content = read_report(document)
    else:
        try:
            content = read_report_file(result)
        except ReportFileError as error:
            usage_error(f"{result}: {error}")
    try:
        write_page(html_file, content)
    except OSError as error:
        make_console(stderr=True).print(
            Text(f"--html {html_file}: {error.strerror}; it was not written", "bold magenta"), soft_wrap=True
        )
        raise typer.Exit(3) from None
    make_console().print(Text(f"{html_file}: {content.title}"), soft_wrap=True)
