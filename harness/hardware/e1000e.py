"""The 82574L (QEMU's e1000e): interrupts, one receive ring, one transmit ring.

Source: Intel 82574 GbE Controller Family datasheet, chapters "Programming Interface" ("Register Summary Table",
"Interrupt Register Descriptions", "Receive Register Descriptions", "Transmit Register Descriptions") and "Inline
Functions" ("Legacy Receive Descriptor Format", "Legacy Transmit Descriptor Format").

Access kinds: the same chapters. Reserved bits of the control registers are not stated; those of the ring registers and
of receive addresses read as 0.
"""

from __future__ import annotations

from harness.hardware.block import Array, At, AtArray, Block, Space
from harness.hardware.pci import Plain32
from harness.hardware.register import Field, Register

__all__ = [
    "DESCRIPTOR_SIZE",
    "E1000E_DEVICE_ID",
    "E1000E_VENDOR_ID",
    "RING_ALIGNMENT",
    "AbsoluteDelay",
    "AutoClear",
    "DelayTimer",
    "DescriptorControl",
    "DeviceControl",
    "DeviceStatus",
    "E1000e",
    "ExtendedControl",
    "InterruptCause",
    "InterruptCauseRead",
    "InterruptThrottling",
    "InterruptVectorAllocation",
    "ReceiveAddress",
    "ReceiveAddressHigh",
    "ReceiveControl",
    "ReceiveDescriptor",
    "ReceiveRing",
    "RingBase",
    "RingLength",
    "RingPointer",
    "TransmitControl",
    "TransmitDescriptor",
    "TransmitRing",
]

E1000E_VENDOR_ID = 0x8086
E1000E_DEVICE_ID = 0x10D3
DESCRIPTOR_SIZE = 16
RING_ALIGNMENT = 16  # bytes; the length is a multiple of 128


class DeviceControl(Register, width=32, reserved="undefined"):
    """CTRL."""

    FD = Field(0)
    GIO_MASTER_DISABLE = Field(2, effect="stops the card's accesses")
    ASDE = Field(5)
    SLU = Field(6, effect="sets the link up")  # set link up
    SPEED = Field(9, 8)
    FRCSPD = Field(11)
    FRCDPLX = Field(12)
    RST = Field(26, access="w1s", effect="resets the card")
    RFCE = Field(27)
    TFCE = Field(28)
    VME = Field(30)
    PHY_RST = Field(31, effect="resets the PHY")


class DeviceStatus(Register, width=32, reserved="undefined"):
    """STATUS."""

    FD = Field(0, access="ro")
    LU = Field(1, access="ro", volatile=True)  # link up
    LAN_ID = Field(3, 2, access="ro")
    TXOFF = Field(4, access="ro")
    SPEED = Field(7, 6, access="ro")
    GIO_MASTER_ENABLE = Field(19, access="ro")


class ExtendedControl(Register, width=32, reserved="undefined"):
    """CTRL_EXT."""

    EIAME = Field(24)  # extended interrupt auto-mask
    IAME = Field(27)  # interrupt acknowledge auto-mask
    INT_TIMERS_CLEAR_ENA = Field(29)
    PBA_SUPPORT = Field(31)  # MSI-X: the device clears pending bits as the specification requires


class InterruptCause(Register, width=32, reserved="undefined"):
    """ICS, IMS, IMC: causes to set, to enable, to disable (writing 1s)."""

    TXDW = Field(0)
    TXQE = Field(1)
    LSC = Field(2)
    RXDMT0 = Field(4)
    RXO = Field(6)
    RXT0 = Field(7)
    MDAC = Field(9)
    TXD_LOW = Field(15)
    SRPD = Field(16)
    ACK = Field(17)
    MNG = Field(18)
    RXQ0 = Field(20)  # MSI-X causes
    RXQ1 = Field(21)
    TXQ0 = Field(22)
    TXQ1 = Field(23)
    OTHER = Field(24)


class InterruptCauseRead(InterruptCause, reserved="undefined"):
    """ICR: as above; write 1 to clear, and cleared by reading in most modes."""

    INT_ASSERTED = Field(31)


class AutoClear(Register, width=32, reserved="undefined"):
    """EIAC: the MSI-X causes that a message clears."""

    RXQ0 = Field(20)
    RXQ1 = Field(21)
    TXQ0 = Field(22)
    TXQ1 = Field(23)
    OTHER = Field(24)


class InterruptThrottling(Register, width=32, reserved="undefined"):
    """ITR and EITR: minimum time between interrupts, in units of 256 ns; 0 is off."""

    INTERVAL = Field(15, 0)


class InterruptVectorAllocation(Register, width=32, reserved="undefined"):
    """IVAR: MSI-X vector of each cause, each with a valid bit."""

    RXQ0 = Field(2, 0)
    RXQ0_VALID = Field(3)
    RXQ1 = Field(6, 4)
    RXQ1_VALID = Field(7)
    TXQ0 = Field(10, 8)
    TXQ0_VALID = Field(11)
    TXQ1 = Field(14, 12)
    TXQ1_VALID = Field(15)
    OTHER = Field(18, 16)
    OTHER_VALID = Field(19)
    TX_WRITE_BACK = Field(31)  # interrupt on every transmit write-back


class ReceiveControl(Register, width=32, reserved="undefined"):
    """RCTL."""

    EN = Field(1, effect="starts reception")
    SBP = Field(2)
    UPE = Field(3)
    MPE = Field(4)
    LPE = Field(5)
    LBM = Field(7, 6)
    RDMTS = Field(9, 8)
    DTYP = Field(11, 10)
    MO = Field(13, 12)
    BAM = Field(15)
    BSIZE = Field(17, 16)  # 0: 2048 bytes (BSEX = 0)
    VFE = Field(18)
    CFIEN = Field(19)
    CFI = Field(20)
    DPF = Field(22)
    PMCF = Field(23)
    BSEX = Field(25)
    SECRC = Field(26)


class TransmitControl(Register, width=32, reserved="undefined"):
    """TCTL."""

    EN = Field(1, effect="starts transmission")
    PSP = Field(3)
    CT = Field(11, 4)
    COLD = Field(21, 12)
    SWXOFF = Field(22)
    RTLC = Field(24)
    UNORTX = Field(25)
    TXDSCMT = Field(27, 26)
    MULR = Field(28)


class DescriptorControl(Register, width=32, reserved="undefined"):
    """RXDCTL and TXDCTL: when descriptors are fetched and written back."""

    PTHRESH = Field(5, 0)
    HTHRESH = Field(13, 8)
    WTHRESH = Field(21, 16)
    GRAN = Field(24)
    LWTHRESH = Field(31, 25)


class RingLength(Register, width=32, reserved="zero"):
    """RDLEN and TDLEN: bytes, a multiple of 128."""

    LEN = Field(19, 7)  # bytes >> 7


class RingBase(Register, width=32, reserved="zero"):
    """RDBAL and TDBAL: bits 31:4 of the ring's address."""

    ADDRESS_31_4 = Field(31, 4)


class RingPointer(Register, width=32, reserved="zero"):
    """RDH, RDT, TDH, TDT: a descriptor's number."""

    INDEX = Field(15, 0)


class DelayTimer(Register, width=32, reserved="undefined"):
    """RDTR and TIDV, in units of 1.024 us."""

    DELAY = Field(15, 0)
    FLUSH = Field(31, access="wz", effect="ends the delay at once")


class AbsoluteDelay(Register, width=32, reserved="undefined"):
    """RADV and TADV, in units of 1.024 us."""

    DELAY = Field(15, 0)


class ReceiveAddressHigh(Register, width=32, reserved="zero"):
    """RAHn."""

    RAH = Field(15, 0)
    ASEL = Field(17, 16)
    AV = Field(31)  # address valid


class ReceiveRing(Block):
    """One receive queue."""

    SPACE = Space.MMIO

    RDBAL = At(0x00, RingBase)
    RDBAH = At(0x04, Plain32)
    RDLEN = At(0x08, RingLength)
    RDH = At(0x10, RingPointer)
    RDT = At(0x18, RingPointer)
    RXDCTL = At(0x28, DescriptorControl)


class TransmitRing(Block):
    """One transmit queue."""

    SPACE = Space.MMIO

    TDBAL = At(0x00, RingBase)
    TDBAH = At(0x04, Plain32)
    TDLEN = At(0x08, RingLength)
    TDH = At(0x10, RingPointer)
    TDT = At(0x18, RingPointer)
    TXDCTL = At(0x28, DescriptorControl)


class ReceiveAddress(Block):
    """One receive address (MAC) pair."""

    SPACE = Space.MMIO

    RAL = At(0x0, Plain32)
    RAH = At(0x4, ReceiveAddressHigh)


class E1000e(Block):
    """BAR 0 (128 KiB)."""

    SPACE = Space.MMIO
    NAME = "e1000e"

    CTRL = At(0x0000, DeviceControl)
    STATUS = At(0x0008, DeviceStatus, access="ro")
    CTRL_EXT = At(0x0018, ExtendedControl)
    ICR = At(0x00C0, InterruptCauseRead, access="w1c", effect="a read clears the causes")
    ITR = At(0x00C4, InterruptThrottling)
    ICS = At(0x00C8, InterruptCause, access="wo", effect="raises the causes")
    IMS = At(0x00D0, InterruptCause, access="w1s")
    IMC = At(0x00D8, InterruptCause, access="wo")
    EIAC = At(0x00DC, AutoClear)  # causes that MSI-X delivery clears
    IAM = At(0x00E0, InterruptCause)
    IVAR = At(0x00E4, InterruptVectorAllocation)
    EITR = AtArray(0x00E8, InterruptThrottling, count=5, stride=4)
    RCTL = At(0x0100, ReceiveControl)
    TCTL = At(0x0400, TransmitControl)
    RDTR = At(0x2820, DelayTimer)  # receive delay, in units of 1.024 us
    RADV = At(0x282C, AbsoluteDelay)
    RX = Array(0x2800, ReceiveRing, count=2, stride=0x100)
    TX = Array(0x3800, TransmitRing, count=2, stride=0x100)
    TIDV = At(0x3820, DelayTimer)
    TADV = At(0x382C, AbsoluteDelay)
    RECEIVE_ADDRESS = Array(0x5400, ReceiveAddress, count=16, stride=8)


class ReceiveDescriptor(Register, width=128):
    """Legacy receive descriptor."""

    ADDRESS = Field(63, 0)
    LENGTH = Field(79, 64)
    CHECKSUM = Field(95, 80)
    DD = Field(96)  # descriptor done
    EOP = Field(97)
    IXSM = Field(98)
    VP = Field(99)
    UDPCS = Field(100)
    TCPCS = Field(101)
    IPCS = Field(102)
    PIF = Field(103)
    ERRORS = Field(111, 104)
    VLAN = Field(127, 112)


class TransmitDescriptor(Register, width=128):
    """Legacy transmit descriptor (DEXT = 0)."""

    ADDRESS = Field(63, 0)
    LENGTH = Field(79, 64)
    CSO = Field(87, 80)
    EOP = Field(88)
    IFCS = Field(89)
    IC = Field(90)
    RS = Field(91)  # report status: write back DD, raise TXDW
    DEXT = Field(93)
    VLE = Field(94)
    IDE = Field(95)  # interrupt delay
    DD = Field(96)
    EC = Field(97)
    LC = Field(98)
    CSS = Field(111, 104)
    VLAN = Field(127, 112)
