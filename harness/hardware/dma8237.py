"""The two 8237A DMA controllers of a PC, and their page registers.

Source: Intel 8237A datasheet, "Register Description"; page registers: Intel 82371AB (PIIX4) datasheet, "DMA Registers"
("DMA Low Page Registers"). Channels 0 to 3 move bytes, 5 to 7 words; channel 4 is the cascade.

Access kinds: the same sections, which do not state what reserved bits read. The mask register can be read on a PC
(PIIX4 datasheet, "DMA Registers").
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import Array, At, Block, Space
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "PAGE_PORTS",
    "ChannelRegisters",
    "Dma8237Master",
    "Dma8237Slave",
    "DmaByte",
    "DmaCommand",
    "DmaMaskAll",
    "DmaMode",
    "DmaPage",
    "DmaPages",
    "DmaRequest",
    "DmaSingleMask",
    "DmaStatus",
    "TransferMode",
    "TransferType",
    "WordChannelRegisters",
    "split_address",
]

PAGE_PORTS = {0: 0x87, 1: 0x83, 2: 0x81, 3: 0x82, 5: 0x8B, 6: 0x89, 7: 0x8A}


class TransferType(IntEnum):
    """Mode bits 3:2, from the device's view of memory."""

    VERIFY = 0
    WRITE = 1  # device to memory
    READ = 2  # memory to device


class TransferMode(IntEnum):
    """Mode bits 7:6."""

    DEMAND = 0
    SINGLE = 1
    BLOCK = 2
    CASCADE = 3


class DmaByte(Register, width=8):
    """Half of an address or count (low first, the flip-flop distinguishes them), or the data of a clear command."""


class DmaStatus(Register, width=8):
    """Status register; reading clears TC."""

    TC = Field(3, 0, access="rc")  # bit n: channel n reached terminal count
    DREQ = Field(7, 4, access="ro")


class DmaCommand(Register, width=8):
    """Command register."""

    MEMORY_TO_MEMORY = Field(0)
    CHANNEL_0_ADDRESS_HOLD = Field(1)
    CONTROLLER_DISABLE = Field(2)
    COMPRESSED_TIMING = Field(3)
    ROTATING_PRIORITY = Field(4)
    EXTENDED_WRITE = Field(5)
    DREQ_ACTIVE_LOW = Field(6)
    DACK_ACTIVE_HIGH = Field(7)


class DmaRequest(Register, width=8, reserved="undefined"):
    """Request register."""

    CHANNEL = Field(1, 0)
    SET = Field(2)


class DmaSingleMask(Register, width=8, reserved="undefined"):
    """Write single mask bit."""

    CHANNEL = Field(1, 0)
    SET = Field(2)


class DmaMode(Register, width=8):
    """Mode register; 46h is the floppy's read (channel 2, device to memory, single)."""

    CHANNEL = Field(1, 0)
    TRANSFER = Field(3, 2, TransferType)
    AUTOINITIALIZE = Field(4)
    ADDRESS_DECREMENT = Field(5)
    MODE = Field(7, 6, TransferMode)


class DmaMaskAll(Register, width=8, reserved="undefined"):
    """Write all mask register bits."""

    MASK = Field(3, 0)


class DmaPage(Register, width=8):
    """Page register: address bits 23:16 (of a word channel 23:17)."""


class ChannelRegisters(Block):
    """Address and count of one channel of the byte controller."""

    SPACE = Space.PORT

    ADDRESS = At(0, DmaByte, effect="moves the byte pointer")
    COUNT = At(1, DmaByte, effect="moves the byte pointer")  # transfers minus 1


class WordChannelRegisters(Block):
    """Address and count of one channel of the word controller."""

    SPACE = Space.PORT

    ADDRESS = At(0, DmaByte, effect="moves the byte pointer")
    COUNT = At(2, DmaByte, effect="moves the byte pointer")


class Dma8237Slave(Block):
    """Channels 0 to 3, ports 00h to 0Fh."""

    SPACE = Space.PORT
    BASE = 0x00
    NAME = "dma"

    CHANNEL = Array(0, ChannelRegisters, count=4, stride=2)
    STATUS = At(0x08, DmaStatus, access="ro")
    COMMAND = At(0x08, DmaCommand, access="wo")
    REQUEST = At(0x09, DmaRequest, access="wo")
    SINGLE_MASK = At(0x0A, DmaSingleMask, access="wo")
    MODE = At(0x0B, DmaMode, access="wo")
    CLEAR_BYTE_POINTER = At(0x0C, DmaByte, access="wo", effect="clears the byte pointer")
    MASTER_CLEAR = At(0x0D, DmaByte, access="wo", effect="resets the controller")
    CLEAR_MASK = At(0x0E, DmaByte, access="wo", effect="opens every channel")
    MASK_ALL = At(0x0F, DmaMaskAll)


class Dma8237Master(Block):
    """Channels 4 to 7, ports C0h to DFh, two apart."""

    SPACE = Space.PORT
    BASE = 0xC0
    NAME = "dma_master"

    CHANNEL = Array(0, WordChannelRegisters, count=4, stride=4)
    STATUS = At(0x10, DmaStatus, access="ro")
    COMMAND = At(0x10, DmaCommand, access="wo")
    REQUEST = At(0x12, DmaRequest, access="wo")
    SINGLE_MASK = At(0x14, DmaSingleMask, access="wo")
    MODE = At(0x16, DmaMode, access="wo")
    CLEAR_BYTE_POINTER = At(0x18, DmaByte, access="wo", effect="clears the byte pointer")
    MASTER_CLEAR = At(0x1A, DmaByte, access="wo", effect="resets the controller")
    CLEAR_MASK = At(0x1C, DmaByte, access="wo", effect="opens every channel")
    MASK_ALL = At(0x1E, DmaMaskAll)


class DmaPages(Block):
    """The page registers."""

    SPACE = Space.PORT
    BASE = 0x80
    NAME = "dma_page"

    CHANNEL_2 = At(0x1, DmaPage)
    CHANNEL_3 = At(0x2, DmaPage)
    CHANNEL_1 = At(0x3, DmaPage)
    CHANNEL_0 = At(0x7, DmaPage)
    CHANNEL_6 = At(0x9, DmaPage)
    CHANNEL_7 = At(0xA, DmaPage)
    CHANNEL_5 = At(0xB, DmaPage)


def split_address(address: int, size: int) -> tuple[int, int, int]:
    """Page, 16-bit address and count register (size minus 1) of a byte channel's transfer.

    Raises `FieldError` above 16 MiB, for a size outside 1 to 65536, or where it would wrap at a 64-KiB boundary.
    """
    if not (0 <= address < 1 << 24 and 1 <= size <= 1 << 16):
        raise FieldError(f"8237 transfer {address:#x}+{size:#x}: below 16 MiB, 1 to 65536 bytes")
    if address >> 16 != (address + size - 1) >> 16:
        raise FieldError(f"8237 transfer {address:#x}+{size:#x} wraps at a 64-KiB boundary")
    return address >> 16, address & 0xFFFF, size - 1
