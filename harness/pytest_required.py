"""`pytest --trapgate-require`: at the end of a session, a required target without a run is an error."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

__all__ = ["RequiredRuns"]


class RequiredRuns:
    """Counts the runs on required targets where reports arrive: with xdist, in the controlling process."""

    def __init__(self, required: Iterable[str]) -> None:
        self._unchecked = dict.fromkeys(sorted(required))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Every probe, and every test with a machine, names its target in its properties."""
        for name, value in report.user_properties:
            if name == "trapgate_target":
                self._unchecked.pop(str(value), None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Change the exit status of a session without failures to that of wrong usage."""
        if session.config.getoption("collectonly"):
            self._unchecked.clear()
        if self._unchecked and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the targets, and what to do."""
        if self._unchecked:
            names = ", ".join(self._unchecked)
            text = f"--trapgate-require: no probe ran on {names}. To fix: name the folder or the file of the probes"
            terminalreporter.write_line(text, red=True)
