"""MSI-X: capability, vector table, pending bit array.

Source: PCI Local Bus Specification 3.0, section 6.8.2 "MSI-X Capability & Table Structures".

Access kinds: the same section. What a write of the Pending Bit Array does, or one that sets address bits 1:0, is
undefined.
"""

from __future__ import annotations

from harness.hardware.block import Array, At, AtArray, Block, Space
from harness.hardware.msi import MessageAddress, MessageData
from harness.hardware.pci import CapabilityHeader, Plain32
from harness.hardware.register import Field, Register

__all__ = [
    "ENTRY_SIZE",
    "MAX_VECTORS",
    "EntryAddress",
    "MsixCapability",
    "MsixControl",
    "MsixEntry",
    "MsixPba",
    "MsixTable",
    "PendingBits",
    "TableOffset",
    "VectorControl",
]

ENTRY_SIZE = 16  # bytes
MAX_VECTORS = 2048


class MsixControl(Register, width=16, reserved="zero"):
    """Message Control of the MSI-X capability."""

    TABLE_SIZE = Field(10, 0, access="ro")  # number of entries minus 1
    FUNCTION_MASK = Field(14)
    ENABLE = Field(15)


class TableOffset(Register, width=32):
    """Table (or PBA) Offset and BIR: which BAR, and where in it."""

    BIR = Field(2, 0, access="ro")
    OFFSET = Field(31, 3, access="ro")  # qwords

    @property
    def offset(self) -> int:
        """Bytes from the start of the BAR."""
        return self.OFFSET << 3


class MsixCapability(Block):
    """The capability. The base is the function's configuration space plus the capability's offset."""

    SPACE = Space.CONFIG
    NAME = "msix"

    HEADER = At(0x00, CapabilityHeader, access="ro")
    CONTROL = At(0x02, MsixControl)
    TABLE = At(0x04, TableOffset, access="ro")
    PBA = At(0x08, TableOffset, access="ro")


class EntryAddress(MessageAddress, reserved="preserve"):
    """Message Address of an entry."""


class VectorControl(Register, width=32, reserved="preserve"):
    """Vector Control of one entry; MASK is 1 at reset."""

    MASK = Field(0)


class MsixEntry(Block):
    """One table entry."""

    SPACE = Space.MMIO

    ADDRESS = At(0x0, EntryAddress)
    ADDRESS_UPPER = At(0x4, Plain32)
    DATA = At(0x8, MessageData)
    CONTROL = At(0xC, VectorControl)


class MsixTable(Block):
    """The vector table; the base is the BAR's address plus the table's offset."""

    SPACE = Space.MMIO
    NAME = "msix_table"

    ENTRY = Array(0, MsixEntry, count=MAX_VECTORS, stride=ENTRY_SIZE)


class PendingBits(Register, width=64):
    """One qword of the Pending Bit Array: bit n of qword i is vector 64 * i + n."""


class MsixPba(Block):
    """The Pending Bit Array; the base is the BAR's address plus its offset."""

    SPACE = Space.MMIO
    NAME = "msix_pba"

    PENDING = AtArray(
        0, PendingBits, count=MAX_VECTORS // 64, stride=8, access="ro", effect="the result of a write is undefined"
    )
