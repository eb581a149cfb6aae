"""Why a guest does not run any more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.qemu.errors import GuestTimeout, QemuDied, QemuError, describe_exit

__all__ = ["Stop", "StopKind"]


class StopKind(StrEnum):
    """The ways in which a guest stops; values are QEMU's run states where it has one."""

    SIGNAL = "guest-panicked"  # the guest's own signal: it wrote to the pvpanic port
    INTERNAL_ERROR = "internal-error"  # the monitor itself gave up (KVM: unhandled exit, emulation failure)
    SHUTDOWN = "shutdown"  # power-off
    RESET = "reset"  # the guest reset itself: port CF9h, keyboard controller, triple fault
    PAUSED = "paused"  # somebody asked for it over QMP
    WATCHDOG = "watchdog"
    IO_ERROR = "io-error"  # a disk backend failed
    DIED = "died"  # the QEMU process ended
    TIMEOUT = "timeout"  # none of these within the time given: the guest still runs


@dataclass(frozen=True)
class Stop:
    """One stop. `reason` is QMP's ShutdownCause for SHUTDOWN and RESET ("guest-reset" …), else a run state or empty."""

    kind: StopKind
    reason: str = ""
    returncode: int | None = None  # DIED: as subprocess gives it, negative for a signal
    stderr: str = ""  # DIED: what QEMU said
    seconds: float | None = None  # TIMEOUT: how long we waited

    @property
    def signalled(self) -> bool:
        """Whether this is the guest's own signal: the only orderly end."""
        return self.kind is StopKind.SIGNAL

    @property
    def frozen(self) -> bool:
        """Whether the machine stands still and can be dumped."""
        return self.kind not in (StopKind.DIED, StopKind.TIMEOUT)

    def __str__(self) -> str:
        match self.kind:
            case StopKind.SIGNAL:
                return "the guest signalled"
            case StopKind.INTERNAL_ERROR:
                return "QEMU stopped with an internal error: the monitor could not go on"
            case StopKind.SHUTDOWN:
                return f"the machine was powered off ({self.reason})"
            case StopKind.RESET:
                return f"the guest reset the machine ({self.reason}): triple fault, port CF9h or keyboard controller"
            case StopKind.DIED:
                said = f": {self.stderr.strip()}" if self.stderr.strip() else ""
                return f"QEMU {describe_exit(self.returncode)}{said}"
            case StopKind.TIMEOUT:
                return f"the guest gave no sign within {self.seconds:g} s and still runs"
            case _:
                return f"the machine stopped: {self.reason or self.kind.value}"

    def check(self) -> Stop:
        """Give this stop back where it is the guest's signal, else raise GuestTimeout, QemuDied or QemuError."""
        if self.signalled:
            return self
        if self.kind is StopKind.TIMEOUT:
            raise GuestTimeout(str(self))
        if self.kind is StopKind.DIED:
            raise QemuDied(self.returncode, self.stderr)
        raise QemuError(str(self))
