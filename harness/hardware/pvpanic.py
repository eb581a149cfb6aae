"""The pvpanic device: one byte by which a guest reports its end to its monitor.

Source: QEMU documentation, "PVPANIC DEVICE" (docs/specs/pvpanic). Reading returns the events that the device supports.

Access kinds: the same page.
"""

from __future__ import annotations

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = ["PVPANIC_PORT", "PvPanic", "PvPanicEvents"]

PVPANIC_PORT = 0x505


class PvPanicEvents(Register, width=8, reserved="undefined"):
    """Events; PANICKED makes QEMU send GUEST_PANICKED."""

    PANICKED = Field(0)
    CRASH_LOADED = Field(1)
    SHUTDOWN = Field(2)  # since QEMU 9.1


class PvPanic(Block):
    """The ISA form."""

    SPACE = Space.PORT
    BASE = PVPANIC_PORT
    NAME = "pvpanic"

    EVENTS = At(0, PvPanicEvents, effect="reports an event to the monitor")
