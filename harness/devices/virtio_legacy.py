"""`LegacyVirtio`: a transitional virtio device through its legacy interface, the I/O BAR.

OASIS VIRTIO 1.2, "Legacy Interfaces: A Note on PCI Device Layout", "Legacy Interfaces: A Note on Virtqueue Layout".
"""

from __future__ import annotations

from harness.devices.virtqueue import PAGE, SplitQueue
from harness.hardware.virtio import LEGACY_PAGE_SHIFT, LegacyHeaderMsix
from harness.hardware.virtqueue import SplitQueueLayout
from harness.kernel.builder import Kernel

__all__ = ["LegacyQueue", "LegacyVirtio"]


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
    """A queue in one piece of memory, of the size that the device dictates."""

    def __init__(self, device: LegacyVirtio, index: int, *, size: int, vector: int | None = None) -> None:
        """`size`: what QUEUE_SIZE reads, which the probe must assert. `vector`: an MSI-X table entry, with MSI-X on."""
        self.k = device.k
        self.legacy = device
        self.index = index
        self.size = size
        self.name = f"{device.name}_q{index}"
        empty = SplitQueueLayout(0, size)
        self.buffer = self.k.buffer(self.name, empty.end, align=PAGE, volatile=empty.notification_fields)
        self.layout = SplitQueueLayout(self.buffer.address, size)
        self.offered = 0
        device.QUEUE_SELECT.write(index)
        self.device_size = device.QUEUE_SIZE.read()
        device.QUEUE_ADDRESS.write(self.buffer.address >> LEGACY_PAGE_SHIFT)
        if vector is not None:
            device.QUEUE_MSIX_VECTOR.write(vector)

    def notify(self) -> None:
        """Write the queue's index to QUEUE_NOTIFY."""
        self.legacy.QUEUE_NOTIFY.write(self.index)
