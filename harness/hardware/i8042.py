"""The 8042 keyboard controller and port 92h.

Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller"; port
92h: "System Control Port A".

Access kinds: the same section, which does not state what reserved bits read.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "I8042",
    "Command",
    "CommandByte",
    "ControllerCommand",
    "ControllerStatus",
    "I8042Data",
    "SystemControlA",
    "SystemControlPortA",
]


class Command(IntEnum):
    """Controller commands (port 64h)."""

    READ_COMMAND_BYTE = 0x20
    WRITE_COMMAND_BYTE = 0x60
    DISABLE_AUXILIARY = 0xA7
    ENABLE_AUXILIARY = 0xA8
    SELF_TEST = 0xAA  # answers 55h
    DISABLE_KEYBOARD = 0xAD
    ENABLE_KEYBOARD = 0xAE
    READ_OUTPUT_PORT = 0xD0
    WRITE_OUTPUT_PORT = 0xD1
    WRITE_KEYBOARD_OUTPUT_BUFFER = 0xD2  # raises IRQ 1 as if the keyboard had sent the byte
    WRITE_AUXILIARY_OUTPUT_BUFFER = 0xD3  # raises IRQ 12
    PULSE_RESET = 0xFE


class I8042Data(Register, width=8):
    """A data byte."""


class ControllerStatus(Register, width=8):
    """Status (port 64h)."""

    OUTPUT_BUFFER_FULL = Field(0, access="ro")
    INPUT_BUFFER_FULL = Field(1, access="ro")
    SYSTEM_FLAG = Field(2, access="ro")
    COMMAND = Field(3, access="ro")
    INHIBIT_SWITCH = Field(4, access="ro")  # 1: not inhibited
    AUXILIARY_OUTPUT_BUFFER_FULL = Field(5, access="ro")
    TIMEOUT = Field(6, access="ro")
    PARITY_ERROR = Field(7, access="ro")


class ControllerCommand(Register, width=8):
    """Command (port 64h)."""

    COMMAND = Field(7, 0, Command, access="wo")


class CommandByte(Register, width=8):
    """The controller's command byte, by commands 20h and 60h."""

    KEYBOARD_INTERRUPT = Field(0)
    AUXILIARY_INTERRUPT = Field(1)
    SYSTEM_FLAG = Field(2)
    DISABLE_KEYBOARD = Field(4)
    DISABLE_AUXILIARY = Field(5)
    TRANSLATE = Field(6)


class I8042(Block):
    """Ports 60h and 64h; keyboard IRQ 1, auxiliary device IRQ 12."""

    SPACE = Space.PORT
    BASE = 0x60
    NAME = "i8042"

    DATA = At(0, I8042Data, effect="is data or a parameter")
    STATUS = At(4, ControllerStatus, access="ro")
    COMMAND = At(4, ControllerCommand, access="wo")


class SystemControlA(Register, width=8, reserved="undefined"):
    """System Control Port A."""

    FAST_RESET = Field(0, effect="resets the processor")
    A20 = Field(1, effect="masks address line 20")


class SystemControlPortA(Block):
    """Port 92h."""

    SPACE = Space.PORT
    BASE = 0x92
    NAME = "port92"

    CONTROL = At(0, SystemControlA)
