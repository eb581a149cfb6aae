"""The configuration of a machine: two runs with equal ones may share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from harness.qemu.devices import Device
from harness.qemu.errors import TargetError
from harness.qemu.target import Target

__all__ = ["Boot", "MachineConfig"]

Boot = Literal["rom", "kernel", "disk", "firmware"]


@dataclass(frozen=True)
class MachineConfig:
    """The hardware of one machine and the way it boots. Hashable: the key of the pool of warm machines.

    `boot`: "rom" (an image at the reset vector), "kernel" (QEMU's `-kernel`: multiboot, PVH, Linux), "disk" (BIOS boot
    sector), "firmware" (UEFI from a disk image). `interactive`: COM1 can be written to. `interrupt_log`: QEMU logs each
    interrupt that a processor takes.
    """

    target: Target
    cpus: int = 1
    devices: tuple[Device, ...] = ()
    interactive: bool = False
    boot: Boot = "rom"
    extra_args: tuple[str, ...] = ()
    interrupt_log: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= 255:
            raise TargetError(f"cpus = {self.cpus} is not in 1..255")
        if self.boot not in get_args(Boot):
            raise TargetError(f"boot = {self.boot!r} is not known. Expected: one of {', '.join(get_args(Boot))}")
        if self.interrupt_log and self.target.accelerator != "tcg":
            raise TargetError(f"{self.target.name}: only TCG has an interrupt log")
        if self.target.machine == "microvm" and self.boot in ("disk", "firmware"):
            raise TargetError(f"{self.target.name}: microvm has neither BIOS disks nor UEFI; boot by rom or kernel")

    @property
    def memory_bytes(self) -> int:
        """Guest RAM in bytes; addresses 0 up to it are offsets in the shared memory file."""
        return self.target.memory_mib << 20

    @property
    def host_paced(self) -> bool:
        """Whether a part of it is host-paced, so that virtual time must not run ahead of it."""
        return self.interactive or bool(self.extra_args) or not all(device.in_virtual_time for device in self.devices)

    @property
    def reusable(self) -> bool:
        """Whether a machine can do one run after another."""
        return self.why_single() is None

    def why_single(self) -> str | None:
        """Why a machine of this configuration serves one run only, or `None`."""
        if self.boot != "rom":
            return (
                f"it boots by {self.boot}, and the firmware resets the machine when it boots again, which "
                "cannot be distinguished from a guest's own reset. To fix: launch a new machine"
            )
        for device in self.devices:
            if not device.resets:
                return f"QEMU's {device.name} keeps state of the last run over a reset. To fix: launch a new machine"
        return None

    def missing(self) -> str | None:
        """Why this machine type cannot have these devices, or `None`: known before any QEMU is started."""
        for device in self.devices:
            if device.template(self.target.machine) is None:
                return (
                    f"the machine type {self.target.machine} cannot have {device.name} ({device.summary}); "
                    f"it exists on {', '.join(device.platforms)}"
                )
        return None
