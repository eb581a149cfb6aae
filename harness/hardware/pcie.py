"""PCI Express in configuration space: the capability's slot registers, advanced error reporting of a root port.

Source: PCI Express Base Specification 4.0, "PCI Express Capability Structure", "Advanced Error Reporting Capability".

Access kinds: the same chapters. Reserved bits are read-only zero (RsvdP, RsvdZ); of the device and slot registers
this map has the fields that it needs, and the others are preserved.
"""

from __future__ import annotations

from harness.hardware.block import At, Block, Space
from harness.hardware.pci import CapabilityHeader
from harness.hardware.register import Field, Register

__all__ = [
    "AER_CAPABILITY_ID",
    "CorrectableErrorMask",
    "CorrectableErrors",
    "ErrorCapabilities",
    "ErrorReporting",
    "ExpressCapabilities",
    "ExpressCapability",
    "ExpressDeviceControl",
    "ExtendedCapabilityHeader",
    "RootErrorCommand",
    "RootErrorStatus",
    "SlotCapabilities",
    "SlotControl",
    "SlotStatus",
]

AER_CAPABILITY_ID = 0x0001


class ExpressCapabilities(Register, width=16, reserved="preserve"):
    """PCI Express Capabilities Register."""

    VERSION = Field(3, 0, access="ro")
    DEVICE_PORT_TYPE = Field(7, 4, access="ro")  # 4: root port of a root complex
    SLOT_IMPLEMENTED = Field(8, access="ro")
    INTERRUPT_MESSAGE_NUMBER = Field(13, 9, access="ro")


class ExpressDeviceControl(Register, width=16, reserved="preserve"):
    """Device Control Register."""

    CORRECTABLE_ERROR_REPORTING_ENABLE = Field(0)
    NON_FATAL_ERROR_REPORTING_ENABLE = Field(1)
    FATAL_ERROR_REPORTING_ENABLE = Field(2)
    UNSUPPORTED_REQUEST_REPORTING_ENABLE = Field(3)


class SlotCapabilities(Register, width=32, reserved="preserve"):
    """Slot Capabilities Register."""

    ATTENTION_BUTTON_PRESENT = Field(0, access="ro")
    POWER_CONTROLLER_PRESENT = Field(1, access="ro")
    HOT_PLUG_CAPABLE = Field(6, access="ro")
    NO_COMMAND_COMPLETED_SUPPORT = Field(18, access="ro")
    PHYSICAL_SLOT_NUMBER = Field(31, 19, access="ro")


class SlotControl(Register, width=16, reserved="preserve"):
    """Slot Control Register: every write is a command to the slot."""

    ATTENTION_BUTTON_PRESSED_ENABLE = Field(0, optional=True)
    PRESENCE_DETECT_CHANGED_ENABLE = Field(3, optional=True)
    COMMAND_COMPLETED_INTERRUPT_ENABLE = Field(4, optional=True)
    HOT_PLUG_INTERRUPT_ENABLE = Field(5)
    ATTENTION_INDICATOR_CONTROL = Field(7, 6, optional=True)  # 1 on, 2 blink, 3 off
    POWER_INDICATOR_CONTROL = Field(9, 8, optional=True)
    POWER_CONTROLLER_CONTROL = Field(10, optional=True, effect="switches the slot's power")  # 1: power off


class SlotStatus(Register, width=16, reserved="preserve"):
    """Slot Status Register."""

    ATTENTION_BUTTON_PRESSED = Field(0, access="w1c")
    POWER_FAULT_DETECTED = Field(1, access="w1c")
    MRL_SENSOR_CHANGED = Field(2, access="w1c")
    PRESENCE_DETECT_CHANGED = Field(3, access="w1c")
    COMMAND_COMPLETED = Field(4, access="w1c", volatile=True)
    PRESENCE_DETECT_STATE = Field(6, access="ro")


class ExpressCapability(Block):
    """The PCI Express capability of a port with a slot."""

    SPACE = Space.CONFIG
    NAME = "express"

    HEADER = At(0x00, CapabilityHeader, access="ro")
    CAPABILITIES = At(0x02, ExpressCapabilities, access="ro")
    DEVICE_CONTROL = At(0x08, ExpressDeviceControl)
    SLOT_CAPABILITIES = At(0x14, SlotCapabilities, access="ro")
    SLOT_CONTROL = At(0x18, SlotControl)
    SLOT_STATUS = At(0x1A, SlotStatus)


class ExtendedCapabilityHeader(Register, width=32):
    """PCI Express Extended Capability Header; the first is at 100h."""

    ID = Field(15, 0, access="ro")
    VERSION = Field(19, 16, access="ro")
    NEXT = Field(31, 20, access="ro")


class CorrectableErrors(Register, width=32, reserved="zero"):
    """Correctable Error Status."""

    RECEIVER_ERROR = Field(0, access="w1c")
    BAD_TLP = Field(6, access="w1c")
    BAD_DLLP = Field(7, access="w1c")
    REPLAY_NUM_ROLLOVER = Field(8, access="w1c")
    REPLAY_TIMER_TIMEOUT = Field(12, access="w1c")
    ADVISORY_NON_FATAL_ERROR = Field(13, access="w1c")
    CORRECTED_INTERNAL_ERROR = Field(14, access="w1c")
    HEADER_LOG_OVERFLOW = Field(15, access="w1c")


class CorrectableErrorMask(Register, width=32, reserved="zero"):
    """Correctable Error Mask."""

    RECEIVER_ERROR = Field(0, optional=True)
    BAD_TLP = Field(6)
    BAD_DLLP = Field(7)
    REPLAY_NUM_ROLLOVER = Field(8)
    REPLAY_TIMER_TIMEOUT = Field(12)
    ADVISORY_NON_FATAL_ERROR = Field(13)
    CORRECTED_INTERNAL_ERROR = Field(14, optional=True)
    HEADER_LOG_OVERFLOW = Field(15, optional=True)


class ErrorCapabilities(Register, width=32, reserved="undefined"):
    """Advanced Error Capabilities and Control."""

    FIRST_ERROR_POINTER = Field(4, 0, access="ro")
    ECRC_GENERATION_CAPABLE = Field(5, access="ro")
    ECRC_GENERATION_ENABLE = Field(6, optional=True)
    ECRC_CHECK_CAPABLE = Field(7, access="ro")
    ECRC_CHECK_ENABLE = Field(8, optional=True)


class RootErrorCommand(Register, width=32, reserved="zero"):
    """Root Error Command."""

    CORRECTABLE_ERROR_REPORTING_ENABLE = Field(0)
    NON_FATAL_ERROR_REPORTING_ENABLE = Field(1)
    FATAL_ERROR_REPORTING_ENABLE = Field(2)


class RootErrorStatus(Register, width=32, reserved="zero"):
    """Root Error Status."""

    ERR_COR_RECEIVED = Field(0, access="w1c")
    MULTIPLE_ERR_COR_RECEIVED = Field(1, access="w1c")
    ERR_FATAL_NONFATAL_RECEIVED = Field(2, access="w1c")
    MULTIPLE_ERR_FATAL_NONFATAL_RECEIVED = Field(3, access="w1c")
    FIRST_UNCORRECTABLE_FATAL = Field(4, access="w1c")
    NON_FATAL_ERROR_MESSAGES_RECEIVED = Field(5, access="w1c")
    FATAL_ERROR_MESSAGES_RECEIVED = Field(6, access="w1c")
    ADVANCED_ERROR_INTERRUPT_MESSAGE_NUMBER = Field(31, 27, access="ro")


class ErrorReporting(Block):
    """Advanced Error Reporting of a root port. The base is the function's ECAM address plus the capability's offset."""

    SPACE = Space.MMIO
    NAME = "aer"

    HEADER = At(0x00, ExtendedCapabilityHeader, access="ro")
    CORRECTABLE_STATUS = At(0x10, CorrectableErrors)
    CORRECTABLE_MASK = At(0x14, CorrectableErrorMask)
    CAPABILITIES = At(0x18, ErrorCapabilities)
    ROOT_ERROR_COMMAND = At(0x2C, RootErrorCommand)
    ROOT_ERROR_STATUS = At(0x30, RootErrorStatus)
