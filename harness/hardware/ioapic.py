"""The IO APIC, behind its IOREGSEL/IOWIN window.

Source: Intel 82093AA I/O Advanced Programmable Interrupt Controller datasheet, "I/O APIC Registers"; the EOI register
and version 20h: Intel I/O Controller Hub 9 datasheet, "APIC Indirect Registers"; the remappable form of an entry: Intel
VT-d specification, "I/OxAPIC Programming".

Access kinds: the same sections of the 82093AA datasheet, which states nothing of what reserved bits read.
"""

from __future__ import annotations

from harness.hardware.block import Array, At, Block, Space
from harness.hardware.message import DeliveryMode, DeliveryStatus, DestinationMode, TriggerMode
from harness.hardware.register import Field, Register

__all__ = [
    "IOAPIC_DEFAULT_BASE",
    "PINS",
    "IoApic",
    "IoApicArbitration",
    "IoApicEoi",
    "IoApicId",
    "IoApicVersion",
    "IoApicWindow",
    "IoRegSel",
    "IoWin",
    "Redirection",
    "RedirectionEntry",
    "RedirectionHigh",
    "RedirectionLow",
    "RemappableEntry",
]

IOAPIC_DEFAULT_BASE = 0xFEC0_0000
PINS = 24  # of the 82093AA; IoApicVersion.MAXIMUM_REDIRECTION_ENTRY has the real number


class IoRegSel(Register, width=32, reserved="undefined"):
    """I/O Register Select: which register IOWIN shows."""

    REGISTER_INDEX = Field(7, 0)


class IoWin(Register, width=32):
    """I/O Window: the selected register."""


class IoApicEoi(Register, width=32, reserved="undefined"):
    """EOI register (version 20h and later): ends the level interrupt of every entry with this vector."""

    VECTOR = Field(7, 0, access="wo")


class IoApicWindow(Block):
    """What the IO APIC really decodes: three dwords. Use `IoApic` for the registers behind them."""

    SPACE = Space.MMIO
    BASE = IOAPIC_DEFAULT_BASE
    NAME = "ioapic_window"

    IOREGSEL = At(0x00, IoRegSel)
    IOWIN = At(0x10, IoWin, effect="reaches the register that IOREGSEL selects")
    EOI = At(0x40, IoApicEoi, access="wo", effect="ends the level interrupt of a vector")


class IoApicId(Register, width=32, reserved="undefined"):
    """IO APIC Identification Register (index 00h)."""

    ID = Field(27, 24)


class IoApicVersion(Register, width=32, reserved="undefined"):
    """IO APIC Version Register (index 01h)."""

    VERSION = Field(7, 0, access="ro")
    MAXIMUM_REDIRECTION_ENTRY = Field(23, 16, access="ro")  # number of entries minus 1


class IoApicArbitration(Register, width=32, reserved="undefined"):
    """IO APIC Arbitration Register (index 02h)."""

    ARBITRATION_ID = Field(27, 24, access="ro")


class RedirectionLow(Register, width=32, reserved="undefined"):
    """Bits 31:0 of a redirection table entry."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    DESTINATION_MODE = Field(11, values=DestinationMode)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    POLARITY = Field(13)  # interrupt input pin polarity: 0 active high, 1 active low
    REMOTE_IRR = Field(14, access="ro")
    TRIGGER_MODE = Field(15, values=TriggerMode)
    MASK = Field(16)


class RedirectionHigh(Register, width=32, reserved="undefined"):
    """Bits 63:32 of a redirection table entry."""

    DESTINATION = Field(31, 24)


class RedirectionEntry(Register, width=64, reserved="undefined"):
    """I/O Redirection Table Register: destination and form of one input pin's interrupt."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    DESTINATION_MODE = Field(11, values=DestinationMode)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    POLARITY = Field(13)  # interrupt input pin polarity: 0 active high, 1 active low
    REMOTE_IRR = Field(14, access="ro")
    TRIGGER_MODE = Field(15, values=TriggerMode)
    MASK = Field(16)
    DESTINATION = Field(63, 56)


class RemappableEntry(Register, width=64, reserved="undefined"):
    """A redirection table entry in VT-d's remappable format: it names an interrupt remapping table entry."""

    VECTOR = Field(7, 0)  # must equal the IRTE's, so that the EOI finds the pin
    INTERRUPT_INDEX_15 = Field(11)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    POLARITY = Field(13)
    REMOTE_IRR = Field(14, access="ro")
    TRIGGER_MODE = Field(15, values=TriggerMode)
    MASK = Field(16)
    INTERRUPT_FORMAT = Field(48)
    INTERRUPT_INDEX_14_0 = Field(63, 49)

    @classmethod
    def to(cls, index: int, /, **fields: int) -> RemappableEntry:
        """The entry for remapping table index `index` (0 to FFFFh), with the other fields as given."""
        return cls.of(INTERRUPT_FORMAT=1, INTERRUPT_INDEX_15=index >> 15, INTERRUPT_INDEX_14_0=index & 0x7FFF, **fields)


class Redirection(Block):
    """One pin's entry: whole, or by its two 32-bit halves. A 64-bit write must have the low half written last."""

    SPACE = Space.IOAPIC

    ENTRY = At(0, RedirectionEntry)
    LOW = At(0, RedirectionLow, alias=True)
    HIGH = At(1, RedirectionHigh, alias=True)
    REMAPPABLE = At(0, RemappableEntry, alias=True)


class IoApic(Block):
    """The registers by index: `k.ioapic.REDIRECTION[5].ENTRY.write(VECTOR=0x40)`."""

    SPACE = Space.IOAPIC
    BASE = IOAPIC_DEFAULT_BASE
    NAME = "ioapic"

    ID = At(0x00, IoApicId)
    VERSION = At(0x01, IoApicVersion, access="ro")
    ARBITRATION = At(0x02, IoApicArbitration, access="ro")
    REDIRECTION = Array(0x10, Redirection, count=PINS, stride=2)
