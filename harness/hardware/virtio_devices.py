"""Device configuration and requests of the virtio devices that QEMU offers a small guest.

Source: OASIS VIRTIO 1.2, sections 5.1 "Network Device", 5.2 "Block Device", 5.3 "Console Device", 5.4 "Entropy Device".
The base of a configuration block is the device structure (modern), or the I/O BAR plus 14h or 18h (legacy: then use
the same offsets on ports).

Access kinds: the same sections; the fields of a device's configuration are read-only unless stated.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from harness.hardware.block import At, AtArray, Block, Space
from harness.hardware.pci import Plain8, Plain16, Plain32
from harness.hardware.register import Field, Register
from harness.hardware.virtio import Plain64

__all__ = [
    "BLOCK_HEADER_SIZE",
    "ENTROPY_REQUESTQ",
    "NET_CTRLQ",
    "NET_HEADER_SIZE",
    "NET_HEADER_SIZE_LEGACY",
    "NET_RECEIVEQ",
    "NET_TRANSMITQ",
    "SECTOR_SIZE",
    "BlockConfiguration",
    "BlockFeature",
    "BlockRequest",
    "BlockRequestHeader",
    "BlockStatus",
    "ConsoleConfiguration",
    "ConsoleFeature",
    "ConsoleQueue",
    "NetConfiguration",
    "NetFeature",
    "NetHeader",
    "NetStatus",
]

SECTOR_SIZE = 512
BLOCK_HEADER_SIZE = 16  # then data, then one status byte
NET_HEADER_SIZE = 12  # with VERSION_1
NET_HEADER_SIZE_LEGACY = 10  # without MRG_RXBUF
NET_RECEIVEQ = 0
NET_TRANSMITQ = 1
NET_CTRLQ = 2  # without MQ
ENTROPY_REQUESTQ = 0


class BlockFeature(IntFlag):
    """Feature bits of the block device."""

    SIZE_MAX = 1 << 1
    SEG_MAX = 1 << 2
    GEOMETRY = 1 << 4
    RO = 1 << 5
    BLK_SIZE = 1 << 6
    SCSI = 1 << 7  # legacy
    FLUSH = 1 << 9
    TOPOLOGY = 1 << 10
    CONFIG_WCE = 1 << 11
    MQ = 1 << 12
    DISCARD = 1 << 13
    WRITE_ZEROES = 1 << 14


class BlockRequest(IntEnum):
    """type of a block request."""

    IN = 0  # read
    OUT = 1  # write
    FLUSH = 4
    GET_ID = 8
    DISCARD = 11
    WRITE_ZEROES = 13


class BlockStatus(IntEnum):
    """Status byte of a block request."""

    OK = 0
    IOERR = 1
    UNSUPP = 2


class BlockRequestHeader(Register, width=128):
    """The device-readable head of a block request."""

    TYPE = Field(31, 0, BlockRequest)
    SECTOR = Field(127, 64)  # in units of 512 bytes


class BlockConfiguration(Block):
    """virtio_blk_config."""

    SPACE = Space.MMIO
    NAME = "virtio_blk"

    CAPACITY = At(0x00, Plain64, access="ro")  # in units of 512 bytes
    SIZE_MAX = At(0x08, Plain32, access="ro")
    SEG_MAX = At(0x0C, Plain32, access="ro")
    CYLINDERS = At(0x10, Plain16, access="ro")
    HEADS = At(0x12, Plain8, access="ro")
    SECTORS = At(0x13, Plain8, access="ro")
    BLK_SIZE = At(0x14, Plain32, access="ro")
    PHYSICAL_BLOCK_EXP = At(0x18, Plain8, access="ro")
    ALIGNMENT_OFFSET = At(0x19, Plain8, access="ro")
    MIN_IO_SIZE = At(0x1A, Plain16, access="ro")
    OPT_IO_SIZE = At(0x1C, Plain32, access="ro")
    WRITEBACK = At(0x20, Plain8, volatile=True)  # writable with VIRTIO_BLK_F_CONFIG_WCE: 0 or 1
    NUM_QUEUES = At(0x22, Plain16, access="ro")


class NetFeature(IntFlag):
    """Feature bits of the network device."""

    CSUM = 1 << 0
    GUEST_CSUM = 1 << 1
    MTU = 1 << 3
    MAC = 1 << 5
    GUEST_TSO4 = 1 << 7
    GUEST_TSO6 = 1 << 8
    HOST_TSO4 = 1 << 11
    HOST_TSO6 = 1 << 12
    MRG_RXBUF = 1 << 15
    STATUS = 1 << 16
    CTRL_VQ = 1 << 17
    CTRL_RX = 1 << 18
    CTRL_VLAN = 1 << 19
    GUEST_ANNOUNCE = 1 << 21
    MQ = 1 << 22
    CTRL_MAC_ADDR = 1 << 23


class NetStatus(Register, width=16, reserved="undefined"):
    """status of the network device, with the STATUS feature."""

    LINK_UP = Field(0, access="ro")
    ANNOUNCE = Field(1, access="ro")


class NetConfiguration(Block):
    """virtio_net_config."""

    SPACE = Space.MMIO
    NAME = "virtio_net"

    MAC = AtArray(0x00, Plain8, count=6, stride=1)
    STATUS = At(0x06, NetStatus, access="ro")
    MAX_VIRTQUEUE_PAIRS = At(0x08, Plain16, access="ro")
    MTU = At(0x0A, Plain16, access="ro")


class NetHeader(Register, width=128):
    """virtio_net_hdr (12 bytes; the upper 4 of this register are not part of it)."""

    NEEDS_CSUM = Field(0)
    DATA_VALID = Field(1)
    RSC_INFO = Field(2)
    GSO_TYPE = Field(15, 8)
    HDR_LEN = Field(31, 16)
    GSO_SIZE = Field(47, 32)
    CSUM_START = Field(63, 48)
    CSUM_OFFSET = Field(79, 64)
    NUM_BUFFERS = Field(95, 80)


class ConsoleFeature(IntFlag):
    """Feature bits of the console device."""

    SIZE = 1 << 0
    MULTIPORT = 1 << 1
    EMERG_WRITE = 1 << 2


class ConsoleQueue(IntEnum):
    """Queues of the console device."""

    RECEIVEQ_0 = 0
    TRANSMITQ_0 = 1
    CONTROL_RECEIVEQ = 2
    CONTROL_TRANSMITQ = 3


class ConsoleConfiguration(Block):
    """virtio_console_config."""

    SPACE = Space.MMIO
    NAME = "virtio_console"

    COLS = At(0x00, Plain16, access="ro")
    ROWS = At(0x02, Plain16, access="ro")
    MAX_NR_PORTS = At(0x04, Plain32, access="ro")
    EMERG_WR = At(0x08, Plain32, access="wo")
