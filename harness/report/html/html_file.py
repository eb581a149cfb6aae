"""Reads a JSON report, writes the HTML report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.report.atomic import write_atomic
from harness.report.comparison import Change
from harness.report.host import version
from harness.report.html.model import ReportContent, ReportFileError, read_report
from harness.report.html.page import render_page
from harness.report.html.safe_text import visible

__all__ = ["read_report_file", "write_html", "write_page"]


def read_report_file(path: Path) -> ReportContent:
    """The content of a JSON report. Raises ReportFileError for a file that is not one, and where it cannot be read."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportFileError(f"{error.strerror}") from None
    except RecursionError:
        raise ReportFileError("its objects are nested too deeply") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of too many digits
        raise ReportFileError(f"it is not JSON: {error}") from None
    return read_report(document)


def write_page(path: Path, content: ReportContent, changes: Sequence[Change] | None = None, old: str = "") -> None:
    """Write the page of a report. `changes`: those since the report `old`. Raises OSError."""
    write_atomic(path, render_page(content, version(), changes, visible(old, 300)))


def write_html(path: Path, document: object) -> None:
    """Write the page of a report that docs/json.md describes. Raises OSError, ReportFileError."""
    write_page(path, read_report(document))
