"""The stop of a guest and its cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from harness.qemu.errors import GuestTimeout, QemuDied, QemuError, describe_exit

__all__ = ["GuestReset", "Stop", "StopKind"]

GuestReset = Literal["stop", "continue", "unexpected"]
"""The effect of a reset by the guest: "stop" stops it with its registers, "continue" lets it boot again.

"unexpected" is as "continue", for a guest that must not reset the machine and is judged by `guest_resets`. It makes
each reset by the harness cheaper, because no command has to change the effect of a reset before and after it.
"""


class StopKind(StrEnum):
    """The ways in which a guest stops; values are QEMU's run states where it has one."""

    SIGNAL = "guest-panicked"  # the guest's own signal: it wrote to the pvpanic port
    INTERNAL_ERROR = "internal-error"  # the virtual machine monitor failed (KVM: unhandled exit, emulation failure)
    SHUTDOWN = "shutdown"  # power-off
    RESET = "reset"  # the guest reset itself: port CF9h, keyboard controller, triple fault
    SUSPENDED = "suspended"  # ACPI S3
    PAUSED = "paused"  # by a QMP command
    WATCHDOG = "watchdog"  # an emulated watchdog timer expired
    IO_ERROR = "io-error"  # a disk backend failed
    OTHER = "other"  # a run state that only QMP commands cause: debug, save-vm, finish-migrate …
    DIED = "died"  # the QEMU process ended
    TIMEOUT = "timeout"  # none of these within the time given: the guest still runs
    NOT_RUN = "not-run"  # as TIMEOUT, but the host did not let QEMU run


@dataclass(frozen=True)
class Stop:
    """One stop.

    `reason` is QMP's ShutdownCause for SHUTDOWN and RESET ("guest-reset" …), the disk's error for IO_ERROR, what the
    host did for NOT_RUN, else a run state or empty.
    """

    kind: StopKind
    reason: str = ""
    returncode: int | None = None  # DIED: as subprocess gives it, negative for a signal
    stderr: str = ""  # DIED: QEMU's standard error
    seconds: float | None = None  # TIMEOUT and NOT_RUN: the time that QEMU had
    ran: float = 0.0  # TIMEOUT: seconds of processor time that QEMU took meanwhile
    asleep: bool = False  # a TIMEOUT before the time was over, because the guest can never run again

    @property
    def signalled(self) -> bool:
        """Whether this is the guest's own signal: the only orderly end."""
        return self.kind is StopKind.SIGNAL

    @property
    def frozen(self) -> bool:
        """Whether the machine is stopped and can be dumped."""
        return self.kind not in (StopKind.DIED, StopKind.TIMEOUT, StopKind.NOT_RUN)

    @property
    def host_shutdown(self) -> bool:
        """Whether QEMU shut the machine down for a reason that is not the guest's."""
        return self.kind is StopKind.SHUTDOWN and not self.reason.startswith("guest-")

    def __str__(self) -> str:
        match self.kind:
            case StopKind.SIGNAL:
                return "the guest signalled"
            case StopKind.INTERNAL_ERROR:
                return "QEMU stopped with an internal error: the monitor could not go on"
            case StopKind.SHUTDOWN if self.host_shutdown:
                return f"QEMU shut the machine down ({self.reason})"
            case StopKind.SHUTDOWN if self.reason.endswith("S4"):
                return "the guest suspended the machine to disk (ACPI S4)"
            case StopKind.SHUTDOWN:
                return f"the machine was powered off ({self.reason})"
            case StopKind.SUSPENDED:
                return "the guest suspended the machine (ACPI S3)"
            case StopKind.WATCHDOG:
                return "an emulated watchdog timer expired, and QEMU paused the guest"
            case StopKind.IO_ERROR:
                return f"QEMU paused the guest at an I/O error of the host: {self.reason}"
            case StopKind.PAUSED:
                return "the guest is paused: QEMU got the command stop"
            case StopKind.NOT_RUN:
                return f"the host did not let QEMU run, so nothing follows from the guest's silence: {self.reason}"
            case StopKind.RESET:
                return f"the guest reset the machine ({self.reason}): triple fault, port CF9h or keyboard controller"
            case StopKind.DIED:
                output = f": {self.stderr.strip()}" if self.stderr.strip() else ""
                return f"QEMU {describe_exit(self.returncode)}{output}"
            case StopKind.TIMEOUT:
                return f"the guest gave no sign within {self.seconds:g} s and still runs"
            case _:
                return f"QEMU paused the guest in the run state {self.reason!r}"

    def check(self) -> Stop:
        """Return this stop where it is the guest's signal, else raise GuestTimeout, QemuDied or QemuError."""
        if self.signalled:
            return self
        if self.kind is StopKind.TIMEOUT:
            raise GuestTimeout(str(self))
        if self.kind is StopKind.DIED:
            raise QemuDied(self.returncode, self.stderr)
        raise QemuError(str(self))
