"""`BlockRequest`: one request of a virtio block device, as a chain of descriptors.

OASIS VIRTIO 1.2, "Block Device", "Device Operation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.hardware.virtio_devices import BLOCK_HEADER_SIZE, BlockRequestHeader
from harness.hardware.virtio_devices import BlockRequest as Kind
from harness.kernel.builder import Kernel
from harness.kernel.virtqueue import Part
from harness.kernel.window import Window

__all__ = ["NO_STATUS", "BlockOperation"]

NO_STATUS = 0xEE  # what the status byte holds until the device writes it


@dataclass(frozen=True)
class BlockOperation:
    """Header, data and status byte of one request; each in guest memory of its own."""

    parts: tuple[Part, ...]
    status: Window

    @classmethod
    def make(cls, k: Kernel, name: str, kind: Kind, sector: int = 0, data: Sequence[Window] = ()) -> BlockOperation:
        """A request with its data in these windows, in order: the device writes them for `IN` and `GET_ID`."""
        header = int(BlockRequestHeader.of(TYPE=kind, SECTOR=sector)).to_bytes(BLOCK_HEADER_SIZE, "little")
        head = Window.make(k, f"{name}_header", BLOCK_HEADER_SIZE, content=header)
        status = Window.make(k, f"{name}_status", 1, content=bytes([NO_STATUS]))
        writes = kind in (Kind.IN, Kind.GET_ID)
        body = [Part(window.address, window.size, writes) for window in data]
        return cls((Part(head.address, head.size), *body, Part(status.address, 1, True)), status)
