"""`VirtioDisk`: a virtio block device, and its requests as chains of descriptors.

OASIS VIRTIO 1.2, "Block Device", "Device Operation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.devices.virtio import VirtioPci
from harness.devices.virtqueue import Part, SplitQueue
from harness.hardware.virtio import VIRTIO_NO_VECTOR
from harness.hardware.virtio_devices import BLOCK_HEADER_SIZE, BlockRequest, BlockRequestHeader
from harness.kernel.builder import Kernel
from harness.kernel.window import ReadsMemory, Window

__all__ = ["NO_BLOCK_STATUS", "BlockOperation", "VirtioDisk"]

NO_BLOCK_STATUS = 0xEE  # what the status byte holds until the device writes it


@dataclass(frozen=True)
class BlockOperation:
    """Header, data and status byte of one request; each in guest memory of its own."""

    parts: tuple[Part, ...]
    status: Window
    head: int = 0  # of its chain in the queue, where `VirtioDisk.request` wrote one

    def result(self, run: ReadsMemory) -> int:
        """The status byte after the run. Raises AssertionError where a byte around it was overwritten."""
        return self.status.read(run)[0]

    @classmethod
    def make(
        cls, k: Kernel, name: str, kind: BlockRequest, sector: int = 0, data: Sequence[Window] = ()
    ) -> BlockOperation:
        """A request with its data in these windows, in order: the device writes them for `IN` and `GET_ID`."""
        header = int(BlockRequestHeader.of(TYPE=kind, SECTOR=sector)).to_bytes(BLOCK_HEADER_SIZE, "little")
        head = Window.make(k, f"{name}_header", BLOCK_HEADER_SIZE, content=header)
        status = Window.make(k, f"{name}_status", 1, content=bytes([NO_BLOCK_STATUS]))
        writes = kind in (BlockRequest.IN, BlockRequest.GET_ID)
        body = [Part(window.address, window.size, writes) for window in data]
        return cls((Part(head.address, head.size), *body, Part(status.address, 1, True)), status)


class VirtioDisk(VirtioPci):
    """A virtio block device with one queue; `vector`: the queue's MSI-X message (none: INTx or no interrupt)."""

    def __init__(
        self,
        k: Kernel,
        *,
        vector: int | None = None,
        size: int = 16,
        features: int = 0,
        name: str = "virtio-blk",
        start: bool = True,
    ) -> None:
        super().__init__(k, name, vectors=None if vector is None else {1: vector})
        self.negotiate(features)
        self.queue = SplitQueue(self, 0, size=size, vector=VIRTIO_NO_VECTOR if vector is None else 1)
        if start:
            self.start()

    def request(
        self, name: str, kind: BlockRequest, sector: int = 0, data: Sequence[Window] = (), *, first: int = 0
    ) -> BlockOperation:
        """A request as `BlockOperation.make` has it, in the queue's descriptors from `first` on, not yet offered."""
        operation = BlockOperation.make(self.k, name, kind, sector, data)
        return replace(operation, head=self.queue.chain(operation.parts, first=first))
