"""xHCI: the registers that an interrupter needs: capability, operational and runtime registers, event ring segments.

Source: Intel eXtensible Host Controller Interface for USB 1.2, chapter 5 "Register Interface" ("Host Controller
Capability Registers", "Host Controller Operational Registers", "Host Controller Runtime Registers") and 6.5 "Event Ring
Segment Table".

Access kinds: the same chapter; software preserves reserved bits, and what they read is not stated.
"""

from __future__ import annotations

from harness.hardware.block import Array, At, Block, Space
from harness.hardware.pci import Plain8, Plain16, Plain32
from harness.hardware.register import Field, Register

__all__ = [
    "ERST_ALIGNMENT",
    "TRB_SIZE",
    "Configure",
    "EventRingDequeuePointer",
    "EventRingSegment",
    "EventRingSegmentTableSize",
    "EventRingTableBase",
    "InterrupterManagement",
    "InterrupterModeration",
    "InterrupterRegisters",
    "RuntimeOffset",
    "StructuralParameters1",
    "UsbCommand",
    "UsbStatus",
    "XhciCapability",
    "XhciOperational",
    "XhciRuntime",
]

TRB_SIZE = 16  # bytes
ERST_ALIGNMENT = 64  # bytes, of the segment table and of each segment


class StructuralParameters1(Register, width=32, reserved="preserve"):
    """HCSPARAMS1."""

    MAX_SLOTS = Field(7, 0, access="ro")
    MAX_INTRS = Field(18, 8, access="ro")  # number of interrupters
    MAX_PORTS = Field(31, 24, access="ro")


class RuntimeOffset(Register, width=32, reserved="preserve"):
    """RTSOFF: the runtime registers' distance from the base, in units of 32 bytes."""

    OFFSET = Field(31, 5, access="ro")


class XhciCapability(Block):
    """Host Controller Capability Registers, at the start of BAR 0."""

    SPACE = Space.MMIO
    NAME = "xhci"

    CAPLENGTH = At(0x00, Plain8, access="ro")
    HCIVERSION = At(0x02, Plain16, access="ro")
    HCSPARAMS1 = At(0x04, StructuralParameters1, access="ro")
    DBOFF = At(0x14, Plain32, access="ro")
    RTSOFF = At(0x18, RuntimeOffset, access="ro")


class UsbCommand(Register, width=32, reserved="preserve"):
    """USBCMD."""

    RS = Field(0, effect="runs the controller")  # run
    HCRST = Field(1, effect="resets the controller")  # 0 again when the reset is done
    INTE = Field(2)
    HSEE = Field(3, optional=True)


class UsbStatus(Register, width=32, reserved="preserve"):
    """USBSTS."""

    HCH = Field(0, access="ro")  # halted
    HSE = Field(2, access="w1c")
    EINT = Field(3, access="w1c")
    PCD = Field(4, access="w1c")
    CNR = Field(11, access="ro")  # not ready
    HCE = Field(12, access="ro")


class Configure(Register, width=32, reserved="preserve"):
    """CONFIG."""

    MAX_SLOTS_EN = Field(7, 0)


class XhciOperational(Block):
    """Host Controller Operational Registers, CAPLENGTH bytes behind the base."""

    SPACE = Space.MMIO
    NAME = "xhci_operational"

    USBCMD = At(0x00, UsbCommand)
    USBSTS = At(0x04, UsbStatus)
    PAGESIZE = At(0x08, Plain32, access="ro")
    CONFIG = At(0x38, Configure)


class InterrupterManagement(Register, width=32, reserved="preserve"):
    """IMAN."""

    IP = Field(0, access="w1c")
    IE = Field(1)


class InterrupterModeration(Register, width=32):
    """IMOD, in units of 250 ns; 4000 after reset."""

    IMODI = Field(15, 0)
    IMODC = Field(31, 16, volatile=True)


class EventRingSegmentTableSize(Register, width=32, reserved="preserve"):
    """ERSTSZ: segments."""

    SIZE = Field(15, 0)


class EventRingTableBase(Register, width=32, reserved="preserve"):
    """ERSTBA, low half."""

    ADDRESS_31_6 = Field(31, 6)


class EventRingDequeuePointer(Register, width=32):
    """ERDP, low half."""

    DESI = Field(2, 0)
    EHB = Field(3, access="w1c")  # event handler busy
    POINTER = Field(31, 4)  # address >> 4


class InterrupterRegisters(Block):
    """One interrupter's register set."""

    SPACE = Space.MMIO

    IMAN = At(0x00, InterrupterManagement)
    IMOD = At(0x04, InterrupterModeration)
    ERSTSZ = At(0x08, EventRingSegmentTableSize)
    ERSTBA_LOW = At(0x10, EventRingTableBase)
    ERSTBA_HIGH = At(0x14, Plain32, effect="loads the event ring segment table")
    ERDP_LOW = At(0x18, EventRingDequeuePointer)
    ERDP_HIGH = At(0x1C, Plain32)


class XhciRuntime(Block):
    """Host Controller Runtime Registers, RTSOFF bytes behind the base."""

    SPACE = Space.MMIO
    NAME = "xhci_runtime"

    MFINDEX = At(0x00, Plain32, access="ro", volatile=True)
    INTERRUPTER = Array(0x20, InterrupterRegisters, count=1023, stride=0x20)


class EventRingSegment(Register, width=128):
    """Event Ring Segment Table entry."""

    BASE = Field(63, 6)  # address >> 6
    SIZE = Field(79, 64)  # TRBs, 16 to 4096
