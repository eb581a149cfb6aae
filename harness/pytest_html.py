"""`pytest --trapgate-html`: the HTML report of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.pytest_items import RecordListener, report_facts
from harness.report.atomic import check_writable
from harness.report.collected import CollectedReport
from harness.report.html.html_file import write_html

__all__ = ["HtmlReport"]


class HtmlReport(RecordListener):
    """Takes records, and writes the page at the end. Raises pytest.UsageError where that will not be possible."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        try:
            check_writable(path)
        except OSError as error:
            raise pytest.UsageError(f"--trapgate-html {path}: {error.strerror}") from error
        self._path = path
        self._collected = CollectedReport(facts=report_facts(config))
        super().__init__(self._collected)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the page."""
        try:
            write_html(self._path, self._collected.document(self.cause(session, exitstatus)))
        except OSError as error:
            raise pytest.UsageError(f"--trapgate-html {self._path}: {error.strerror}") from error
