"""The local APIC, reached by MMIO (xAPIC) or by MSRs (x2APIC).

Source: Intel 64 and IA-32 SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": sections "Local APIC Block
Diagram" (register address map), "Issuing Interprocessor Interrupts", "Handling Interrupts", "Extended XAPIC (x2APIC)".
The local vector table and the timer are in `harness.hardware.lapic_lvt`. Offsets are bytes from the base; every xAPIC
register is 32 bit wide and aligned to 16 bytes.

Access kinds: the figures and tables of the same sections; "Error Handling" (ESR), "Logical Destination Mode and
Logical APIC ID" (LDR, DFR: bits 27:0 are all ones), "x2APIC Register Address Space" (reserved bits fault). What
reserved bits of the xAPIC read is not stated: vol. 1, "Reserved Bits and Software Compatibility".
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, AtArray, Block, Space
from harness.hardware.lapic_lvt import (
    CurrentCount,
    DivideConfiguration,
    InitialCount,
    LvtCmci,
    LvtError,
    LvtLint,
    LvtPerformance,
    LvtThermal,
    LvtTimer,
)
from harness.hardware.message import DeliveryMode, DeliveryStatus, DestinationMode, TriggerMode
from harness.hardware.register import Field, Register

__all__ = [
    "APIC_DEFAULT_BASE",
    "BROADCAST",
    "SNAPSHOT_OFFSETS",
    "Apr",
    "DeliveryMode",
    "DeliveryStatus",
    "DestinationMode",
    "DestinationModel",
    "DestinationShorthand",
    "Dfr",
    "Eoi",
    "Esr",
    "IcrHigh",
    "IcrLow",
    "Ldr",
    "Level",
    "LocalApic",
    "LocalApicId",
    "LocalApicVersion",
    "Ppr",
    "RemoteRead",
    "SelfIpi",
    "Svr",
    "Tpr",
    "TriggerMode",
    "VectorBits",
    "X2Apic",
    "X2ApicId",
    "X2ApicLdr",
    "X2Icr",
]

APIC_DEFAULT_BASE = 0xFEE0_0000
BROADCAST = 0xFF  # xAPIC destination of a broadcast, physical and logical


class DestinationShorthand(IntEnum):
    """Destinations that need no destination field (ICR bits 19:18)."""

    NO_SHORTHAND = 0
    SELF = 1
    ALL_INCLUDING_SELF = 2
    ALL_EXCLUDING_SELF = 3


class DestinationModel(IntEnum):
    """How the logical APIC ID is read (DFR bits 31:28)."""

    CLUSTER = 0
    FLAT = 0xF


class Level(IntEnum):
    """ICR bit 14: de-assert only for the INIT level de-assert message (not supported since the Pentium 4)."""

    DE_ASSERT = 0
    ASSERT = 1


class LocalApicId(Register, width=32, reserved="undefined"):
    """Local APIC ID Register, xAPIC: 8 bits."""

    APIC_ID = Field(31, 24)


class X2ApicId(Register, width=32):
    """Local APIC ID Register, x2APIC: all 32 bits, read-only."""

    APIC_ID = Field(31, 0, access="ro")


class LocalApicVersion(Register, width=32, reserved="undefined"):
    """Local APIC Version Register."""

    VERSION = Field(7, 0, access="ro")  # 10h to 15h: integrated APIC
    MAX_LVT_ENTRY = Field(23, 16, access="ro")  # number of LVT entries minus 1
    EOI_BROADCAST_SUPPRESSION = Field(24, access="ro")


class Tpr(Register, width=32, reserved="undefined"):
    """Task Priority Register. CR8 is the class, `PRIORITY_CLASS`, alone."""

    PRIORITY_CLASS = Field(7, 4)
    PRIORITY_SUB_CLASS = Field(3, 0)


class Apr(Register, width=32, reserved="undefined"):
    """Arbitration Priority Register (not on the Pentium 4 and later)."""

    PRIORITY_CLASS = Field(7, 4, access="ro")
    PRIORITY_SUB_CLASS = Field(3, 0, access="ro")


class Ppr(Register, width=32, reserved="undefined"):
    """Processor Priority Register: what interrupts the processor takes now."""

    PRIORITY_CLASS = Field(7, 4, access="ro")
    PRIORITY_SUB_CLASS = Field(3, 0, access="ro")


class Eoi(Register, width=32):
    """EOI Register: write 0 at the end of a handler (x2APIC: any other value is #GP)."""


class RemoteRead(Register, width=32):
    """Remote Read Register (not on current processors)."""


class Ldr(Register, width=32, reserved="undefined"):
    """Logical Destination Register, xAPIC. In the cluster model 31:28 is the cluster and 27:24 the member."""

    LOGICAL_APIC_ID = Field(31, 24)


class X2ApicLdr(Register, width=32):
    """Logical Destination Register, x2APIC: derived from the APIC ID, read-only."""

    CLUSTER_ID = Field(31, 16, access="ro")
    LOGICAL_ID = Field(15, 0, access="ro")

    @classmethod
    def derived(cls, apic_id: int) -> X2ApicLdr:
        """The logical x2APIC ID of x2APIC ID `apic_id` (SDM, "Deriving Logical x2APIC ID from the Local x2APIC ID")."""
        return cls.of(CLUSTER_ID=apic_id >> 4, LOGICAL_ID=1 << (apic_id & 0xF))


class Dfr(Register, width=32, reserved="ones"):
    """Destination Format Register, xAPIC only. The reserved bits are all ones: use `Dfr.model`."""

    MODEL = Field(31, 28, DestinationModel)

    @classmethod
    def model(cls, model: DestinationModel) -> Dfr:
        """The value to write for this model: FFFFFFFFh (flat) or 0FFFFFFFh (cluster)."""
        return cls.of(0x0FFF_FFFF, MODEL=model)


class Svr(Register, width=32, reserved="undefined"):
    """Spurious-Interrupt Vector Register; 1FFh enables the APIC with spurious vector FFh."""

    VECTOR = Field(7, 0)
    ENABLE = Field(8, effect="software disable sets every mask of the LVT")
    FOCUS_PROCESSOR_CHECKING = Field(9, optional=True)  # 1 disables it; reserved since the Pentium 4
    EOI_BROADCAST_SUPPRESSION = Field(12, optional=True)


class VectorBits(Register, width=32):
    """A 32-vector slice of ISR, TMR or IRR: bit n of slice i is vector 32 * i + n.

    `vector in bits` is whether the vector's bit is set: of the slice that was read for that vector.
    """

    def __contains__(self, vector: int) -> bool:
        """Whether bit `vector % 32` is set."""
        return bool(int(self) >> vector % 32 & 1)


class Esr(Register, width=32, reserved="undefined"):
    """Error Status Register: write (any value) before each read, which latches what was seen since the last."""

    SEND_CHECKSUM_ERROR = Field(0, access="ro")
    RECEIVE_CHECKSUM_ERROR = Field(1, access="ro")
    SEND_ACCEPT_ERROR = Field(2, access="ro")
    RECEIVE_ACCEPT_ERROR = Field(3, access="ro")
    REDIRECTABLE_IPI = Field(4, access="ro")
    SEND_ILLEGAL_VECTOR = Field(5, access="ro")
    RECEIVED_ILLEGAL_VECTOR = Field(6, access="ro")
    ILLEGAL_REGISTER_ADDRESS = Field(7, access="ro")


class IcrLow(Register, width=32, reserved="undefined"):
    """Interrupt Command Register bits 31:0; writing them sends the message."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    DESTINATION_MODE = Field(11, values=DestinationMode)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    LEVEL = Field(14, values=Level)
    TRIGGER_MODE = Field(15, values=TriggerMode)
    DESTINATION_SHORTHAND = Field(19, 18, DestinationShorthand)


class IcrHigh(Register, width=32, reserved="undefined"):
    """Interrupt Command Register bits 63:32, xAPIC."""

    DESTINATION = Field(31, 24)


class X2Icr(Register, width=64, reserved="fault"):
    """Interrupt Command Register, x2APIC: one 64-bit MSR, 32-bit destination, no delivery status."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    DESTINATION_MODE = Field(11, values=DestinationMode)
    LEVEL = Field(14, values=Level)
    TRIGGER_MODE = Field(15, values=TriggerMode)
    DESTINATION_SHORTHAND = Field(19, 18, DestinationShorthand)
    DESTINATION = Field(63, 32)


class SelfIpi(Register, width=32, reserved="undefined"):
    """SELF IPI Register (x2APIC): sends a fixed edge interrupt to this processor."""

    VECTOR = Field(7, 0, access="wo")


class LocalApic(Block):
    """The xAPIC register page."""

    SPACE = Space.MMIO
    BASE = APIC_DEFAULT_BASE
    NAME = "lapic"

    ID = At(0x20, LocalApicId, effect="changes the identity by which interrupts find the processor")
    VERSION = At(0x30, LocalApicVersion, access="ro")
    TPR = At(0x80, Tpr)
    APR = At(0x90, Apr, access="ro", effect="an illegal register address since the Pentium 4")
    PPR = At(0xA0, Ppr, access="ro")
    EOI = At(0xB0, Eoi, access="wo", effect="ends the highest interrupt in service")
    RRD = At(0xC0, RemoteRead, access="ro", effect="an illegal register address since the Pentium 4")
    LDR = At(0xD0, Ldr)
    DFR = At(0xE0, Dfr)
    SVR = At(0xF0, Svr)
    ISR = AtArray(0x100, VectorBits, count=8, stride=0x10, access="ro")
    TMR = AtArray(0x180, VectorBits, count=8, stride=0x10, access="ro")
    IRR = AtArray(0x200, VectorBits, count=8, stride=0x10, access="ro")
    ESR = At(0x280, Esr, effect="latches the errors since the last write")
    LVT_CMCI = At(0x2F0, LvtCmci, effect="an illegal register address unless the maximum LVT entry is 6")
    ICR_LOW = At(0x300, IcrLow, effect="sends an interrupt message")
    ICR_HIGH = At(0x310, IcrHigh)
    LVT_TIMER = At(0x320, LvtTimer)
    LVT_THERMAL = At(0x330, LvtThermal)
    LVT_PERFORMANCE = At(0x340, LvtPerformance)
    LVT_LINT0 = At(0x350, LvtLint)
    LVT_LINT1 = At(0x360, LvtLint)
    LVT_ERROR = At(0x370, LvtError)
    INITIAL_COUNT = At(0x380, InitialCount)
    CURRENT_COUNT = At(0x390, CurrentCount, access="ro", volatile=True)
    DIVIDE_CONFIGURATION = At(0x3E0, DivideConfiguration)


class X2Apic(Block):
    """The x2APIC registers in MSR space: MSR 800h + (xAPIC offset / 16). There is no DFR and no ICR_HIGH."""

    SPACE = Space.MSR
    BASE = 0x800
    NAME = "x2apic"

    ID = At(0x02, X2ApicId, access="ro")
    VERSION = At(0x03, LocalApicVersion, access="ro")
    TPR = At(0x08, Tpr)
    PPR = At(0x0A, Ppr, access="ro")
    EOI = At(0x0B, Eoi, access="wo", effect="ends the highest interrupt in service")
    LDR = At(0x0D, X2ApicLdr, access="ro")
    SVR = At(0x0F, Svr)
    ISR = AtArray(0x10, VectorBits, count=8, stride=1, access="ro")
    TMR = AtArray(0x18, VectorBits, count=8, stride=1, access="ro")
    IRR = AtArray(0x20, VectorBits, count=8, stride=1, access="ro")
    ESR = At(0x28, Esr, effect="latches the errors; any value but 0 faults")
    LVT_CMCI = At(0x2F, LvtCmci, effect="faults unless the maximum LVT entry is 6")
    ICR = At(0x30, X2Icr, effect="sends an interrupt message")
    LVT_TIMER = At(0x32, LvtTimer)
    LVT_THERMAL = At(0x33, LvtThermal)
    LVT_PERFORMANCE = At(0x34, LvtPerformance)
    LVT_LINT0 = At(0x35, LvtLint)
    LVT_LINT1 = At(0x36, LvtLint)
    LVT_ERROR = At(0x37, LvtError)
    INITIAL_COUNT = At(0x38, InitialCount)
    CURRENT_COUNT = At(0x39, CurrentCount, access="ro", volatile=True)
    DIVIDE_CONFIGURATION = At(0x3E, DivideConfiguration)
    SELF_IPI = At(0x3F, SelfIpi, access="wo", effect="sends an interrupt")


# What a guest may read into a 64-dword snapshot without setting ESR's Illegal Register Address bit. LVT CMCI (2F0h) is
# left out because its presence must be read from the version register first; RRD and EOI because they are not readable.
SNAPSHOT_OFFSETS: tuple[int, ...] = (
    *(0x20, 0x30, 0x80, 0x90, 0xA0, 0xD0, 0xE0, 0xF0),
    *range(0x100, 0x290, 0x10),
    *range(0x300, 0x3A0, 0x10),
    0x3E0,
)
