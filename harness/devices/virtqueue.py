"""`SplitQueue`: a split virtqueue in guest memory, and the driver's side of it.

OASIS VIRTIO 1.2, sections "Split Virtqueues", "Virtqueue Configuration" and "Virtqueue Operation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.devices.virtio import VirtioPci
from harness.hardware.virtio import VIRTIO_NO_VECTOR
from harness.hardware.virtqueue import Descriptor, SplitQueueLayout, UsedElement
from harness.kernel.bus import slot
from harness.kernel.patience import DEVICE_MS
from harness.kernel.window import ReadsMemory

__all__ = ["Part", "SplitQueue", "UsedRing"]

PAGE = 4096


class Part(NamedTuple):
    """One descriptor's worth of a request: physical address, length in bytes, and whether the device writes it."""

    address: int
    length: int
    write: bool = False


@dataclass(frozen=True)
class UsedRing:
    """The used ring as the device left it: `index` counts all elements ever put there, modulo 65536."""

    flags: int
    index: int
    elements: tuple[tuple[int, int], ...]  # (head of the chain, bytes written), in ring order


class SplitQueue:
    """One queue of a device: memory, configuration, descriptors, rings, doorbell.

    The builder counts what it offers, so one queue object must see every offer, in the order that the guest makes it.
    """

    def __init__(
        self, device: VirtioPci, index: int, *, size: int = 8, vector: int = VIRTIO_NO_VECTOR, name: str | None = None
    ) -> None:
        """Lay the queue out in zeroed memory, configure and enable it. `vector`: index of an MSI-X table entry."""
        self.device = device
        self.k = device.k
        self.index = index
        self.size = size
        self.name = name or f"{device.name}_q{index}"
        empty = SplitQueueLayout(0, size)
        self.buffer = self.k.buffer(self.name, empty.end, align=PAGE, volatile=empty.notification_fields)
        self.layout = SplitQueueLayout(self.buffer.address, size)
        self.offered = 0
        self.configure(vector)

    def configure(self, vector: int = VIRTIO_NO_VECTOR) -> None:
        """Write the queue's address to the device, and enable the queue."""
        areas = (self.layout.descriptors, self.layout.avail, self.layout.used)
        self.doorbell = self.device.configure_queue(self.index, areas, size=self.size, vector=vector, name=self.name)

    # --- descriptors ---

    @staticmethod
    def descriptor(part: Part, *, next_index: int | None, indirect: bool) -> int:
        """A descriptor's 128 bits."""
        return int(
            Descriptor.of(
                ADDRESS=part.address,
                LENGTH=part.length,
                WRITE=int(part.write),
                INDIRECT=int(indirect),
                NEXT_FLAG=int(next_index is not None),
                NEXT=next_index or 0,
            )
        )

    def describe(
        self, index: int, part: Part, *, next_index: int | None = None, indirect: bool = False, table: int | None = None
    ) -> None:
        """Write one descriptor, of the queue's table or of an indirect one at address `table`."""
        descriptor = self.descriptor(part, next_index=next_index, indirect=indirect)
        at = self.layout.descriptor(index) if table is None else table + 16 * index
        low, high = descriptor & (1 << 64) - 1, descriptor >> 64
        self.k.program.step(
            f"{self.name} descriptor {index}",
            f"movabs rax, {low:#x}",
            f"mov qword ptr [{at:#x}], rax",
            f"movabs rax, {high:#x}",
            f"mov qword ptr [{at + 8:#x}], rax",
        )

    def chain(self, parts: Sequence[Part], *, first: int = 0, table: int | None = None) -> int:
        """Write a chain of consecutive descriptors from `first` on. Returns its head."""
        for number, part in enumerate(parts):
            more = first + number + 1 if number + 1 < len(parts) else None
            self.describe(first + number, part, next_index=more, table=table)
        return first

    def indirect(self, parts: Sequence[Part], *, head: int = 0) -> int:
        """Write a chain into a table of its own, and one descriptor that points to it. Returns the head."""
        name = self.k.program.unique(f"{self.name}_indirect")
        table = self.k.buffer(name, 16 * len(parts))
        self.chain(parts, table=table.address)
        self.describe(head, Part(table.address, table.size), indirect=True)
        return head

    # --- rings ---

    def offer(self, *heads: int) -> None:
        """Put chains into the available ring, then move its index once, behind all of them."""
        lines = []
        for head in heads:
            entry = self.layout.avail_entry(self.offered % self.size)
            lines.append(f"mov word ptr [{entry:#x}], {head:#x}")
            self.offered += 1
        lines += ["mfence", f"mov word ptr [{self.layout.avail_index:#x}], {self.offered & 0xFFFF:#x}", "mfence"]
        self.k.program.step(f"{self.name} offers {', '.join(map(str, heads))}", *lines)

    def no_interrupt(self, on: bool = True) -> None:
        """The available ring's NO_INTERRUPT flag."""
        self.k.program.step(f"{self.name} NO_INTERRUPT={on}", f"mov word ptr [{self.layout.avail:#x}], {int(on)}")

    def used_event(self, index: int) -> None:
        """With EVENT_IDX: interrupt when the used index passes this."""
        at = self.layout.used_event
        self.k.program.step(f"{self.name} used_event = {index}", f"mov word ptr [{at:#x}], {index & 0xFFFF:#x}")

    def submit(self, *heads: int) -> None:
        """Offer chains and notify the device."""
        self.offer(*heads)
        self.notify()

    def notify(self) -> None:
        """The available buffer notification: write the queue's index to its doorbell."""
        self.k.program.step(
            f"notify {self.name}", f"mov rdi, {slot(self.doorbell)}", f"mov eax, {self.index}", "mov word ptr [rdi], ax"
        )

    def wait_used(self, index: int, *, ms: float = DEVICE_MS) -> None:
        """Until the used ring's index is `index`; fails by name after `ms` of guest time."""
        self.k.wait_until(self.layout.used & ~7, (index & 0xFFFF) << 16, mask=0xFFFF_0000, ms=ms)

    def completions(self, run: ReadsMemory) -> tuple[tuple[int, int], ...]:
        """The used ring's elements after the run, in ring order: (head of the chain, bytes written)."""
        return self.used(run.memory(self.buffer)).elements

    def used(self, memory: bytes) -> UsedRing:
        """The used ring, out of the queue's memory (`run.memory(queue.buffer)`)."""
        at = self.layout.used - self.buffer.address
        ring = memory[at:]
        index = int.from_bytes(ring[2:4], "little")
        raw = [UsedElement(int.from_bytes(ring[4 + 8 * i : 12 + 8 * i], "little")) for i in range(self.size)]
        filled = min(index, self.size)
        elements = tuple((element.ID, element.LENGTH) for element in raw[:filled])
        return UsedRing(int.from_bytes(ring[0:2], "little"), index, elements)
