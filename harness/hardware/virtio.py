"""Virtio: device status, features, and the PCI transport, modern and legacy.

Source: OASIS Virtual I/O Device (VIRTIO) 1.2, sections 2.1 "Device Status Field", 6 "Reserved Feature Bits", 4.1
"Virtio Over PCI Bus" ("Virtio Structure PCI Capabilities", "Common configuration structure layout", "ISR status
capability", "Legacy Interfaces: A Note on PCI Device Layout"), 5 "Device Types". Queues are in `virtqueue`, devices in
`virtio_devices`.

Access kinds: the same sections; reserved bits are not stated.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from harness.hardware.block import At, Block, Space
from harness.hardware.pci import Plain8, Plain16, Plain32
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "LEGACY_CONFIG_OFFSET",
    "LEGACY_CONFIG_OFFSET_MSIX",
    "LEGACY_PAGE_SHIFT",
    "VIRTIO_NO_VECTOR",
    "VIRTIO_VENDOR_ID",
    "CfgType",
    "CommonConfiguration",
    "DeviceId",
    "DeviceStatus",
    "IsrStatus",
    "IsrStatusBlock",
    "LegacyHeader",
    "LegacyHeaderMsix",
    "NotifyCapability",
    "PciCapability",
    "PciCapabilityHeader",
    "PciCfgCapability",
    "Plain64",
    "VirtioFeature",
    "modern_pci_device_id",
    "notify_address",
    "transitional_pci_device_id",
]

VIRTIO_VENDOR_ID = 0x1AF4
VIRTIO_NO_VECTOR = 0xFFFF  # VIRTIO_MSI_NO_VECTOR
LEGACY_PAGE_SHIFT = 12  # QUEUE_ADDRESS holds the page number
LEGACY_CONFIG_OFFSET = 0x14  # device configuration with MSI-X disabled
LEGACY_CONFIG_OFFSET_MSIX = 0x18


class DeviceId(IntEnum):
    """Virtio device IDs."""

    NETWORK = 1
    BLOCK = 2
    CONSOLE = 3
    ENTROPY = 4
    BALLOON = 5
    SCSI_HOST = 8
    FILESYSTEM_9P = 9
    GPU = 16
    INPUT = 18
    SOCKET = 19
    CRYPTO = 20
    IOMMU = 23


class CfgType(IntEnum):
    """cfg_type: which structure a virtio PCI capability locates."""

    COMMON = 1
    NOTIFY = 2
    ISR = 3
    DEVICE = 4
    PCI = 5
    SHARED_MEMORY = 8
    VENDOR = 9


class VirtioFeature(IntFlag):
    """Feature bits that belong to no device type, as masks of the 64-bit feature word."""

    NOTIFY_ON_EMPTY = 1 << 24  # legacy
    ANY_LAYOUT = 1 << 27  # legacy
    INDIRECT_DESC = 1 << 28
    EVENT_IDX = 1 << 29
    VERSION_1 = 1 << 32
    ACCESS_PLATFORM = 1 << 33
    RING_PACKED = 1 << 34
    IN_ORDER = 1 << 35
    ORDER_PLATFORM = 1 << 36
    SR_IOV = 1 << 37
    NOTIFICATION_DATA = 1 << 38
    NOTIF_CONFIG_DATA = 1 << 39
    RING_RESET = 1 << 40


class DeviceStatus(Register, width=8, reserved="undefined"):
    """device_status; writing 0 resets."""

    ACKNOWLEDGE = Field(0)
    DRIVER = Field(1)
    DRIVER_OK = Field(2)
    FEATURES_OK = Field(3)
    DEVICE_NEEDS_RESET = Field(6, access="ro")
    FAILED = Field(7)


class IsrStatus(Register, width=8, reserved="undefined"):
    """ISR status: reading it clears it and lowers INTx."""

    QUEUE_INTERRUPT = Field(0, access="rc")
    DEVICE_CONFIGURATION_INTERRUPT = Field(1, access="rc")


class Plain64(Register, width=64):
    """A 64-bit number without fields."""


class PciCapabilityHeader(Register, width=32):
    """First dword of a virtio PCI capability."""

    CAP_VNDR = Field(7, 0, access="ro")  # 09h
    CAP_NEXT = Field(15, 8, access="ro")
    CAP_LEN = Field(23, 16, access="ro")
    CFG_TYPE = Field(31, 24, CfgType, access="ro")


class PciCapability(Block):
    """virtio_pci_cap: where a structure is. The base is configuration space plus the capability's offset."""

    SPACE = Space.CONFIG
    NAME = "virtio_cap"

    HEADER = At(0x00, PciCapabilityHeader, access="ro")
    BAR = At(0x04, Plain8, access="ro")
    ID = At(0x05, Plain8, access="ro")
    OFFSET = At(0x08, Plain32, access="ro")
    LENGTH = At(0x0C, Plain32, access="ro")


class NotifyCapability(PciCapability):
    """virtio_pci_notify_cap."""

    NOTIFY_OFF_MULTIPLIER = At(0x10, Plain32, access="ro")


class PciCfgCapability(Block):
    """virtio_pci_cfg_cap: a window into the BARs for software that cannot map them."""

    SPACE = Space.CONFIG
    NAME = "virtio_pci_cfg"

    HEADER = At(0x00, PciCapabilityHeader, access="ro")
    BAR = At(0x04, Plain8)
    OFFSET = At(0x08, Plain32)
    LENGTH = At(0x0C, Plain32)
    PCI_CFG_DATA = At(0x10, Plain32, effect="reaches what the window selects")


class CommonConfiguration(Block):
    """virtio_pci_common_cfg. The base is the BAR's address plus the capability's offset."""

    SPACE = Space.MMIO
    NAME = "virtio"

    DEVICE_FEATURE_SELECT = At(0x00, Plain32)
    DEVICE_FEATURE = At(0x04, Plain32, access="ro")
    DRIVER_FEATURE_SELECT = At(0x08, Plain32)
    DRIVER_FEATURE = At(0x0C, Plain32, volatile=True)
    CONFIG_MSIX_VECTOR = At(0x10, Plain16, volatile=True)
    NUM_QUEUES = At(0x12, Plain16, access="ro")
    DEVICE_STATUS = At(0x14, DeviceStatus, effect="initialises, starts or resets the device")
    CONFIG_GENERATION = At(0x15, Plain8, access="ro")
    QUEUE_SELECT = At(0x16, Plain16)
    QUEUE_SIZE = At(0x18, Plain16, volatile=True)
    QUEUE_MSIX_VECTOR = At(0x1A, Plain16, volatile=True)
    QUEUE_ENABLE = At(0x1C, Plain16, effect="starts the queue")
    QUEUE_NOTIFY_OFF = At(0x1E, Plain16, access="ro")
    QUEUE_DESC = At(0x20, Plain64)
    QUEUE_DRIVER = At(0x28, Plain64)  # available ring
    QUEUE_DEVICE = At(0x30, Plain64)  # used ring
    QUEUE_NOTIFY_DATA = At(0x38, Plain16, access="ro")  # with NOTIF_CONFIG_DATA
    QUEUE_RESET = At(0x3A, Plain16, effect="resets the queue")  # with RING_RESET


class IsrStatusBlock(Block):
    """The ISR status byte."""

    SPACE = Space.MMIO
    NAME = "virtio_isr"

    ISR = At(0, IsrStatus, access="rc")


class LegacyHeader(Block):
    """Legacy (transitional) header in the I/O BAR, MSI-X disabled; the device's configuration follows at 14h."""

    SPACE = Space.PORT
    NAME = "virtio_legacy"

    DEVICE_FEATURES = At(0x00, Plain32, access="ro")
    DRIVER_FEATURES = At(0x04, Plain32, volatile=True)
    QUEUE_ADDRESS = At(0x08, Plain32, effect="gives the queue its memory; 0 resets the device")
    QUEUE_SIZE = At(0x0C, Plain16, access="ro")
    QUEUE_SELECT = At(0x0E, Plain16)
    QUEUE_NOTIFY = At(0x10, Plain16, effect="notifies the queue")
    DEVICE_STATUS = At(0x12, DeviceStatus, effect="initialises, starts or resets the device")
    ISR_STATUS = At(0x13, IsrStatus, access="rc")


class LegacyHeaderMsix(LegacyHeader):
    """The same with MSI-X enabled; the device's configuration follows at 18h."""

    CONFIG_MSIX_VECTOR = At(0x14, Plain16, volatile=True)
    QUEUE_MSIX_VECTOR = At(0x16, Plain16, volatile=True)


_TRANSITIONAL = {
    DeviceId.NETWORK: 0x1000,
    DeviceId.BLOCK: 0x1001,
    DeviceId.BALLOON: 0x1002,
    DeviceId.CONSOLE: 0x1003,
    DeviceId.SCSI_HOST: 0x1004,
    DeviceId.ENTROPY: 0x1005,
    DeviceId.FILESYSTEM_9P: 0x1009,
}


def modern_pci_device_id(device: DeviceId) -> int:
    """PCI Device ID of a non-transitional device."""
    return 0x1040 + device


def transitional_pci_device_id(device: DeviceId) -> int:
    """PCI Device ID of a transitional device; raises `FieldError` for a type that never was one."""
    if device not in _TRANSITIONAL:
        raise FieldError(f"virtio {device.name} has no transitional PCI device ID")
    return _TRANSITIONAL[device]


def notify_address(base: int, queue_notify_off: int, multiplier: int) -> int:
    """Where to write to notify a queue: `base` is the BAR's address plus the notify capability's offset."""
    return base + queue_notify_off * multiplier
