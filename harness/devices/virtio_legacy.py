"""`LegacyVirtio`: a transitional virtio device through its legacy interface, the I/O BAR.

OASIS VIRTIO 1.2, "Legacy Interfaces: A Note on PCI Device Layout", "Legacy Interfaces: A Note on Virtqueue Layout".
"""

from __future__ import annotations

from harness.devices.virtqueue import PAGE, Part, SplitQueue
from harness.hardware.virtio import LEGACY_PAGE_SHIFT, LegacyHeaderMsix
from harness.hardware.virtqueue import DESCRIPTOR_SIZE, SplitQueueLayout, avail_ring_size
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot

__all__ = ["LegacyQueue", "LegacyVirtio"]

LARGEST = 1024
"""Entries of the largest queue that there is memory for."""
AVAIL_RING_HEAD = avail_ring_size(1) - 2
"""Bytes of the available ring besides its entries."""


class LegacyVirtio(LegacyHeaderMsix):
    """The legacy header. The vector registers exist, and the device's own configuration moves, while MSI-X is on."""

    def __init__(self, k: Kernel, name: str) -> None:
        self.k = k
        self.function = k.pci.device(name)
        self.function.enable()
        super().__init__(k.bus, self.function.bar(0), name=f"{self.function.name}_legacy")

    def negotiate(self, features: int = 0) -> None:
        """Reset, ACKNOWLEDGE, DRIVER, features (32 bits); the legacy interface has no FEATURES_OK."""
        self.DEVICE_STATUS.write(0)
        self.DEVICE_STATUS.write(ACKNOWLEDGE=1)
        self.DEVICE_STATUS.write(ACKNOWLEDGE=1, DRIVER=1)
        self.DRIVER_FEATURES.write(features)

    def start(self) -> None:
        """DRIVER_OK."""
        self.DEVICE_STATUS.write(ACKNOWLEDGE=1, DRIVER=1, DRIVER_OK=1)


class LegacyQueue(SplitQueue):
    """A queue in one piece of memory. The device dictates its size, which the guest reads before it lays it out.

    The used ring has a fixed address, whatever the size: descriptors and available ring are laid out before it.
    """

    def __init__(self, device: LegacyVirtio, index: int, *, vector: int | None = None) -> None:
        """`vector`: an MSI-X table entry, with MSI-X on."""
        self.k = device.k
        self.legacy = device
        self.index = index
        self.size = LARGEST
        self.name = f"{device.name}_q{index}"
        empty = SplitQueueLayout(0, LARGEST)
        self.buffer = self.k.buffer(self.name, empty.end, align=PAGE, volatile=((empty.used, 2),))
        self.layout = SplitQueueLayout(self.buffer.address, LARGEST)
        self.offered = 0
        device.QUEUE_SELECT.write(index)
        self.device_size = device.QUEUE_SIZE.read()
        self._table = self.k.value(f"{self.name}_table")
        self.page = self.k.value(f"{self.name}_page")
        self._place()
        device.QUEUE_ADDRESS.write(self.page)
        if vector is not None:
            device.QUEUE_MSIX_VECTOR.write(vector)

    def _place(self) -> None:
        """Calculate the queue's address: a whole number of pages before its used ring. #UD where no queue fits."""
        fits = self.k.program.unique("fits")
        self.k.program.step(
            f"place {self.name} for its device's size",
            f"mov rax, {slot(self.device_size)}",
            "lea rcx, [rax-1]",
            f"cmp rcx, {LARGEST}",
            f"jb {fits}",
            "ud2",  # size 0 (no such queue) or above LARGEST
            f"{fits}:",
            "lea rax, [rax+rax*8]",  # 16 bytes of descriptor and 2 of available ring: 9 × 2 for each entry
            f"lea rax, [rax*2+{AVAIL_RING_HEAD + PAGE - 1}]",
            f"and rax, {-PAGE}",
            f"mov ecx, {self.layout.used:#x}",
            "sub rcx, rax",
            f"mov {slot(self._table)}, rcx",
            f"shr rcx, {LEGACY_PAGE_SHIFT}",
            f"mov {slot(self.page)}, rcx",
        )

    def describe(
        self, index: int, part: Part, *, next_index: int | None = None, indirect: bool = False, table: int | None = None
    ) -> None:
        """Write one descriptor, of the queue's table or of an indirect one at address `table`."""
        if table is not None:
            super().describe(index, part, next_index=next_index, indirect=indirect, table=table)
            return
        descriptor = self.descriptor(part, next_index=next_index, indirect=indirect)
        self.k.program.step(
            f"{self.name} descriptor {index}",
            f"mov rcx, {slot(self._table)}",
            f"movabs rax, {descriptor & (1 << 64) - 1:#x}",
            f"mov qword ptr [rcx+{DESCRIPTOR_SIZE * index}], rax",
            f"movabs rax, {descriptor >> 64:#x}",
            f"mov qword ptr [rcx+{DESCRIPTOR_SIZE * index + 8}], rax",
        )

    def offer(self, *heads: int) -> None:
        """Put chains into the available ring, then move its index once, behind all of them."""
        lines = [
            f"mov rcx, {slot(self.device_size)}",
            "lea rdx, [rcx-1]",
            f"imul rcx, rcx, {DESCRIPTOR_SIZE}",
            f"add rcx, {slot(self._table)}",
        ]
        for head in heads:
            lines += [
                f"mov eax, {self.offered}",
                "and rax, rdx",
                f"mov word ptr [rcx+rax*2+4], {head:#x}",
            ]
            self.offered += 1
        lines += ["mfence", f"mov word ptr [rcx+2], {self.offered & 0xFFFF:#x}", "mfence"]
        self.k.program.step(f"{self.name} offers {', '.join(map(str, heads))}", *lines)

    def submit(self, *heads: int) -> None:
        """Offer chains and notify the device."""
        self.offer(*heads)
        self.notify()

    def notify(self) -> None:
        """Write the queue's index to QUEUE_NOTIFY."""
        self.legacy.QUEUE_NOTIFY.write(self.index)
