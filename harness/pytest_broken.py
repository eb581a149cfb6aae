"""A probe file that cannot be loaded, as an item of pytest: an error in the reports, while the other files run."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from harness.probes.loader import LoadError
from harness.qemu.target import Target
from harness.report.text import printable
from harness.run.unloaded import broken_records

__all__ = ["BrokenFileItem", "NotLoadedError"]


class NotLoadedError(Exception):
    """The file of the item cannot be loaded."""


class BrokenFileItem(pytest.Item):
    """Represents all probes of the file. No expression deselects it: its probes are not known."""

    trapgate_broken = True  # for the plugin, which does not import this module

    def __init__(self, *, error: LoadError, target: Target, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._error = error
        (self.record,) = broken_records(error.problems, target.name)

    def setup(self) -> NoReturn:
        """An error of the setting up: there is nothing to judge."""
        raise NotLoadedError(str(self._error))

    def runtest(self) -> None:
        """Is never called: setting up fails."""

    def reportinfo(self) -> tuple[Any, int, str]:
        """Where the first problem is."""
        return self.path, max(self._error.problems[0].line - 1, 0), self.name

    def attach_record(self, report: pytest.TestReport) -> None:
        """Put the record and the problems into the report of the setting up."""
        if report.when == "setup":
            report.longrepr = printable(str(self._error))
            report.trapgate_record = self.record.to_json()  # type: ignore[attr-defined]
