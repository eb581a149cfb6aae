"""Intel VT-d: registers of one remapping unit.

Source: Intel Virtualization Technology for Directed I/O Architecture Specification, revision 3.x, chapter "Register
Descriptions". Structures in memory are in `vtd_structures`.

Access kinds: the same chapter. Reserved bits are read-only zero (RsvdP, RsvdZ), but later revisions define more
capabilities; of addresses the hardware implements the bits that it needs.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.msi import MessageAddress, MessageData
from harness.hardware.pci import OptionalDword
from harness.hardware.register import Field, Register

__all__ = [
    "VTD_DEFAULT_BASE",
    "Capability",
    "ContextCommand",
    "EventData",
    "ExtendedCapability",
    "FaultEventControl",
    "FaultStatus",
    "GlobalCommand",
    "GlobalStatus",
    "InterruptRemappingTableAddress",
    "InvalidationCompletionStatus",
    "InvalidationEventControl",
    "InvalidationQueueAddress",
    "InvalidationQueuePointer",
    "IotlbInvalidate",
    "RootTableAddress",
    "TranslationTableMode",
    "VtdUnit",
    "VtdVersion",
    "fault_recording_offset",
    "iotlb_offset",
]

VTD_DEFAULT_BASE = 0xFED9_0000  # hw/i386/intel_iommu: Q35_HOST_BRIDGE_IOMMU_ADDR; the DMAR table has it


class VtdVersion(Register, width=32, reserved="zero"):
    """VER_REG."""

    MIN = Field(3, 0, access="ro")
    MAX = Field(7, 4, access="ro")


class Capability(Register, width=64, reserved="undefined"):
    """CAP_REG."""

    ND = Field(2, 0, access="ro")  # 2 ** (4 + 2 * ND) domains
    AFL = Field(3, access="ro")
    RWBF = Field(4, access="ro")
    PLMR = Field(5, access="ro")
    PHMR = Field(6, access="ro")
    CM = Field(7, access="ro")  # caching mode
    SAGAW = Field(12, 8, access="ro")  # bit 1: 3-level, bit 2: 4-level, bit 3: 5-level tables
    MGAW = Field(21, 16, access="ro")  # guest address width minus 1
    ZLR = Field(22, access="ro")
    FRO = Field(33, 24, access="ro")  # fault recording registers, in units of 16 bytes
    SLLPS = Field(37, 34, access="ro")
    PSI = Field(39, access="ro")
    NFR = Field(47, 40, access="ro")  # number of fault recording registers minus 1
    MAMV = Field(53, 48, access="ro")
    DWD = Field(54, access="ro")
    DRD = Field(55, access="ro")
    FL1GP = Field(56, access="ro")
    PI = Field(59, access="ro")
    FL5LP = Field(60, access="ro")


class ExtendedCapability(Register, width=64, reserved="undefined"):
    """ECAP_REG."""

    C = Field(0, access="ro")
    QI = Field(1, access="ro")  # queued invalidation
    DT = Field(2, access="ro")
    IR = Field(3, access="ro")  # interrupt remapping
    EIM = Field(4, access="ro")  # x2APIC destinations
    PT = Field(6, access="ro")  # pass through
    SC = Field(7, access="ro")
    IRO = Field(17, 8, access="ro")  # IOTLB registers, in units of 16 bytes
    MHMV = Field(23, 20, access="ro")
    NEST = Field(26, access="ro")
    PRS = Field(29, access="ro")
    PASID = Field(40, access="ro")
    SMTS = Field(43, access="ro")
    SLTS = Field(46, access="ro")
    FLTS = Field(47, access="ro")


class GlobalCommand(Register, width=32, reserved="undefined"):
    """GCMD_REG: one bit a write, the others as GSTS_REG has them; wait for GSTS_REG."""

    CFI = Field(23, access="wo")  # compatibility format interrupts pass
    SIRTP = Field(24, access="wo")  # set interrupt remapping table pointer
    IRE = Field(25, access="wo")
    QIE = Field(26, access="wo")
    WBF = Field(27, access="wo")
    EAFL = Field(28, access="wo")
    SFL = Field(29, access="wo")
    SRTP = Field(30, access="wo")  # set root table pointer
    TE = Field(31, access="wo")  # translation enable


class GlobalStatus(Register, width=32, reserved="zero"):
    """GSTS_REG."""

    CFIS = Field(23, access="ro")
    IRTPS = Field(24, access="ro")
    IRES = Field(25, access="ro")
    QIES = Field(26, access="ro")
    WBFS = Field(27, access="ro")
    AFLS = Field(28, access="ro")
    FLS = Field(29, access="ro")
    RTPS = Field(30, access="ro")
    TES = Field(31, access="ro")


class TranslationTableMode(IntEnum):
    """TTM of RTADDR_REG."""

    LEGACY = 0
    SCALABLE = 1
    ABORT_DMA = 3


class RootTableAddress(Register, width=64, reserved="zero"):
    """RTADDR_REG."""

    TTM = Field(11, 10, TranslationTableMode, optional=True)
    RTA = Field(63, 12, optional=True)  # physical address >> 12


class ContextCommand(Register, width=64, reserved="zero"):
    """CCMD_REG: register-based context cache invalidation."""

    DID = Field(15, 0)
    SID = Field(31, 16, access="wo")
    FM = Field(33, 32, access="wo")
    CAIG = Field(60, 59, access="ro", volatile=True)
    CIRG = Field(62, 61)  # 1 global, 2 domain, 3 device
    ICC = Field(63, access="w1s", effect="invalidates context entries")


class IotlbInvalidate(Register, width=64):
    """IOTLB_REG, at `iotlb_offset` + 8."""

    DID = Field(47, 32)
    DW = Field(48)
    DR = Field(49)
    IAIG = Field(58, 57, access="ro")
    IIRG = Field(61, 60)  # 1 global, 2 domain, 3 page
    IVT = Field(63)


class FaultStatus(Register, width=32, reserved="zero"):
    """FSTS_REG."""

    PFO = Field(0, access="w1c")  # overflow
    PPF = Field(1, access="ro")  # some fault recording register has F set
    IQE = Field(4, access="w1c")
    ICE = Field(5, access="w1c")
    ITE = Field(6, access="w1c")
    FRI = Field(15, 8, access="ro")  # index of the first pending record


class FaultEventControl(Register, width=32, reserved="zero"):
    """FECTL_REG."""

    IP = Field(30, access="ro")
    IM = Field(31)


class InvalidationQueuePointer(Register, width=64, reserved="zero"):
    """IQH_REG and IQT_REG: descriptor number, of 16 bytes each."""

    OFFSET = Field(18, 4)


class InvalidationQueueAddress(Register, width=64, reserved="zero"):
    """IQA_REG."""

    QS = Field(2, 0)  # 2 ** QS pages
    DW = Field(11, optional=True)  # 1: 256-bit descriptors
    IQA = Field(63, 12, optional=True)  # physical address >> 12


class InvalidationCompletionStatus(Register, width=32, reserved="zero"):
    """ICS_REG."""

    IWC = Field(0, access="w1c")


class InvalidationEventControl(Register, width=32, reserved="zero"):
    """IECTL_REG."""

    IP = Field(30, access="ro")
    IM = Field(31)


class InterruptRemappingTableAddress(Register, width=64, reserved="zero"):
    """IRTA_REG."""

    S = Field(3, 0)  # 2 ** (S + 1) entries
    EIME = Field(11, optional=True)
    IRTA = Field(63, 12, optional=True)  # physical address >> 12


class EventData(MessageData):
    """FEDATA_REG and IEDATA_REG; the upper half is there with extended message data only."""

    SYSTEM_31_16 = Field(31, 16, optional=True)


class VtdUnit(Block):
    """One remapping hardware unit."""

    SPACE = Space.MMIO
    BASE = VTD_DEFAULT_BASE
    NAME = "vtd"

    VER = At(0x00, VtdVersion, access="ro")
    CAP = At(0x08, Capability, access="ro")
    ECAP = At(0x10, ExtendedCapability, access="ro")
    GCMD = At(0x18, GlobalCommand, access="wo", effect="switches the unit's functions")
    GSTS = At(0x1C, GlobalStatus, access="ro")
    RTADDR = At(0x20, RootTableAddress)
    CCMD = At(0x28, ContextCommand)
    FSTS = At(0x34, FaultStatus)
    FECTL = At(0x38, FaultEventControl)
    FEDATA = At(0x3C, EventData)
    FEADDR = At(0x40, MessageAddress)
    FEUADDR = At(0x44, OptionalDword)
    IQH = At(0x80, InvalidationQueuePointer, access="ro")
    IQT = At(0x88, InvalidationQueuePointer)
    IQA = At(0x90, InvalidationQueueAddress)
    ICS = At(0x9C, InvalidationCompletionStatus)
    IECTL = At(0xA0, InvalidationEventControl)
    IEDATA = At(0xA4, EventData)
    IEADDR = At(0xA8, MessageAddress)
    IEUADDR = At(0xAC, OptionalDword)
    IRTA = At(0xB8, InterruptRemappingTableAddress)


def fault_recording_offset(capability: Capability, index: int = 0) -> int:
    """Offset of fault recording register `index` (a 128-bit `vtd_structures.FaultRecord`)."""
    return capability.FRO * 16 + index * 16


def iotlb_offset(capability: ExtendedCapability) -> int:
    """Offset of IVA_REG; IOTLB_REG is 8 bytes behind it."""
    return capability.IRO * 16
