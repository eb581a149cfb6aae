"""ATA: task file, status, commands; shared by IDE and AHCI.

Source: ATA/ATAPI-6 (T13/1410D), "I/O register descriptions" and "Command descriptions".

Access kinds: the same sections; obsolete and reserved bits are not stated.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.register import Field, Register

__all__ = [
    "SECTOR_SIZE",
    "AtaByte",
    "AtaCommand",
    "AtaDevice",
    "AtaError",
    "AtaStatus",
    "CommandRegister",
    "DeviceControl",
]

SECTOR_SIZE = 512


class AtaCommand(IntEnum):
    """Commands that a test needs."""

    READ_SECTORS = 0x20
    READ_DMA_EXT = 0x25
    WRITE_SECTORS = 0x30
    WRITE_DMA_EXT = 0x35
    READ_FPDMA_QUEUED = 0x60
    WRITE_FPDMA_QUEUED = 0x61
    PACKET = 0xA0
    IDENTIFY_PACKET_DEVICE = 0xA1
    READ_DMA = 0xC8
    WRITE_DMA = 0xCA
    FLUSH_CACHE = 0xE7
    FLUSH_CACHE_EXT = 0xEA
    IDENTIFY_DEVICE = 0xEC
    SET_FEATURES = 0xEF


class AtaByte(Register, width=8):
    """Features, sector count or an LBA byte."""


class CommandRegister(Register, width=8):
    """Command register."""

    COMMAND = Field(7, 0, AtaCommand, access="wo")


class AtaStatus(Register, width=8, reserved="undefined"):
    """Status register; reading it (not the alternate status) lowers INTRQ."""

    ERR = Field(0, access="ro")
    DRQ = Field(3, access="ro")
    DF = Field(5, access="ro")
    DRDY = Field(6, access="ro")
    BSY = Field(7, access="ro")


class AtaError(Register, width=8):
    """Error register."""

    MED = Field(0, access="ro")
    NM = Field(1, access="ro")
    ABRT = Field(2, access="ro")
    MCR = Field(3, access="ro")
    IDNF = Field(4, access="ro")
    MC = Field(5, access="ro")
    UNC = Field(6, access="ro")
    ICRC = Field(7, access="ro")


class AtaDevice(Register, width=8, reserved="undefined"):
    """Device register."""

    LBA_27_24 = Field(3, 0)
    DEV = Field(4, effect="selects the other device")
    LBA = Field(6)


class DeviceControl(Register, width=8, reserved="undefined"):
    """Device Control register."""

    NIEN = Field(1)  # 1: no interrupts
    SRST = Field(2, effect="resets the devices")
    HOB = Field(7)
