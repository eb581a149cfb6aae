"""PCI IDE controller with bus master DMA (PIIX3 on pc).

Source: ATA/ATAPI-6, "I/O register descriptions"; "Programming Interface for Bus Master IDE Controller", revision 1.0;
Intel 82371SB (PIIX3) datasheet, "IDETIM—IDE Timing Register".

Access kinds: the same sections; reserved bits of the bus master's command and status return 0.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.ata import AtaByte, AtaDevice, AtaError, AtaStatus, CommandRegister, DeviceControl
from harness.hardware.block import At, Block, Space
from harness.hardware.pci import CommonHeader, Plain16, Plain32, config_address
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "PRIMARY_CONTROL",
    "PRIMARY_IRQ",
    "PRIMARY_TASK_FILE",
    "SECONDARY_CONTROL",
    "SECONDARY_IRQ",
    "SECONDARY_TASK_FILE",
    "BusMaster",
    "BusMasterCommand",
    "BusMasterDirection",
    "BusMasterStatus",
    "ControlBlock",
    "IdeTiming",
    "Piix3Ide",
    "PrdEntry",
    "PrdTable",
    "TaskFile",
]

PRIMARY_TASK_FILE, PRIMARY_CONTROL, PRIMARY_IRQ = 0x1F0, 0x3F6, 14
SECONDARY_TASK_FILE, SECONDARY_CONTROL, SECONDARY_IRQ = 0x170, 0x376, 15


class TaskFile(Block):
    """Command block registers."""

    SPACE = Space.PORT
    BASE = PRIMARY_TASK_FILE
    NAME = "ide"

    DATA = At(0, Plain16, effect="is the data of a command")
    ERROR = At(1, AtaError, access="ro", alias=True)
    FEATURES = At(1, AtaByte, access="wo", alias=True)
    SECTOR_COUNT = At(2, AtaByte)
    LBA_LOW = At(3, AtaByte)
    LBA_MID = At(4, AtaByte)
    LBA_HIGH = At(5, AtaByte)
    DEVICE = At(6, AtaDevice)
    STATUS = At(7, AtaStatus, access="ro")
    COMMAND = At(7, CommandRegister, access="wo")


class ControlBlock(Block):
    """Control block register."""

    SPACE = Space.PORT
    BASE = PRIMARY_CONTROL
    NAME = "ide_control"

    ALTERNATE_STATUS = At(0, AtaStatus, access="ro")
    DEVICE_CONTROL = At(0, DeviceControl, access="wo")


class BusMasterDirection(IntEnum):
    """Direction as the bus master sees it."""

    READ_MEMORY = 0  # memory to device
    WRITE_MEMORY = 1  # device to memory


class BusMasterCommand(Register, width=8, reserved="zero"):
    """BMICx."""

    SSBM = Field(0, effect="starts the bus master")  # start
    RWCON = Field(3, values=BusMasterDirection)


class BusMasterStatus(Register, width=8, reserved="zero"):
    """BMISx."""

    BMIDEA = Field(0, access="ro")  # active
    ERROR = Field(1, access="w1c")
    IDEINTS = Field(2, access="w1c")  # interrupt
    DRIVE_0_DMA = Field(5)
    DRIVE_1_DMA = Field(6)
    SIMPLEX = Field(7, access="ro")


class PrdTable(Register, width=32, reserved="undefined"):
    """BMIDTPx: bits 31:2 of the descriptor table's address."""

    ADDRESS_31_2 = Field(31, 2)


class BusMaster(Block):
    """One channel in BAR 4: primary at 0, secondary at 8."""

    SPACE = Space.PORT
    NAME = "bus_master"

    COMMAND = At(0, BusMasterCommand)
    STATUS = At(2, BusMasterStatus)
    PRD_TABLE = At(4, PrdTable)  # dword-aligned, not crossing 64 KiB


class PrdEntry(Register, width=64):
    """Physical Region Descriptor."""

    BASE = Field(31, 1)  # address >> 1
    BYTE_COUNT = Field(47, 33)  # bytes >> 1; 0 is 64 KiB
    EOT = Field(63)

    @classmethod
    def to(cls, address: int, size: int, *, last: bool = False) -> PrdEntry:
        """The descriptor of `size` bytes at `address`.

        Raises `FieldError` for an odd one, more than 64 KiB, or a region that crosses a 64-KiB boundary.
        """
        if address & 1 or size & 1 or not 2 <= size <= 0x1_0000:
            raise FieldError(f"a PRD's address is even and its size even, 2 to 65536: got {address:#x}, {size}")
        if address >> 16 != (address + size - 1) >> 16:
            raise FieldError(f"PRD {address:#x}+{size:#x} crosses a 64-KiB boundary")
        return cls.of(BASE=address >> 1, BYTE_COUNT=size >> 1 & 0x7FFF, EOT=last)


class IdeTiming(Register, width=16, reserved="undefined"):
    """IDETIM."""

    IDE_DECODE_ENABLE = Field(15)


class Piix3Ide(CommonHeader):
    """The pc IDE function, device 1 function 1."""

    BASE = config_address(0, 1, 1)
    NAME = "piix3_ide"

    BUS_MASTER_BASE = At(0x20, Plain32, effect="moves the bus master registers")
    IDETIM_PRIMARY = At(0x40, IdeTiming)
    IDETIM_SECONDARY = At(0x42, IdeTiming)
