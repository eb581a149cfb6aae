"""`PackedQueue`: a packed virtqueue in guest memory, and the driver's side of it.

OASIS VIRTIO 1.2, sections "Packed Virtqueues", "Virtqueue Configuration" and "Virtqueue Operation".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.devices.virtio import VirtioPci
from harness.devices.virtqueue import PAGE, Part
from harness.hardware.virtio import VIRTIO_NO_VECTOR
from harness.hardware.virtqueue import DESCRIPTOR_SIZE, EventFlags, EventSuppression, PackedDescriptor
from harness.kernel.bus import slot
from harness.kernel.patience import DEVICE_MS

__all__ = ["PackedQueue", "Position"]

_AVAIL_AND_USED = 1 << 55 | 1 << 63  # in a descriptor's second quadword


class Position(NamedTuple):
    """A place in the ring, and the wrap counter of the side that gets there."""

    offset: int
    wrap: int


_ANYWHERE = Position(0, 0)  # used by `EventFlags.DESC` only


class PackedQueue:
    """One queue of a device: descriptor ring, two event suppression structures, doorbell.

    The builder counts what it offers, so one queue object must see every offer, in the order that the guest makes it.
    """

    def __init__(
        self, device: VirtioPci, index: int, *, size: int = 8, vector: int = VIRTIO_NO_VECTOR, name: str | None = None
    ) -> None:
        """Lay the queue out in zeroed memory, configure and enable it. `size`: any number, not only powers of two."""
        self.device = device
        self.k = device.k
        self.index = index
        self.size = size
        self.name = name or f"{device.name}_q{index}"
        self.ring = self.k.buffer(f"{self.name}_ring", DESCRIPTOR_SIZE * size, align=PAGE)
        self.driver_area = self.k.buffer(f"{self.name}_driver", 4)
        self.device_area = self.k.buffer(f"{self.name}_device", 4, volatile=((0, 4),))  # as the device likes
        self.next = Position(0, 1)  # where the next buffer goes
        areas = (self.ring.address, self.driver_area.address, self.device_area.address)
        self.doorbell = device.configure_queue(index, areas, size=size, vector=vector, name=self.name)

    def after(self, position: Position, count: int) -> Position:
        """`count` descriptors further; the wrap counter changes where the ring ends."""
        offset = position.offset + count
        return Position(offset % self.size, position.wrap ^ (offset // self.size & 1))

    def address(self, position: Position) -> int:
        """Physical address of a descriptor."""
        return self.ring.address + DESCRIPTOR_SIZE * position.offset

    # --- offering ---

    def offer(self, *parts: Part, identifier: int, indirect: bool = False, held: bool = False) -> Position:
        """Make one buffer of these parts available. Returns where its head is, where it will also be marked used.

        `identifier`: the buffer ID. `indirect`: in a table of its own, one descriptor in the ring. `held`: leave the
        head unavailable; `release` makes it available.
        """
        if indirect:
            parts = (self._table(parts),)
        if not 1 <= len(parts) <= self.size:
            raise self.k.program.error(f"{self.name}: {len(parts)} descriptors in a ring of {self.size}")
        head = self.next
        descriptors = []
        for number, part in enumerate(parts):
            at = self.after(head, number)
            more = number + 1 < len(parts)
            descriptors.append((at, self._descriptor(part, at, identifier, more=more, indirect=indirect)))
        self.next = self.after(head, len(parts))
        lines = []
        for at, descriptor in reversed(descriptors):  # the head last: its flags make all of them available
            low, high = descriptor & (1 << 64) - 1, descriptor >> 64
            if at == head and held:
                high ^= _AVAIL_AND_USED  # of the round before
            lines += [f"movabs rax, {low:#x}", f"mov qword ptr [{self.address(at):#x}], rax", f"movabs rax, {high:#x}"]
            lines += ["mfence", f"mov qword ptr [{self.address(at) + 8:#x}], rax"]
        self.k.program.step(f"{self.name} offers buffer {identifier}", *lines, "mfence")
        return head

    def release(self, head: Position) -> None:
        """Make the head of a buffer that was offered with `held` available."""
        at = self.address(head) + 14
        self.k.program.step(f"{self.name} releases the buffer", f"xor word ptr [{at:#x}], 0x8080", "mfence")

    def _descriptor(self, part: Part, at: Position, identifier: int, *, more: bool, indirect: bool) -> int:
        return int(
            PackedDescriptor.of(
                ADDRESS=part.address,
                LENGTH=part.length,
                BUFFER_ID=identifier,
                WRITE=int(part.write),
                INDIRECT=int(indirect),
                NEXT_FLAG=int(more),
                AVAIL=at.wrap,
                USED=1 - at.wrap,
            )
        )

    def _table(self, parts: Sequence[Part]) -> Part:
        """An indirect table: descriptors in order, without NEXT, AVAIL, USED."""
        content = b"".join(
            int(PackedDescriptor.of(ADDRESS=part.address, LENGTH=part.length, WRITE=int(part.write))).to_bytes(
                DESCRIPTOR_SIZE, "little"
            )
            for part in parts
        )
        table = self.k.buffer(self.k.program.unique(f"{self.name}_indirect"), len(content), fill=content)
        return Part(table.address, table.size)

    # --- notifications ---

    def driver_events(self, flags: EventFlags, at: Position = _ANYWHERE) -> None:
        """The driver event suppression structure: which used buffers are to be notified."""
        content = int(EventSuppression.of(EVENT_FLAGS=flags, DESC_EVENT_OFF=at.offset, DESC_EVENT_WRAP=at.wrap))
        self.k.program.step(
            f"{self.name} driver events {flags.name}",
            f"mov dword ptr [{self.driver_area.address:#x}], {content:#x}",
            "mfence",
        )

    def notify(self) -> None:
        """The available buffer notification."""
        self.k.program.step(
            f"notify {self.name}", f"mov rdi, {slot(self.doorbell)}", f"mov eax, {self.index}", "mov word ptr [rdi], ax"
        )

    def wait_used(self, at: Position, *, ms: float = DEVICE_MS) -> None:
        """Until the descriptor there is marked used in its round; fails by name after `ms` of guest time."""
        equals = _AVAIL_AND_USED if at.wrap else 0
        self.k.wait_until(self.address(at) + 8, equals, mask=_AVAIL_AND_USED, ms=ms)

    # --- evidence ---

    def descriptors(self, memory: bytes) -> list[PackedDescriptor]:
        """The ring, out of its memory (`run.memory(queue.ring)`)."""
        return [
            PackedDescriptor(int.from_bytes(memory[at : at + DESCRIPTOR_SIZE], "little"))
            for at in range(0, len(memory), DESCRIPTOR_SIZE)
        ]
