"""PCI Express in configuration space: the capability's slot registers, advanced error reporting of a root port.

Source: PCI Express Base Specification 4.0, "PCI Express Capability Structure", "Advanced Error Reporting Capability".
"""

from __future__ import annotations

from harness.hardware.block import At, Block, Space
from harness.hardware.pci import CapabilityHeader, Plain32
from harness.hardware.register import Field, Register

__all__ = [
    "AER_CAPABILITY_ID",
    "CorrectableErrors",
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


class ExpressCapabilities(Register, width=16):
    """PCI Express Capabilities Register."""

    VERSION = Field(3, 0, access="ro")
    DEVICE_PORT_TYPE = Field(7, 4, access="ro")  # 4: root port of a root complex
    SLOT_IMPLEMENTED = Field(8, access="ro")
    INTERRUPT_MESSAGE_NUMBER = Field(13, 9, access="ro")


class ExpressDeviceControl(Register, width=16):
    """Device Control Register."""

    CORRECTABLE_ERROR_REPORTING_ENABLE = Field(0)
    NON_FATAL_ERROR_REPORTING_ENABLE = Field(1)
    FATAL_ERROR_REPORTING_ENABLE = Field(2)
    UNSUPPORTED_REQUEST_REPORTING_ENABLE = Field(3)


class SlotCapabilities(Register, width=32):
    """Slot Capabilities Register."""

    ATTENTION_BUTTON_PRESENT = Field(0, access="ro")
    POWER_CONTROLLER_PRESENT = Field(1, access="ro")
    HOT_PLUG_CAPABLE = Field(6, access="ro")
    NO_COMMAND_COMPLETED_SUPPORT = Field(18, access="ro")
    PHYSICAL_SLOT_NUMBER = Field(31, 19, access="ro")


class SlotControl(Register, width=16):
    """Slot Control Register: every write is a command to the slot."""

    ATTENTION_BUTTON_PRESSED_ENABLE = Field(0)
    PRESENCE_DETECT_CHANGED_ENABLE = Field(3)
    COMMAND_COMPLETED_INTERRUPT_ENABLE = Field(4)
    HOT_PLUG_INTERRUPT_ENABLE = Field(5)
    ATTENTION_INDICATOR_CONTROL = Field(7, 6)  # 1 on, 2 blink, 3 off
    POWER_INDICATOR_CONTROL = Field(9, 8)
    POWER_CONTROLLER_CONTROL = Field(10)  # 1: power off


class SlotStatus(Register, width=16):
    """Slot Status Register."""

    ATTENTION_BUTTON_PRESSED = Field(0, access="w1c")
    POWER_FAULT_DETECTED = Field(1, access="w1c")
    MRL_SENSOR_CHANGED = Field(2, access="w1c")
    PRESENCE_DETECT_CHANGED = Field(3, access="w1c")
    COMMAND_COMPLETED = Field(4, access="w1c")
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


class CorrectableErrors(Register, width=32):
    """Correctable Error Status and Mask."""

    RECEIVER_ERROR = Field(0, access="w1c")
    BAD_TLP = Field(6, access="w1c")
    BAD_DLLP = Field(7, access="w1c")
    REPLAY_NUM_ROLLOVER = Field(8, access="w1c")
    REPLAY_TIMER_TIMEOUT = Field(12, access="w1c")
    ADVISORY_NON_FATAL_ERROR = Field(13, access="w1c")


class RootErrorCommand(Register, width=32):
    """Root Error Command."""

    CORRECTABLE_ERROR_REPORTING_ENABLE = Field(0)
    NON_FATAL_ERROR_REPORTING_ENABLE = Field(1)
    FATAL_ERROR_REPORTING_ENABLE = Field(2)


class RootErrorStatus(Register, width=32):
    """Root Error Status."""

    ERR_COR_RECEIVED = Field(0, access="w1c")
    MULTIPLE_ERR_COR_RECEIVED = Field(1, access="w1c")
    ERR_FATAL_NONFATAL_RECEIVED = Field(2, access="w1c")
    ADVANCED_ERROR_INTERRUPT_MESSAGE_NUMBER = Field(31, 27, access="ro")


class ErrorReporting(Block):
    """Advanced Error Reporting of a root port. The base is the function's ECAM address plus the capability's offset."""

    SPACE = Space.MMIO
    NAME = "aer"

    HEADER = At(0x00, ExtendedCapabilityHeader, access="ro")
    CORRECTABLE_STATUS = At(0x10, CorrectableErrors)
    CORRECTABLE_MASK = At(0x14, CorrectableErrors)
    CAPABILITIES = At(0x18, Plain32)
    ROOT_ERROR_COMMAND = At(0x2C, RootErrorCommand)
    ROOT_ERROR_STATUS = At(0x30, RootErrorStatus)
