"""Virtqueues in memory: split layout, packed layout, their sizes and offsets.

Source: OASIS VIRTIO 1.2, sections 2.7 "Split Virtqueues" ("The Virtqueue Descriptor Table", "Indirect Descriptors",
"The Virtqueue Available Ring", "The Virtqueue Used Ring", "Virtqueue Notification Suppression"; "Legacy Interfaces: A
Note on Virtqueue Layout") and 2.8 "Packed Virtqueues". All is little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "AVAIL_ALIGNMENT",
    "DESCRIPTOR_ALIGNMENT",
    "DESCRIPTOR_SIZE",
    "LEGACY_QUEUE_ALIGNMENT",
    "USED_ALIGNMENT",
    "USED_ELEMENT_SIZE",
    "AvailFlags",
    "Descriptor",
    "DescriptorFlags",
    "EventFlags",
    "EventSuppression",
    "PackedDescriptor",
    "SplitQueueLayout",
    "UsedElement",
    "UsedFlags",
    "avail_ring_size",
    "descriptor_table_size",
    "need_event",
    "used_ring_size",
]

DESCRIPTOR_SIZE = 16
USED_ELEMENT_SIZE = 8
DESCRIPTOR_ALIGNMENT = 16
AVAIL_ALIGNMENT = 2
USED_ALIGNMENT = 4
LEGACY_QUEUE_ALIGNMENT = 4096


class DescriptorFlags(Register, width=16):
    """flags of a descriptor; AVAIL and USED in the packed layout only."""

    NEXT = Field(0)
    WRITE = Field(1)  # the device writes
    INDIRECT = Field(2)
    AVAIL = Field(7)
    USED = Field(15)


class Descriptor(Register, width=128):
    """virtq_desc, 16 bytes."""

    ADDRESS = Field(63, 0)
    LENGTH = Field(95, 64)
    NEXT_FLAG = Field(96)
    WRITE = Field(97)
    INDIRECT = Field(98)
    NEXT = Field(127, 112)


class PackedDescriptor(Register, width=128):
    """pvirtq_desc, 16 bytes."""

    ADDRESS = Field(63, 0)
    LENGTH = Field(95, 64)
    BUFFER_ID = Field(111, 96)
    NEXT_FLAG = Field(112)
    WRITE = Field(113)
    INDIRECT = Field(114)
    AVAIL = Field(119)
    USED = Field(127)


class AvailFlags(Register, width=16):
    """flags of the available ring."""

    NO_INTERRUPT = Field(0)


class UsedFlags(Register, width=16):
    """flags of the used ring."""

    NO_NOTIFY = Field(0)


class UsedElement(Register, width=64):
    """virtq_used_elem: head of the chain, and bytes written into it."""

    ID = Field(31, 0)
    LENGTH = Field(63, 32)


class EventFlags(IntEnum):
    """RING_EVENT_FLAGS of the packed layout."""

    ENABLE = 0
    DISABLE = 1
    DESC = 2


class EventSuppression(Register, width=32):
    """pvirtq_event_suppress."""

    DESC_EVENT_OFF = Field(14, 0)
    DESC_EVENT_WRAP = Field(15)
    EVENT_FLAGS = Field(17, 16, EventFlags)


def _check(size: int) -> None:
    if not 1 <= size <= 32768 or size & size - 1:
        raise FieldError(f"a split virtqueue's size is a power of two from 1 to 32768, not {size}")


def descriptor_table_size(size: int) -> int:
    """Bytes of the descriptor table of a queue of `size` entries; raises `FieldError` for an impossible size."""
    _check(size)
    return DESCRIPTOR_SIZE * size


def avail_ring_size(size: int) -> int:
    """Bytes of the available ring, used_event included; raises `FieldError` for an impossible size."""
    _check(size)
    return 6 + 2 * size


def used_ring_size(size: int) -> int:
    """Bytes of the used ring, avail_event included; raises `FieldError` for an impossible size."""
    _check(size)
    return 6 + USED_ELEMENT_SIZE * size


def need_event(event: int, new: int, old: int) -> bool:
    """Whether moving an index from `old` to `new` passed `event` (all modulo 65536): the other side is notified."""
    return (new - event - 1) & 0xFFFF < (new - old) & 0xFFFF


@dataclass(frozen=True)
class SplitQueueLayout:
    """A split virtqueue at `address`, laid out as the legacy interface demands, which suits the modern one too.

    Raises `FieldError` for an impossible size or an address that is not aligned.
    """

    address: int
    size: int
    alignment: int = LEGACY_QUEUE_ALIGNMENT  # of the used ring, a power of two

    def __post_init__(self) -> None:
        _check(self.size)
        if self.address % max(self.alignment, DESCRIPTOR_ALIGNMENT):
            raise FieldError(f"virtqueue at {self.address:#x}: not aligned to {self.alignment}")
        if self.alignment < USED_ALIGNMENT or self.alignment & self.alignment - 1:
            raise FieldError(f"virtqueue alignment {self.alignment}: not a power of two of at least {USED_ALIGNMENT}")

    @property
    def descriptors(self) -> int:
        """Address of the descriptor table."""
        return self.address

    @property
    def avail(self) -> int:
        """Address of the available ring: flags."""
        return self.address + descriptor_table_size(self.size)

    @property
    def avail_index(self) -> int:
        """Address of avail.idx."""
        return self.avail + 2

    @property
    def used_event(self) -> int:
        """Address of used_event, behind the available ring's entries."""
        return self.avail + 4 + 2 * self.size

    @property
    def used(self) -> int:
        """Address of the used ring: flags."""
        return -(-(self.avail + avail_ring_size(self.size)) // self.alignment) * self.alignment

    @property
    def used_index(self) -> int:
        """Address of used.idx."""
        return self.used + 2

    @property
    def avail_event(self) -> int:
        """Address of avail_event, behind the used ring's entries."""
        return self.used + 4 + USED_ELEMENT_SIZE * self.size

    @property
    def notification_fields(self) -> tuple[tuple[int, int], ...]:
        """(Address, size) of the used ring's flags and of avail_event, which the device writes when it likes."""
        return ((self.used, 2), (self.avail_event, 2))

    @property
    def end(self) -> int:
        """First address behind the queue."""
        return self.used + used_ring_size(self.size)

    def descriptor(self, index: int) -> int:
        """Address of descriptor `index`; raises `FieldError` out of range."""
        return self.descriptors + DESCRIPTOR_SIZE * self._index(index)

    def avail_entry(self, index: int) -> int:
        """Address of avail.ring[index]; raises `FieldError` out of range."""
        return self.avail + 4 + 2 * self._index(index)

    def used_entry(self, index: int) -> int:
        """Address of used.ring[index]; raises `FieldError` out of range."""
        return self.used + 4 + USED_ELEMENT_SIZE * self._index(index)

    def _index(self, index: int) -> int:
        if not 0 <= index < self.size:
            raise FieldError(f"virtqueue of {self.size}: no entry {index}")
        return index
