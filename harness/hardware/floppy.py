"""The 82077AA floppy disk controller, ports 3F0h to 3F7h, IRQ 6, DMA channel 2.

Source: Intel 82077AA datasheet, "Registers" and "Command Set / Descriptions".

Access kinds: the same sections, which do not state what undefined bits read.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "DMA_CHANNEL",
    "IRQ",
    "SECTOR_SIZE",
    "CommandByte",
    "ConfigurationControl",
    "DataRateSelect",
    "DigitalInput",
    "DigitalOutput",
    "Floppy",
    "FloppyByte",
    "FloppyCommand",
    "MainStatus",
    "StatusRegister0",
    "StatusRegister1",
    "TapeDrive",
]

IRQ = 6
DMA_CHANNEL = 2
SECTOR_SIZE = 512


class FloppyCommand(IntEnum):
    """Command codes (bits 4:0 of the first byte)."""

    SPECIFY = 0x03
    SENSE_DRIVE_STATUS = 0x04
    WRITE_DATA = 0x05
    READ_DATA = 0x06
    RECALIBRATE = 0x07
    SENSE_INTERRUPT_STATUS = 0x08
    READ_ID = 0x0A
    DUMPREG = 0x0E
    SEEK = 0x0F
    VERSION = 0x10
    CONFIGURE = 0x13


class FloppyByte(Register, width=8):
    """A parameter, result or data byte."""


class CommandByte(Register, width=8):
    """First byte of a command; E6h reads, C5h writes MFM sectors multi-track."""

    COMMAND = Field(4, 0, FloppyCommand)
    SK = Field(5)  # skip deleted
    MFM = Field(6)
    MT = Field(7)  # multi-track


class DigitalOutput(Register, width=8):
    """DOR; 1Ch is drive 0, motor on, DMA and interrupt on, not in reset."""

    DRIVE_SELECT = Field(1, 0)
    RESET = Field(2, effect="resets the controller")  # active low
    DMAGATE = Field(3)  # DMA and interrupt enabled
    MOTOR_ENABLE = Field(7, 4)  # bit n: drive n


class TapeDrive(Register, width=8, reserved="undefined"):
    """TDR."""

    TAPE_SELECT = Field(1, 0)


class MainStatus(Register, width=8):
    """MSR."""

    DRIVE_BUSY = Field(3, 0, access="ro")
    CMD_BUSY = Field(4, access="ro")
    NON_DMA = Field(5, access="ro")
    DIO = Field(6, access="ro")  # 1: the CPU reads
    RQM = Field(7, access="ro")


class DataRateSelect(Register, width=8, reserved="undefined"):
    """DSR."""

    DRATE = Field(1, 0)
    PRECOMP = Field(4, 2)
    POWER_DOWN = Field(6)
    SOFTWARE_RESET = Field(7)


class DigitalInput(Register, width=8, reserved="undefined"):
    """DIR."""

    DSKCHG = Field(7, access="ro")


class ConfigurationControl(Register, width=8, reserved="undefined"):
    """CCR; 0 is 500 kbit/s."""

    DRATE = Field(1, 0)


class StatusRegister0(Register, width=8):
    """ST0."""

    DS = Field(1, 0, access="ro")
    H = Field(2, access="ro")
    EC = Field(4, access="ro")
    SE = Field(5, access="ro")  # seek end
    IC = Field(7, 6, access="ro")  # 0 normal, 1 abnormal, 2 invalid command, 3 polling


class StatusRegister1(Register, width=8):
    """ST1."""

    MA = Field(0, access="ro")
    NW = Field(1, access="ro")
    ND = Field(2, access="ro")
    OR = Field(4, access="ro")
    DE = Field(5, access="ro")
    EN = Field(7, access="ro")  # end of cylinder


class Floppy(Block):
    """The primary controller."""

    SPACE = Space.PORT
    BASE = 0x3F0
    NAME = "floppy"

    SRA = At(0, FloppyByte, access="ro", volatile=True)
    SRB = At(1, FloppyByte, access="ro", volatile=True)
    DOR = At(2, DigitalOutput)
    TDR = At(3, TapeDrive)
    MSR = At(4, MainStatus, access="ro")
    DSR = At(4, DataRateSelect, access="wo")
    FIFO = At(5, FloppyByte, effect="is a command, a parameter or data")
    DIR = At(7, DigitalInput, access="ro")
    CCR = At(7, ConfigurationControl, access="wo")
