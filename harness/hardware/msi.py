"""Message signalled interrupts: the capability, and the address and data that the processor understands.

Source: PCI Local Bus Specification 3.0, section 6.8.1 "MSI Capability Structure"; address and data: Intel 64 and IA-32
SDM vol. 3A, "Message Signalled Interrupts" ("Message Address Register Format", "Message Data Register Format"); the
remappable form: Intel VT-d specification, "Interrupt Requests in Remappable Format".

Access kinds: PCI Local Bus Specification 3.0, section 6.8.1: every bit of address 31:2 and of the data is read/write,
reserved bits return 0.
"""

from __future__ import annotations

from harness.hardware.block import At, Block, Space
from harness.hardware.message import DeliveryMode, DestinationMode, TriggerMode
from harness.hardware.pci import CapabilityHeader, Plain32
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "MSI_ADDRESS_BASE",
    "MessageAddress",
    "MessageControl",
    "MessageData",
    "MessageData16",
    "Msi32",
    "Msi32Masked",
    "Msi64",
    "Msi64Masked",
    "RemappableMessageAddress",
    "VectorMask",
]

MSI_ADDRESS_BASE = 0xFEE0_0000


class MessageControl(Register, width=16, reserved="zero"):
    """Message Control of the MSI capability."""

    ENABLE = Field(0)
    MULTIPLE_MESSAGE_CAPABLE = Field(3, 1, access="ro")  # log2 of the number of vectors
    MULTIPLE_MESSAGE_ENABLE = Field(6, 4, effect="allocates messages, at most the number that the function requests")
    ADDRESS_64 = Field(7, access="ro")
    PER_VECTOR_MASKING = Field(8, access="ro")


class MessageAddress(Register, width=32, reserved="zero"):
    """Message Address: `MessageAddress.to(apic_id)` sets the fixed part FEEh."""

    DESTINATION_MODE = Field(2, values=DestinationMode)
    REDIRECTION_HINT = Field(3)
    SYSTEM_11_4 = Field(11, 4)  # without a meaning for the processor
    DESTINATION_ID = Field(19, 12)
    FIXED = Field(31, 20)  # 0FEEh

    @classmethod
    def to(cls, destination: int, /, **fields: int) -> MessageAddress:
        """The address of xAPIC `destination` (physical APIC ID, or a logical one with DESTINATION_MODE=1)."""
        return cls.of(MSI_ADDRESS_BASE, DESTINATION_ID=destination, **fields)


class RemappableMessageAddress(Register, width=32):
    """Message Address in VT-d's remappable format."""

    HANDLE_15 = Field(2)
    SHV = Field(3)  # subhandle (message data 15:0) is added to the handle
    INTERRUPT_FORMAT = Field(4)  # 1
    HANDLE_14_0 = Field(19, 5)
    FIXED = Field(31, 20)  # 0FEEh

    @classmethod
    def to(cls, handle: int, *, subhandle_valid: bool = False) -> RemappableMessageAddress:
        """The address of interrupt remapping table entry `handle` (0 to FFFFh)."""
        if not 0 <= handle <= 0xFFFF:
            raise FieldError(f"an interrupt remapping handle has 16 bits, got {handle:#x}")
        return cls.of(
            MSI_ADDRESS_BASE,
            HANDLE_15=handle >> 15,
            HANDLE_14_0=handle & 0x7FFF,
            INTERRUPT_FORMAT=1,
            SHV=subhandle_valid,
        )


class MessageData(Register, width=32):
    """Message Data (a device sends the low 16 bits; MSI-X entries hold 32)."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    SYSTEM_13_11 = Field(13, 11)  # without a meaning for the processor
    LEVEL = Field(14)  # 1: assert; matters for TRIGGER_MODE=LEVEL alone
    TRIGGER_MODE = Field(15, values=TriggerMode)
    SYSTEM_31_16 = Field(31, 16)


class MessageData16(Register, width=16):
    """Message Data as the MSI capability holds it."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    SYSTEM_13_11 = Field(13, 11)  # without a meaning for the processor
    LEVEL = Field(14)
    TRIGGER_MODE = Field(15, values=TriggerMode)


class VectorMask(Register, width=32):
    """Mask Bits: bit n masks message n; the function has those of its messages."""

    MESSAGES = Field(31, 0, optional=True)


class Msi32(Block):
    """MSI capability, 32-bit address. The base is the function's configuration space plus the capability's offset."""

    SPACE = Space.CONFIG
    NAME = "msi"

    HEADER = At(0x00, CapabilityHeader, access="ro")
    CONTROL = At(0x02, MessageControl)
    ADDRESS = At(0x04, MessageAddress)
    DATA = At(0x08, MessageData16)


class Msi64(Block):
    """MSI capability, 64-bit address."""

    SPACE = Space.CONFIG
    NAME = "msi"

    HEADER = At(0x00, CapabilityHeader, access="ro")
    CONTROL = At(0x02, MessageControl)
    ADDRESS = At(0x04, MessageAddress)
    ADDRESS_UPPER = At(0x08, Plain32)
    DATA = At(0x0C, MessageData16)


class Msi32Masked(Msi32):
    """MSI capability, 32-bit address, per-vector masking."""

    MASK = At(0x0C, VectorMask)
    PENDING = At(0x10, VectorMask, access="ro")


class Msi64Masked(Msi64):
    """MSI capability, 64-bit address, per-vector masking."""

    MASK = At(0x10, VectorMask)
    PENDING = At(0x14, VectorMask, access="ro")
