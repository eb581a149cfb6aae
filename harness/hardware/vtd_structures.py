"""Intel VT-d structures in memory: root, context and second-stage entries, IRTEs, fault records, descriptors.

Source: Intel Virtualization Technology for Directed I/O Architecture Specification, revision 3.x, chapters "Translation
Structure Formats" and "Register Descriptions" ("Fault Recording Registers"), sections "Interrupt Remapping Table Entry
(IRTE) for Remapped Interrupts" and "Queued Invalidation Interface". Legacy mode, 128-bit descriptors.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.message import DeliveryMode, DestinationMode, TriggerMode
from harness.hardware.register import Field, Register

__all__ = [
    "AddressWidth",
    "ContextCacheInvalidate",
    "ContextEntry",
    "DescriptorType",
    "FaultReason",
    "FaultRecord",
    "Granularity",
    "InterruptEntryCacheInvalidate",
    "IotlbInvalidateDescriptor",
    "Irte",
    "RootEntry",
    "SecondStageEntry",
    "SourceValidation",
    "TranslationType",
    "WaitDescriptor",
]


class TranslationType(IntEnum):
    """T of a context entry."""

    UNTRANSLATED = 0
    ALL = 1
    PASS_THROUGH = 2


class AddressWidth(IntEnum):
    """AW of a context entry."""

    BITS_39 = 1
    BITS_48 = 2
    BITS_57 = 3


class FaultReason(IntEnum):
    """Fault reason codes, legacy mode and interrupt remapping."""

    ROOT_ENTRY_NOT_PRESENT = 0x01
    CONTEXT_ENTRY_NOT_PRESENT = 0x02
    CONTEXT_ENTRY_INVALID = 0x03
    ADDRESS_BEYOND_MGAW = 0x04
    WRITE = 0x05
    READ = 0x06
    NEXT_LEVEL_TABLE_POINTER = 0x07
    ROOT_TABLE_POINTER = 0x08
    CONTEXT_TABLE_POINTER = 0x09
    ROOT_ENTRY_RESERVED = 0x0A
    CONTEXT_ENTRY_RESERVED = 0x0B
    PAGING_ENTRY_RESERVED = 0x0C
    TRANSLATED_REQUEST_BLOCKED = 0x0D
    INTERRUPT_REQUEST_RESERVED = 0x20
    INTERRUPT_INDEX_TOO_LARGE = 0x21
    IRTE_NOT_PRESENT = 0x22
    INTERRUPT_TABLE_POINTER = 0x23
    IRTE_RESERVED = 0x24
    COMPATIBILITY_FORMAT_BLOCKED = 0x25
    SOURCE_ID = 0x26


class RootEntry(Register, width=128):
    """Root entry: one for each bus."""

    P = Field(0)
    CTP = Field(63, 12)  # context table, physical address >> 12


class ContextEntry(Register, width=128):
    """Context entry: one for each device and function."""

    P = Field(0)
    FPD = Field(1)  # fault processing disable
    T = Field(3, 2, TranslationType)
    SSPTPTR = Field(63, 12)  # second-stage table, physical address >> 12
    AW = Field(66, 64, AddressWidth)
    DID = Field(87, 72)


class SecondStageEntry(Register, width=64):
    """Second-stage paging entry, of any level."""

    R = Field(0)
    W = Field(1)
    X = Field(2)
    PS = Field(7)  # maps a large page
    SNP = Field(11)
    ADDRESS = Field(51, 12)  # physical address >> 12


class SourceValidation(IntEnum):
    """SVT of an IRTE."""

    NONE = 0
    SID = 1  # with SQ: which function bits are ignored
    BUS_RANGE = 2


class Irte(Register, width=128):
    """Interrupt remapping table entry for remapped interrupts. In xAPIC mode the APIC ID is DST bits 15:8."""

    P = Field(0)
    FPD = Field(1)
    DM = Field(2, values=DestinationMode)
    RH = Field(3)
    TM = Field(4, values=TriggerMode)
    DLM = Field(7, 5, DeliveryMode)
    AVAIL = Field(11, 8)
    IM = Field(15)  # 1: posted
    V = Field(23, 16)
    DST = Field(63, 32)
    SID = Field(79, 64)  # bus << 8 | device << 3 | function
    SQ = Field(81, 80)
    SVT = Field(83, 82, SourceValidation)


class FaultRecord(Register, width=128):
    """Fault recording register; F is write 1 to clear. For interrupts FI holds the index in bits 63:48."""

    FI = Field(63, 12, access="ro")  # page address >> 12
    SID = Field(79, 64, access="ro")
    T2 = Field(92, access="ro")
    PRIV = Field(93, access="ro")
    EXE = Field(94, access="ro")
    PP = Field(95, access="ro")
    FR = Field(103, 96, FaultReason, access="ro")
    PV = Field(123, 104, access="ro")
    AT = Field(125, 124, access="ro")
    T1 = Field(126, access="ro")  # with T2 = 0: 0 write request, 1 read request
    F = Field(127, access="w1c")


class DescriptorType(IntEnum):
    """Types of queued invalidation descriptors."""

    CONTEXT_CACHE = 1
    IOTLB = 2
    DEVICE_TLB = 3
    INTERRUPT_ENTRY_CACHE = 4
    WAIT = 5


class Granularity(IntEnum):
    """G of context-cache and IOTLB invalidations."""

    GLOBAL = 1
    DOMAIN = 2
    SELECTIVE = 3  # device (context cache), pages (IOTLB)


class ContextCacheInvalidate(Register, width=128):
    """cc_inv_dsc; TYPE 1."""

    TYPE = Field(3, 0, DescriptorType)
    G = Field(5, 4, Granularity)
    DID = Field(31, 16)
    SID = Field(47, 32)
    FM = Field(49, 48)


class IotlbInvalidateDescriptor(Register, width=128):
    """iotlb_inv_dsc; TYPE 2."""

    TYPE = Field(3, 0, DescriptorType)
    G = Field(5, 4, Granularity)
    DW = Field(6)
    DR = Field(7)
    DID = Field(31, 16)
    AM = Field(69, 64)  # 2 ** AM pages
    IH = Field(70)
    ADDRESS = Field(127, 76)  # address >> 12


class InterruptEntryCacheInvalidate(Register, width=128):
    """iec_inv_dsc; TYPE 4."""

    TYPE = Field(3, 0, DescriptorType)
    G = Field(4)  # 0 global, 1 index selective
    IM = Field(31, 27)  # 2 ** IM entries
    IIDX = Field(47, 32)


class WaitDescriptor(Register, width=128):
    """inv_wait_dsc; TYPE 5."""

    TYPE = Field(3, 0, DescriptorType)
    IF = Field(4)  # raise the invalidation completion event
    SW = Field(5)  # write STATUS_DATA
    FN = Field(6)
    STATUS_DATA = Field(63, 32)
    STATUS_ADDRESS = Field(127, 66)  # address >> 2
