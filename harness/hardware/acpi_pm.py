"""ACPI fixed hardware: PM1 event and control registers, the power management timer.

Source: ACPI specification, "ACPI Hardware Specification": "PM1 Status Registers", "PM1 Enable Registers", "PM1 Control
Registers", "Power Management Timer"; offsets from PMBASE: Intel I/O Controller Hub 9 and PIIX4 datasheets, "Power
Management I/O Registers".

Access kinds: the same sections of the ACPI specification. Bits that PM1 Status and Enable call reserved always return
0; those of PM1 Control belong to the firmware or are ignored, and software preserves them.
"""

from __future__ import annotations

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "PM_TIMER_HZ",
    "Pm1Control",
    "Pm1Enable",
    "Pm1Status",
    "PmTimer",
    "PowerManagementIo",
    "SciCommand",
    "SciCommandPort",
]

PM_TIMER_HZ = 3_579_545


class Pm1Status(Register, width=16, reserved="zero"):
    """PM1 Status; every bit is write 1 to clear."""

    TMR_STS = Field(0, access="w1c", volatile=True)  # the timer's top bit changed
    BM_STS = Field(4, access="w1c")
    GBL_STS = Field(5, access="w1c")
    PWRBTN_STS = Field(8, access="w1c")
    SLPBTN_STS = Field(9, access="w1c")
    RTC_STS = Field(10, access="w1c")
    IGNORED = Field(11, access="ro", volatile=True)
    PCIEXP_WAKE_STS = Field(14, access="w1c")
    WAK_STS = Field(15, access="w1c")


class Pm1Enable(Register, width=16, reserved="zero"):
    """PM1 Enable: which status bits raise the SCI."""

    TMR_EN = Field(0)
    GBL_EN = Field(5)
    PWRBTN_EN = Field(8)
    SLPBTN_EN = Field(9, optional=True)
    RTC_EN = Field(10)
    PCIEXP_WAKE_DIS = Field(14, optional=True)


class Pm1Control(Register, width=16, reserved="preserve"):
    """PM1 Control."""

    SCI_EN = Field(
        0, effect="gives the power management events to SMI or SCI"
    )  # 0: SMI, 1: SCI; the SCI_CMD port switches it
    BM_RLD = Field(1, optional=True)
    GBL_RLS = Field(2, access="wo", effect="raises an SMI")
    SLP_TYP = Field(12, 10)
    SLP_EN = Field(13, access="wz", effect="enters the sleep state of SLP_TYP")


class PmTimer(Register, width=32):
    """PM timer: 3.579545 MHz; 24 bit wide unless FADT's TMR_VAL_EXT is set: 32."""

    TMR_VAL = Field(23, 0, access="ro")
    E_TMR_VAL = Field(31, 24, access="ro")


class PowerManagementIo(Block):
    """The block at PMBASE (ICH9) or PMBA (PIIX4)."""

    SPACE = Space.PORT
    NAME = "pm"

    PM1_STS = At(0x00, Pm1Status)
    PM1_EN = At(0x02, Pm1Enable)
    PM1_CNT = At(0x04, Pm1Control)
    PM_TMR = At(0x08, PmTimer, access="ro", volatile=True)


class SciCommand(Register, width=8):
    """SCI_CMD: QEMU takes 02h (ICH9), F1h (PIIX4) to enable ACPI; FADT's ACPI_ENABLE has the value."""


class SciCommandPort(Block):
    """Port B2h (APM control)."""

    SPACE = Space.PORT
    BASE = 0xB2
    NAME = "sci_command"

    SCI_CMD = At(0, SciCommand, effect="raises an SMI")
