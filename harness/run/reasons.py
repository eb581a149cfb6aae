"""The reason of a run that did not pass, from the exception that ended it. The first line is what a table shows."""

from __future__ import annotations

import os

from harness.evidence.failures import RunBroken, RunFailure, Section
from harness.kernel.program import TargetLacks
from harness.one_line import one_line
from harness.probes.probe_code import ProbeExit
from harness.qemu.errors import QemuError, QemuStartError
from harness.run.record import FailureDetail

__all__ = ["reason_of", "start_detail", "start_reason"]


def reason_of(error: BaseException) -> str:
    """Of a run whose guest was started."""
    match error:
        case RunFailure() | RunBroken():
            return error.reason
        case AssertionError():
            return str(error) or "an assertion without a message failed"
        case QemuError() | TargetLacks():
            return str(error)
        case ProbeExit():
            return f"the probe's judgement: {error}"
        case _:
            return f"the probe's judgement raised {type(error).__name__}: {error}"


def start_reason(error: Exception) -> str:
    """Of a run whose machine could not be started."""
    if isinstance(error, OSError):
        return f"the host could not make the machine: {error.strerror or error}: {os.strerror(error.errno or 0)}"
    return error.summary if isinstance(error, QemuStartError) else one_line(str(error))


def start_detail(error: Exception) -> FailureDetail:
    """The report of a run whose machine could not be started."""
    title = "Output of QEMU" if isinstance(error, QemuStartError) else "QEMU"
    return FailureDetail((Section(title, str(error)),))
