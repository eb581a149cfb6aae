"""QEMU's educational PCI device: an interrupt at a write, a factorial, a DMA engine.

Source: QEMU documentation, "EDU device" (docs/specs/edu). Below offset 80h only 32-bit accesses are allowed.

Access kinds: the same page, which does not state what reserved bits read.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "DMA_ADDRESS_BITS",
    "EDU_BUFFER_OFFSET",
    "EDU_BUFFER_SIZE",
    "EDU_DEVICE_ID",
    "EDU_DMA_INTERRUPT",
    "EDU_VENDOR_ID",
    "FACTORIAL_INTERRUPT",
    "Edu",
    "EduAddress",
    "EduDmaCommand",
    "EduIdentification",
    "EduStatus",
    "EduValue",
    "TransferDirection",
]

EDU_VENDOR_ID = 0x1234
EDU_DEVICE_ID = 0x11E8
EDU_BUFFER_OFFSET = 0x4_0000  # the device's own DMA buffer, as its engine addresses it
EDU_BUFFER_SIZE = 4096
DMA_ADDRESS_BITS = 28  # of guest memory, unless dma_mask changes it
FACTORIAL_INTERRUPT = 0x1
EDU_DMA_INTERRUPT = 0x100


class TransferDirection(IntEnum):
    """Direction of a DMA transfer."""

    RAM_TO_EDU = 0
    EDU_TO_RAM = 1


class EduIdentification(Register, width=32):
    """Identification, RRrr00EDh."""

    IDENTIFICATION = Field(15, 0, access="ro")  # 00EDh
    MINOR = Field(23, 16, access="ro")
    MAJOR = Field(31, 24, access="ro")


class EduValue(Register, width=32):
    """A 32-bit number without fields."""


class EduStatus(Register, width=32, reserved="undefined"):
    """Status register."""

    COMPUTING = Field(0, access="ro")
    INTERRUPT_ENABLE = Field(7)  # raise an interrupt when the factorial is there


class EduAddress(Register, width=64):
    """DMA source, destination or count."""


class EduDmaCommand(Register, width=64, reserved="undefined"):
    """DMA command register; START clears itself at the end."""

    START = Field(0, effect="starts a transfer")
    DIRECTION = Field(1, values=TransferDirection)
    INTERRUPT_ENABLE = Field(2)  # raises interrupt 100h at the end


class Edu(Block):
    """BAR 0; the base is its address."""

    SPACE = Space.MMIO
    NAME = "edu"

    IDENTIFICATION = At(0x00, EduIdentification, access="ro")
    LIVENESS = At(0x04, EduValue, volatile=True)  # reads back inverted
    FACTORIAL = At(0x08, EduValue, effect="starts a computation")
    STATUS = At(0x20, EduStatus)
    INTERRUPT_STATUS = At(0x24, EduValue, access="ro")
    INTERRUPT_RAISE = At(0x60, EduValue, access="wo", effect="raises an interrupt")
    INTERRUPT_ACKNOWLEDGE = At(0x64, EduValue, access="wo", effect="clears interrupts")
    DMA_SOURCE = At(0x80, EduAddress)
    DMA_DESTINATION = At(0x88, EduAddress)
    DMA_COUNT = At(0x90, EduAddress)
    DMA_COMMAND = At(0x98, EduDmaCommand, volatile=True)  # keeps what was written with START
