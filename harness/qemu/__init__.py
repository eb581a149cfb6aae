"""QEMU: targets, machine processes, QMP, serial, state dumps."""

from harness.qemu.devices import DEVICES, Device, devices_named
from harness.qemu.dumps import CpuRegisters
from harness.qemu.errors import (
    DumpError,
    GuestTimeout,
    QemuDied,
    QemuError,
    QemuHung,
    QemuNotFound,
    QemuStartError,
    QmpCommandError,
    TargetError,
    Unsupported,
)
from harness.qemu.features import unsupported
from harness.qemu.machine import Machine
from harness.qemu.shape import Shape
from harness.qemu.stop import Stop, StopKind
from harness.qemu.target import Target, builtin_targets, load_targets, target

__all__ = [
    "DEVICES",
    "CpuRegisters",
    "Device",
    "DumpError",
    "GuestTimeout",
    "Machine",
    "QemuDied",
    "QemuError",
    "QemuHung",
    "QemuNotFound",
    "QemuStartError",
    "QmpCommandError",
    "Shape",
    "Stop",
    "StopKind",
    "Target",
    "TargetError",
    "Unsupported",
    "builtin_targets",
    "devices_named",
    "load_targets",
    "target",
    "unsupported",
]
