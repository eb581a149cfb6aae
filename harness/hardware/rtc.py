"""The MC146818 real-time clock and its CMOS RAM, behind ports 70h and 71h.

Source: Motorola MC146818 datasheet, "Address Map", "Register A" to "Register D"; the NMI mask in port 70h: Intel I/O
Controller Hub datasheet, "NMI_EN—NMI Enable (and Real Time Clock Index) Register"; the century byte: ACPI
specification, FADT field CENTURY (32h on QEMU's PC machines).

Access kinds: MC146818 datasheet, "Register A" to "Register D" (in C and D the unused bits read as 0).
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "CMOS_SIZE",
    "RTC_ALARM_WILDCARD",
    "Cmos",
    "CmosByte",
    "CmosData",
    "CmosIndex",
    "CmosPorts",
    "DividerSelect",
    "RegisterA",
    "RegisterB",
    "RegisterC",
    "RegisterD",
    "rtc_rate_select",
]

CMOS_SIZE = 128
RTC_ALARM_WILDCARD = 0xC0  # an alarm byte from C0h to FFh matches every value


class DividerSelect(IntEnum):
    """Register A bits DV2:DV0."""

    CRYSTAL_4194304 = 0b000
    CRYSTAL_1048576 = 0b001
    CRYSTAL_32768 = 0b010  # the PC's
    RESET_110 = 0b110
    RESET_111 = 0b111


class CmosIndex(Register, width=8):
    """Port 70h (write-only on real chipsets): index, and the board's NMI mask."""

    INDEX = Field(6, 0)
    NMI_DISABLE = Field(7)


class CmosData(Register, width=8):
    """Port 71h: the byte at the index."""


class CmosByte(Register, width=8):
    """A time, alarm or RAM byte; BCD unless register B selects binary."""


class RegisterA(Register, width=8):
    """Register A: update in progress, divider, periodic rate."""

    RS = Field(3, 0)  # rate select: 0 none, 3 to 15 give 32768 >> (RS - 1) Hz
    DV = Field(6, 4, DividerSelect)
    UIP = Field(7, access="ro", volatile=True)


class RegisterB(Register, width=8):
    """Register B: modes and interrupt enables."""

    DSE = Field(0)  # daylight saving
    HOURS_24 = Field(1)  # 24/12
    DM = Field(2)  # 1 binary, 0 BCD
    SQWE = Field(3)
    UIE = Field(4)  # update-ended interrupt
    AIE = Field(5)  # alarm interrupt
    PIE = Field(6)  # periodic interrupt
    SET = Field(7, effect="stops the clock and clears UIE")


class RegisterC(Register, width=8, reserved="zero"):
    """Register C: the flags; reading clears them and lowers IRQ 8."""

    UF = Field(4, access="rc", volatile=True)
    AF = Field(5, access="rc", volatile=True)
    PF = Field(6, access="rc", volatile=True)
    IRQF = Field(7, access="rc", volatile=True)


class RegisterD(Register, width=8, reserved="zero"):
    """Register D."""

    VRT = Field(7, access="ro")  # valid RAM and time


class CmosPorts(Block):
    """What the chip really decodes. Use `Cmos` for the bytes behind it."""

    SPACE = Space.PORT
    BASE = 0x70
    NAME = "cmos_ports"

    INDEX = At(0, CmosIndex)
    DATA = At(1, CmosData, effect="reaches the byte that the index selects")


class Cmos(Block):
    """The real-time clock by index."""

    SPACE = Space.CMOS
    NAME = "rtc"

    SECONDS = At(0x00, CmosByte, volatile=True)
    SECONDS_ALARM = At(0x01, CmosByte)
    MINUTES = At(0x02, CmosByte, volatile=True)
    MINUTES_ALARM = At(0x03, CmosByte)
    HOURS = At(0x04, CmosByte, volatile=True)
    HOURS_ALARM = At(0x05, CmosByte)
    DAY_OF_WEEK = At(0x06, CmosByte, volatile=True)
    DATE_OF_MONTH = At(0x07, CmosByte, volatile=True)
    MONTH = At(0x08, CmosByte, volatile=True)
    YEAR = At(0x09, CmosByte, volatile=True)
    A = At(0x0A, RegisterA)
    B = At(0x0B, RegisterB)
    C = At(0x0C, RegisterC, access="ro")
    D = At(0x0D, RegisterD, access="ro")
    SHUTDOWN_STATUS = At(0x0F, CmosByte)
    CENTURY = At(0x32, CmosByte, volatile=True)


def rtc_rate_select(hertz: int) -> int:
    """RS for a periodic rate; raises `FieldError` unless it is a power of two from 2 to 8192 Hz."""
    for rs in range(3, 16):
        if 32768 >> (rs - 1) == hertz:
            return rs
    raise FieldError(f"the RTC's periodic rate is a power of two from 2 to 8192 Hz, not {hertz}")
