"""The errors of a QEMU process and its connection, with messages for people."""

from __future__ import annotations

import re
import signal

__all__ = [
    "DumpError",
    "GuestTimeout",
    "QemuDied",
    "QemuError",
    "QemuHung",
    "QemuNotFound",
    "QemuStartError",
    "QmpCommandError",
    "TargetError",
    "Unsupported",
    "describe_exit",
    "ended_from_outside",
    "shortened",
]


class QemuError(Exception):
    """Any failure of QEMU or of the connection to it; not a failure of the guest."""


class QemuNotFound(QemuError):  # noqa: N818
    """A program that the harness needs is not on this host."""

    def __init__(self, program: str, hint: str) -> None:
        self.program = program
        super().__init__(f"{program} was not found.\n{hint}")


class TargetError(QemuError):
    """A target or machine configuration is wrong: an unknown name, a wrong field, options that exclude each other."""


class Unsupported(QemuError):  # noqa: N818
    """The target lacks what was requested. `reason` is one plain sentence."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class QemuStartError(QemuError):
    """QEMU ended, or did not answer, before the guest could start."""

    def __init__(self, what: str, stderr: str, command_line: str, returncode: int | None = None) -> None:
        self.returncode = returncode  # None where it did not answer, or could not be run
        self.stderr = stderr
        self.command_line = command_line
        self.from_outside = ended_from_outside(returncode, stderr)
        # in one line, without the command line
        self.summary = f"{what} {shortened(stderr)}" if stderr.strip() or what.endswith(":") else what
        output = stderr.strip() or "(nothing on stderr)"
        super().__init__(f"{what}\n{output}\nThe command line was:\n{command_line}")


class QemuDied(QemuError):  # noqa: N818
    """The QEMU process ended while it was needed."""

    def __init__(self, returncode: int | None, stderr: str, doing: str = "") -> None:
        self.returncode = returncode
        self.stderr = stderr
        output = f"\n{stderr.strip()}" if stderr.strip() else ""
        while_ = f" during {doing}" if doing else ""
        super().__init__(f"QEMU {describe_exit(returncode)}{while_}{output}")


class QemuHung(QemuDied):
    """QEMU answered no command for so long that it was killed: its main loop hangs, or the host does not run it."""

    def __init__(self, returncode: int | None, stderr: str, doing: str, why: str) -> None:
        """`why` completes the sentence "it did not answer COMMAND"."""
        super().__init__(returncode, stderr, doing)
        output = f"\n{stderr.strip()}" if stderr.strip() else ""
        self.args = (f"QEMU hangs: it did not answer {doing} {why}, and was killed{output}",)


class QmpCommandError(QemuError):
    """QEMU answered a QMP command with an error."""

    def __init__(self, command: str, error_class: str, description: str) -> None:
        self.command = command
        self.error_class = error_class
        self.description = description
        super().__init__(f"QMP {command}: {error_class}: {description}")


class GuestTimeout(QemuError):  # noqa: N818
    """The guest did not signal its end within its time."""


_LONGEST_LINE = 300  # characters of a line that an error shows


class DumpError(QemuError):
    """A state dump has a line of an unknown form, which the message shows."""

    def __init__(self, what: str, line: str, text: str, expected: str = "") -> None:
        self.line = line
        self.text = text
        wanted = f"\n  expected: {expected}" if expected else ""
        shown = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}… ({len(line)} characters)"
        super().__init__(f"{what}: cannot read this line\n  {shown!r}{wanted}")


_SHORT = 500


def shortened(stderr: str) -> str:
    """QEMU's message in one line, without warnings if it has more; of a long text the beginning and the end."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    lines = [line for line in lines if ": warning: " not in line] or lines
    text = "; ".join(lines) or "(nothing on stderr)"
    half = (_SHORT - 3) // 2
    return text if len(text) <= _SHORT else f"{text[:half]} … {text[-half:]}"


def describe_exit(returncode: int | None) -> str:
    """How a process ended, as text; `returncode` as `subprocess` gives it (negative: killed by that signal)."""
    if returncode is None:
        return "closed its QMP connection"
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return f"was ended by {name}"
    return f"exited with status {returncode}"


_TERMINATING = re.compile(r"(?m)^\S+: terminating on signal \d+")
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def ended_from_outside(returncode: int | None, stderr: str) -> bool:
    """Whether another process ended QEMU by a signal, rather than QEMU or its guest by a fault.

    `returncode` as `subprocess` gives it; `stderr`: QEMU's standard error. QEMU exits in order on SIGINT, SIGHUP and
    SIGTERM, and names the signal there (qemu_kill_report() of QEMU's softmmu/runstate.c).
    """
    return returncode in [-number for number in _FROM_OUTSIDE] or bool(_TERMINATING.search(stderr))
