"""The QEMU process of a machine: whether it runs, how the host scheduled it, and how to start it by hand."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from harness.qemu.inspection import Inspection
from harness.qemu.monitor import Monitor
from harness.qemu.reproduce import command_line, export
from harness.qemu.resources import Resources
from harness.qemu.scheduling import Allowance, Deprivation

__all__ = ["MachineProcess"]


class MachineProcess(Inspection):
    """The part of `Machine` that concerns its process."""

    def __init__(
        self, resources: Resources, monitor: Monitor, program: str, cpu: str, placed: tuple[tuple[int, bytes], ...]
    ) -> None:
        self.config = resources.config
        self._resources = resources
        self._monitor = monitor
        monitor.process.scheduling.counts_steal = not self.config.target.deterministic or self.config.host_paced
        self._program = program
        self._cpu = cpu
        self._placed = placed

    @property
    def patience(self) -> float:
        """Seconds in which QEMU must answer a command; else it is killed, and QemuHung raised."""
        return self._monitor.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._monitor.patience = seconds

    def allowance(self, seconds: float) -> Allowance:
        """A deadline for QEMU: the seconds count only while the host lets QEMU run."""
        return Allowance(self._monitor.process.scheduling, seconds)

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._monitor.process.pid

    @property
    def alive(self) -> bool:
        """Whether QEMU still runs."""
        return self._monitor.process.alive

    @property
    def fit(self) -> bool:
        """Whether QEMU runs and is not stopped, according to the kernel at this moment."""
        return self._monitor.process.scheduling.fit

    @property
    def executed(self) -> bool:
        """Whether QEMU has let the guest of this run execute."""
        return self._monitor.executed

    @property
    def lost_idle(self) -> bool:
        """Whether QEMU ended after an earlier run, before the guest of this one executed: the guest did not cause
        it."""
        return self._monitor.used and not self._monitor.executed and not self.alive

    @property
    def deprivation(self) -> Deprivation:
        """How the host delayed QEMU while the guest of this run executed."""
        return self._monitor.process.scheduling.so_far()

    def stderr(self) -> str:
        """What QEMU wrote to its standard output and error, bounded."""
        return self._monitor.process.stderr

    @cached_property
    def command_line(self) -> str:
        """The command line, ready to paste; `export` writes the files that it names."""
        return command_line(self._program, self._resources, self._cpu, self._placed)

    def export(self, folder: Path) -> str:
        """Write ROM, RAM pieces and disks into `folder`; returns the command line that uses them. Raises OSError."""
        return export(folder, self._program, self._resources, self._cpu, self._placed)
