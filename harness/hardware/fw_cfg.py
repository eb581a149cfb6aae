"""QEMU's firmware configuration device, on ports 510h to 51Bh.

Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device" (docs/specs/fw_cfg). The DMA registers and the
control structure are big-endian: their values here are before the byte swap that the CPU must do.

Access kinds: the same page: the selector is write-only, the data read-only.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "DMA_CONTROL_SIZE",
    "SIGNATURE",
    "DmaControl",
    "FwCfg",
    "FwCfgByte",
    "FwCfgDmaAddress",
    "FwCfgSelector",
    "Key",
]

SIGNATURE = b"QEMU"
DMA_CONTROL_SIZE = 16  # control, length (32 bits each), address (64 bits)


class Key(IntEnum):
    """Well-known items."""

    SIGNATURE = 0x0000
    ID = 0x0001
    RAM_SIZE = 0x0003
    NB_CPUS = 0x0005
    MAX_CPUS = 0x000F
    FILE_DIR = 0x0019


class FwCfgSelector(Register, width=16):
    """Selector: a write chooses the item and rewinds it."""

    KEY = Field(15, 0, Key)


class FwCfgByte(Register, width=8):
    """The item's next byte."""


class FwCfgDmaAddress(Register, width=32):
    """Half of the physical address of a control structure, big-endian; writing the low half starts the transfer."""


class DmaControl(Register, width=32):
    """control of the DMA structure; 0 after success."""

    ERROR = Field(0)
    READ = Field(1)
    SKIP = Field(2)
    SELECT = Field(3)
    WRITE = Field(4)
    KEY = Field(31, 16)


class FwCfg(Block):
    """The x86 form."""

    SPACE = Space.PORT
    BASE = 0x510
    NAME = "fw_cfg"

    SELECTOR = At(0, FwCfgSelector, access="wo")
    DATA = At(1, FwCfgByte, access="ro")
    DMA_ADDRESS_HIGH = At(4, FwCfgDmaAddress, volatile=True)
    DMA_ADDRESS_LOW = At(8, FwCfgDmaAddress, effect="starts a transfer")
