"""`EntropyDevice`: a virtio entropy device that interrupts once for each request."""

from __future__ import annotations

from harness.devices.virtio import VirtioPci
from harness.devices.virtqueue import Part, SplitQueue
from harness.hardware.virtio import VIRTIO_NO_VECTOR
from harness.kernel.builder import Kernel
from harness.kernel.window import Window

__all__ = ["EntropyDevice"]


class EntropyDevice(VirtioPci):
    """The device started, with its one queue and a buffer of 16 bytes; `entry` is the queue's MSI-X table entry.

    OASIS VIRTIO 1.2, "Entropy Device".
    """

    def __init__(self, k: Kernel, *, entry: int = VIRTIO_NO_VECTOR) -> None:
        super().__init__(k, "virtio-rng")
        self.window = Window.make(k, "entropy", 16)
        self.msix = self.function.msix()
        self.entry = entry

    def begin(self) -> None:
        """Initialize the device and its queue; MSI-X is on by then if it is to be used."""
        self.negotiate()
        self.queue = SplitQueue(self, 0, vector=self.entry)
        self.chain = self.queue.chain([Part(self.window.address, self.window.size, write=True)])
        self.start()

    def request(self) -> None:
        """One request: the device fills the buffer and interrupts."""
        self.queue.offer(self.chain)
        self.queue.notify()

    def wait_answered(self) -> None:
        """Wait until every request so far is in the used ring."""
        self.queue.wait_used(self.queue.offered)
