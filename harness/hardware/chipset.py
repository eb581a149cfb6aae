"""Chipset registers in configuration space that route interrupts and place ECAM and the power management block.

Source: Intel 82371SB (PIIX3) datasheet, "PIRQRC[A:D]—PIRQx Route Control Registers"; Intel 82371AB (PIIX4) datasheet,
"Power Management PCI Configuration Registers"; Intel I/O Controller Hub 9 datasheet, "LPC Interface Bridge Registers
(D31:F0)" and "Chipset Configuration Registers"; Intel 3 Series Express Chipset datasheet, "PCIEXBAR—PCI Express
Register Range Base Address".

Access kinds: the same sections, which do not state what reserved bits read.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, AtArray, Block, Space
from harness.hardware.pci import CommonHeader, Plain8, Plain32, config_address
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "AcpiControl",
    "ChipsetConfiguration",
    "DeviceInterruptRoute",
    "Ich9Lpc",
    "PciExBar",
    "Piix3Isa",
    "Piix4PowerManagement",
    "PirqRoute",
    "PmBase",
    "PmRegMisc",
    "Q35HostBridge",
    "ResetControl",
    "ResetControlPort",
    "RootComplexBase",
    "SciSelect",
]


class PirqRoute(Register, width=8, reserved="undefined"):
    """PIRQx Route Control: 80h at reset."""

    IRQ = Field(3, 0)  # 8259 input: 3 to 7, 9 to 12, 14, 15
    DISABLE = Field(7)  # 1: not routed to the 8259


class PciExBar(Register, width=32, reserved="undefined"):
    """PCIEXBAR bits 31:0: where ECAM is (bits 35:32 are in the next dword)."""

    ENABLE = Field(0)
    LENGTH = Field(2, 1)  # 0: 256 MiB, 1: 128 MiB, 2: 64 MiB
    BASE_ADDRESS = Field(31, 26)

    @classmethod
    def at(cls, address: int) -> PciExBar:
        """Enabled, 256 buses, at `address`; raises `FieldError` unless it is a multiple of 256 MiB below 4 GiB."""
        if address & 0xFFF_FFFF or not 0 <= address < 1 << 32:
            raise FieldError(f"ECAM of 256 buses is aligned to 256 MiB and below 4 GiB, not {address:#x}")
        return cls.of(ENABLE=1, BASE_ADDRESS=address >> 26)


class Q35HostBridge(CommonHeader):
    """The q35 host bridge, device 0."""

    BASE = config_address(0, 0, 0)
    NAME = "host_bridge"

    PCIEXBAR = At(0x60, PciExBar, effect="moves ECAM")
    PCIEXBAR_UPPER = At(0x64, Plain32, effect="moves ECAM")


class PmBase(Register, width=32, reserved="undefined"):
    """PMBASE: I/O base of the power management block (128 bytes on ICH9, 64 on PIIX4)."""

    SPACE_INDICATOR = Field(0, access="ro")
    BASE = Field(15, 6)

    @classmethod
    def at(cls, port: int) -> PmBase:
        """At I/O port `port`; raises `FieldError` unless it is a multiple of 40h below 10000h."""
        if port & 0x3F or not 0 <= port < 1 << 16:
            raise FieldError(f"PMBASE is a multiple of 40h below 10000h, not {port:#x}")
        return cls.of(1, BASE=port >> 6)

    @property
    def port(self) -> int:
        """The base port."""
        return self.BASE << 6


class SciSelect(IntEnum):
    """SCI_IRQ_SEL of ACPI_CNTL."""

    IRQ_9 = 0
    IRQ_10 = 1
    IRQ_11 = 2
    IRQ_20 = 4
    IRQ_21 = 5


class AcpiControl(Register, width=8, reserved="undefined"):
    """ACPI_CNTL of ICH9."""

    SCI_IRQ_SEL = Field(2, 0, SciSelect)
    ACPI_EN = Field(7, effect="decodes the power management block")  # PMBASE decodes


class RootComplexBase(Register, width=32, reserved="undefined"):
    """RCBA of ICH9: where the chipset configuration registers are."""

    EN = Field(0)
    BASE_ADDRESS = Field(31, 14)


class Ich9Lpc(CommonHeader):
    """The q35 ISA bridge, device 31 function 0."""

    BASE = config_address(0, 31, 0)
    NAME = "lpc"

    PMBASE = At(0x40, PmBase, effect="moves the power management block")
    ACPI_CNTL = At(0x44, AcpiControl)
    PIRQ_A_TO_D = AtArray(0x60, PirqRoute, count=4, stride=1)
    PIRQ_E_TO_H = AtArray(0x68, PirqRoute, count=4, stride=1)
    RCBA = At(0xF0, RootComplexBase, effect="moves the chipset configuration registers")


class DeviceInterruptRoute(Register, width=16, reserved="undefined"):
    """DnnIR: PIRQ (0 is A) of each interrupt pin of device nn; 3210h at reset."""

    INTA = Field(2, 0)
    INTB = Field(6, 4)
    INTC = Field(10, 8)
    INTD = Field(14, 12)


class ChipsetConfiguration(Block):
    """Chipset configuration registers, at the address in RCBA."""

    SPACE = Space.MMIO
    NAME = "chipset"

    D31IR = At(0x3140, DeviceInterruptRoute)
    D29IR = At(0x3144, DeviceInterruptRoute)
    D28IR = At(0x3146, DeviceInterruptRoute)
    D27IR = At(0x3148, DeviceInterruptRoute)
    D26IR = At(0x314C, DeviceInterruptRoute)
    D25IR = At(0x3150, DeviceInterruptRoute)


class Piix3Isa(CommonHeader):
    """The pc ISA bridge, device 1 function 0."""

    BASE = config_address(0, 1, 0)
    NAME = "piix3"

    PIRQ_A_TO_D = AtArray(0x60, PirqRoute, count=4, stride=1)


class PmRegMisc(Register, width=8, reserved="undefined"):
    """PMREGMISC of PIIX4."""

    PMIOSE = Field(0, effect="decodes the power management block")  # PMBA decodes


class Piix4PowerManagement(CommonHeader):
    """The pc power management function, device 1 function 3."""

    BASE = config_address(0, 1, 3)
    NAME = "piix4_pm"

    PMBA = At(0x40, PmBase, effect="moves the power management block")
    PMREGMISC = At(0x80, PmRegMisc)
    SMBUS_BASE = At(0x90, Plain32, effect="moves the SMBus host")
    SMBUS_HOST_CONFIG = At(0xD2, Plain8, effect="enables the SMBus host")


class ResetControl(Register, width=8, reserved="undefined"):
    """RST_CNT: RST_CPU going from 0 to 1 resets."""

    SYS_RST = Field(1)  # hard reset
    RST_CPU = Field(2)
    FULL_RST = Field(3)


class ResetControlPort(Block):
    """Port CF9h."""

    SPACE = Space.PORT
    BASE = 0xCF9
    NAME = "reset_control"

    RST_CNT = At(0, ResetControl, effect="resets the machine")
