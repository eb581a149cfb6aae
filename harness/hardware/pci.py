"""PCI configuration space: headers, capabilities, the ways in, interrupt routing.

Source: PCI Local Bus Specification 3.0, chapter 6 "Configuration Space" ("Type 00h Configuration Space Header",
"Command Register", "Status Register", "Base Addresses", "Capabilities List") and 3.2.2.3.2 "Software Generation of
Configuration Transactions"; PCI-to-PCI Bridge Architecture 1.2, "Type 01h"; PCI Express Base, "PCI Express Enhanced
Configuration Access Mechanism (ECAM)".

Access kinds: the same sections. Reserved bits are masked by software and preserved (6.1); those of CONFIG_ADDRESS
read as 0 (3.2.2.3.2). A function implements what it needs of the command register, of cache line size and of latency
timer.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, AtArray, Block, Space
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "CONFIG_ADDRESS_PORT",
    "CONFIG_DATA_PORT",
    "ECAM_FUNCTION_SIZE",
    "Bar",
    "BaseClass",
    "BridgeControl",
    "BridgeIoWindow",
    "BridgeMemoryWindow",
    "CapabilityHeader",
    "CapabilityId",
    "ClassCode",
    "Command",
    "CommonHeader",
    "ConfigAddress",
    "ConfigPorts",
    "DeviceIdentity",
    "HeaderType",
    "IoBar",
    "MemoryBar",
    "MemoryType",
    "OptionalByte",
    "OptionalDword",
    "Plain8",
    "Plain16",
    "Plain32",
    "Status",
    "Type0Header",
    "Type1Header",
    "bar_size",
    "config_address",
    "ecam_address",
]

CONFIG_ADDRESS_PORT = 0xCF8
CONFIG_DATA_PORT = 0xCFC
ECAM_FUNCTION_SIZE = 0x1000


class CapabilityId(IntEnum):
    """Capability IDs (PCI Code and ID Assignment Specification)."""

    POWER_MANAGEMENT = 0x01
    VPD = 0x03
    MSI = 0x05
    VENDOR_SPECIFIC = 0x09
    DEBUG_PORT = 0x0A
    BRIDGE_SUBSYSTEM = 0x0D
    PCI_EXPRESS = 0x10
    MSIX = 0x11
    SATA = 0x12
    ADVANCED_FEATURES = 0x13


class BaseClass(IntEnum):
    """Base class codes."""

    UNCLASSIFIED = 0x00
    MASS_STORAGE = 0x01
    NETWORK = 0x02
    DISPLAY = 0x03
    MULTIMEDIA = 0x04
    MEMORY = 0x05
    BRIDGE = 0x06
    COMMUNICATION = 0x07
    SYSTEM_PERIPHERAL = 0x08
    INPUT = 0x09
    SERIAL_BUS = 0x0C
    OTHER = 0xFF


class MemoryType(IntEnum):
    """Type field of a memory BAR."""

    BITS_32 = 0
    BELOW_1_MIB = 1  # reserved since PCI 3.0
    BITS_64 = 2


class Plain8(Register, width=8):
    """An 8-bit number without fields."""


class Plain16(Register, width=16):
    """A 16-bit number without fields."""


class Plain32(Register, width=32):
    """A 32-bit number without fields."""


class OptionalByte(Register, width=8):
    """An 8-bit number of which a function implements as many bits as it needs."""

    VALUE = Field(7, 0, optional=True)


class OptionalDword(Register, width=32):
    """A 32-bit number of which a function implements as many bits as it needs."""

    VALUE = Field(31, 0, optional=True)


class ConfigAddress(Register, width=32, reserved="zero"):
    """CONFIG_ADDRESS, port CF8h."""

    REGISTER_NUMBER = Field(7, 2)  # dword
    FUNCTION_NUMBER = Field(10, 8)
    DEVICE_NUMBER = Field(15, 11)
    BUS_NUMBER = Field(23, 16)
    ENABLE = Field(31)


class ConfigPorts(Block):
    """CONFIG_ADDRESS and CONFIG_DATA."""

    SPACE = Space.PORT
    BASE = CONFIG_ADDRESS_PORT
    NAME = "config_ports"

    ADDRESS = At(0, ConfigAddress)
    DATA = At(4, Plain32, effect="reaches the register that CONFIG_ADDRESS selects")


class DeviceIdentity(Register, width=32):
    """Vendor ID and Device ID as one dword; FFFFFFFFh: no function there."""

    VENDOR_ID = Field(15, 0, access="ro")
    DEVICE_ID = Field(31, 16, access="ro")


class Command(Register, width=16, reserved="preserve"):
    """Command Register."""

    IO_SPACE = Field(0, optional=True)
    MEMORY_SPACE = Field(1)
    BUS_MASTER = Field(2)
    SPECIAL_CYCLES = Field(3, optional=True)
    MEMORY_WRITE_AND_INVALIDATE = Field(4, optional=True)
    VGA_PALETTE_SNOOP = Field(5, optional=True)
    PARITY_ERROR_RESPONSE = Field(6, optional=True)
    SERR_ENABLE = Field(8, optional=True)
    FAST_BACK_TO_BACK = Field(9, optional=True)
    INTERRUPT_DISABLE = Field(10)


class Status(Register, width=16, reserved="preserve"):
    """Status Register; the error bits are write 1 to clear."""

    INTERRUPT_STATUS = Field(3, access="ro")
    CAPABILITIES_LIST = Field(4, access="ro")
    MHZ_66 = Field(5, access="ro")
    FAST_BACK_TO_BACK = Field(7, access="ro")
    MASTER_DATA_PARITY_ERROR = Field(8, access="w1c")
    DEVSEL_TIMING = Field(10, 9, access="ro")
    SIGNALED_TARGET_ABORT = Field(11, access="w1c")
    RECEIVED_TARGET_ABORT = Field(12, access="w1c")
    RECEIVED_MASTER_ABORT = Field(13, access="w1c")
    SIGNALED_SYSTEM_ERROR = Field(14, access="w1c")
    DETECTED_PARITY_ERROR = Field(15, access="w1c")


class ClassCode(Register, width=32):
    """Revision ID and Class Code as one dword."""

    REVISION_ID = Field(7, 0, access="ro")
    INTERFACE = Field(15, 8, access="ro")
    SUB_CLASS = Field(23, 16, access="ro")
    BASE_CLASS = Field(31, 24, BaseClass, access="ro")


class HeaderType(Register, width=8):
    """Header Type register."""

    LAYOUT = Field(6, 0, access="ro")  # 0 device, 1 PCI-to-PCI bridge
    MULTI_FUNCTION = Field(7, access="ro")


class Bar(Register, width=32, reserved="undefined"):
    """A Base Address Register before its kind is known."""

    IO = Field(0, access="ro")

    def decode(self) -> MemoryBar | IoBar:
        """The register as the class of its kind."""
        return IoBar(int(self)) if self.IO else MemoryBar(int(self))


class MemoryBar(Register, width=32):
    """A memory BAR, or the low half of a 64-bit one."""

    IO = Field(0, access="ro")
    TYPE = Field(2, 1, MemoryType, access="ro")
    PREFETCHABLE = Field(3, access="ro")
    BASE_ADDRESS = Field(31, 4)

    @property
    def address(self) -> int:
        """The low 32 bits of the base address."""
        return self.BASE_ADDRESS << 4


class IoBar(Register, width=32):
    """An I/O BAR."""

    IO = Field(0, access="ro")
    BASE_ADDRESS = Field(31, 2)

    @property
    def address(self) -> int:
        """The base port."""
        return self.BASE_ADDRESS << 2


class CapabilityHeader(Register, width=16):
    """ID and next pointer, the first two bytes of each capability; NEXT 0 ends the list."""

    ID = Field(7, 0, CapabilityId, access="ro")
    NEXT = Field(15, 8, access="ro")  # bits 1:0 are to be ignored


class BridgeControl(Register, width=16, reserved="preserve"):
    """Bridge Control Register of a type 1 header."""

    PARITY_ERROR_RESPONSE = Field(0, optional=True)
    SERR_ENABLE = Field(1)
    ISA_ENABLE = Field(2, optional=True)
    VGA_ENABLE = Field(3, optional=True)
    MASTER_ABORT_MODE = Field(5, optional=True)
    SECONDARY_BUS_RESET = Field(6, effect="resets what is behind the bridge")


class BridgeIoWindow(Register, width=8):
    """I/O Base or I/O Limit of a bridge: bits 15:12 of the address."""

    CAPABILITY = Field(3, 0, access="ro")  # 0: 16-bit I/O, 1: 32-bit
    ADDRESS = Field(7, 4)


class BridgeMemoryWindow(Register, width=16):
    """Memory Base or Memory Limit of a bridge, prefetchable or not: bits 31:20 of the address."""

    CAPABILITY = Field(3, 0, access="ro")  # of a prefetchable window, 1: 64-bit
    ADDRESS = Field(15, 4)


class CommonHeader(Block):
    """What both header types share. The base is the function's ECAM address, or its CF8h value."""

    SPACE = Space.CONFIG

    IDENTITY = At(0x00, DeviceIdentity, access="ro")
    COMMAND = At(0x04, Command)
    STATUS = At(0x06, Status)
    CLASS_CODE = At(0x08, ClassCode, access="ro")
    CACHE_LINE_SIZE = At(0x0C, OptionalByte)
    LATENCY_TIMER = At(0x0D, OptionalByte)
    HEADER_TYPE = At(0x0E, HeaderType, access="ro")
    BIST = At(0x0F, Plain8, effect="starts the self test")
    CAPABILITIES_POINTER = At(0x34, Plain8, access="ro")
    INTERRUPT_LINE = At(0x3C, Plain8)  # software's note; it routes nothing
    INTERRUPT_PIN = At(0x3D, Plain8, access="ro")  # 0 none, 1 INTA#


class Type0Header(CommonHeader):
    """Header of a device function."""

    NAME = "pci"

    BAR = AtArray(0x10, Bar, count=6, stride=4, effect="moves what the function decodes")
    CARDBUS_CIS_POINTER = At(0x28, Plain32, access="ro")
    SUBSYSTEM = At(0x2C, DeviceIdentity, access="ro")
    EXPANSION_ROM = At(0x30, Plain32, effect="moves the expansion ROM")
    MIN_GNT = At(0x3E, Plain8, access="ro")
    MAX_LAT = At(0x3F, Plain8, access="ro")


class Type1Header(CommonHeader):
    """Header of a PCI-to-PCI bridge."""

    NAME = "pci_bridge"

    BAR = AtArray(0x10, Bar, count=2, stride=4, effect="moves what the function decodes")
    PRIMARY_BUS = At(0x18, Plain8)
    SECONDARY_BUS = At(0x19, Plain8, effect="renumbers buses")
    SUBORDINATE_BUS = At(0x1A, Plain8, effect="renumbers buses")
    SECONDARY_LATENCY_TIMER = At(0x1B, OptionalByte)
    IO_BASE = At(0x1C, BridgeIoWindow)
    IO_LIMIT = At(0x1D, BridgeIoWindow)
    SECONDARY_STATUS = At(0x1E, Status)
    MEMORY_BASE = At(0x20, BridgeMemoryWindow)
    MEMORY_LIMIT = At(0x22, BridgeMemoryWindow)
    PREFETCHABLE_BASE = At(0x24, BridgeMemoryWindow)
    PREFETCHABLE_LIMIT = At(0x26, BridgeMemoryWindow)
    PREFETCHABLE_BASE_UPPER = At(0x28, OptionalDword)
    PREFETCHABLE_LIMIT_UPPER = At(0x2C, OptionalDword)
    EXPANSION_ROM = At(0x38, Plain32, effect="moves the expansion ROM")
    BRIDGE_CONTROL = At(0x3E, BridgeControl)


def _check(bus: int, device: int, function: int, offset: int, size: int) -> None:
    if not (0 <= bus < 256 and 0 <= device < 32 and 0 <= function < 8 and 0 <= offset < size):
        raise FieldError(
            f"no configuration register at {bus:#x}:{device:#x}.{function} offset {offset:#x}: "
            f"bus below 100h, device below 20h, function below 8, offset below {size:X}h"
        )


def config_address(bus: int, device: int, function: int, offset: int = 0) -> ConfigAddress:
    """What to write to CF8h for the dword that holds `offset` (below 100h); the byte within it selects CFCh to CFFh.

    Raises `FieldError` for a number out of range.
    """
    _check(bus, device, function, offset, 0x100)
    return ConfigAddress.of(
        ENABLE=1, BUS_NUMBER=bus, DEVICE_NUMBER=device, FUNCTION_NUMBER=function, REGISTER_NUMBER=offset >> 2
    )


def ecam_address(base: int, bus: int, device: int, function: int, offset: int = 0) -> int:
    """Physical address of a configuration register (`offset` below 1000h); raises `FieldError` out of range."""
    _check(bus, device, function, offset, ECAM_FUNCTION_SIZE)
    return base + (bus << 20 | device << 15 | function << 12 | offset)


def bar_size(readback: int, high: int | None = None) -> int:
    """Size in bytes from what a BAR reads after FFFFFFFFh was written (`high`: of the upper half of a 64-bit one).

    0 means that the BAR is not implemented.
    """
    if high is None:
        mask = readback & ~0x3 if readback & 1 else readback & ~0xF
        if readback & 1 and not mask >> 16:
            mask |= 0xFFFF_0000  # I/O decoders may leave the upper 16 bits 0
        return (-mask & 0xFFFF_FFFF) if readback & ~0xF or readback & 1 else 0
    mask = high << 32 | readback & ~0xF
    return -mask & 0xFFFF_FFFF_FFFF_FFFF if mask else 0
