"""`E1000eCard`: the 82574 network card, driven by the guest: one ring each way, legacy descriptors.

Intel 82574 GbE Controller Family Datasheet, "Initialization", "Receive Descriptors", "Transmit Descriptors", "MSI-X".
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.hardware.e1000e import E1000e, ReceiveDescriptor, TransmitDescriptor
from harness.kernel.builder import Kernel
from harness.kernel.patience import DEVICE_MS
from harness.kernel.program import Buffer
from harness.kernel.window import ReadsMemory, Window

__all__ = ["E1000eCard"]

_DONE = 1 << 32  # DD in a descriptor's second quadword
E1000E_RING_SIZE = 8  # descriptors: 128 bytes, the least that RDLEN and TDLEN can hold


class E1000eCard(E1000e):
    """The card reset, link up, everything masked; `receive` and `transmit` give it its rings."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.function = k.pci.device("e1000e")
        self.function.enable()
        super().__init__(k.bus, self.function.bar(0))
        self.reset()

    def reset(self) -> None:
        """Reset the card; then link up, everything masked, no rings."""
        self.IMC.write(0xFFFF_FFFF)
        self.CTRL.write(RST=1)
        self.IMC.write(0xFFFF_FFFF)
        self.CTRL.write(SLU=1, ASDE=1, FD=1)
        self.ICR.read()

    def receive(self, windows: Sequence[Window], *, tail: int | None = None) -> None:
        """A receive ring with these buffers (2048 bytes each); every address is accepted.

        `tail`: how many of them the card may use at first (all).
        """
        self.receive_into([window.address for window in windows], tail=tail)

    def receive_into(self, addresses: Sequence[int], *, tail: int | None = None, ring: int | None = None) -> None:
        """The same with buffers at any address, in a ring of the card's own or at physical address `ring`."""
        content = b"".join(_bytes(ReceiveDescriptor.of(ADDRESS=address)) for address in addresses)
        self.receive_ring = self._ring("e1000e_rx", content)
        registers = self.RX[0]
        registers.RDBAL.write((self.receive_ring.address if ring is None else ring) & 0xFFFF_FFFF)
        registers.RDBAH.write((ring or 0) >> 32)
        registers.RDLEN.write(LEN=1)
        registers.RDH.write(0)
        registers.RDT.write(len(addresses) if tail is None else tail)
        self.RCTL.write(EN=1, UPE=1, MPE=1, BAM=1, SECRC=1)

    def transmit(self, frames: Sequence[Sequence[Window]]) -> None:
        """A transmit ring with these frames, each of one or more pieces; `send` hands them over."""
        descriptors = [
            TransmitDescriptor.of(
                ADDRESS=piece.address,
                LENGTH=piece.size,
                EOP=int(piece is frame[-1]),
                IFCS=1,
                RS=int(piece is frame[-1]),
            )
            for frame in frames
            for piece in frame
        ]
        self.transmit_from(descriptors)

    def transmit_from(self, descriptors: Sequence[int], *, ring: int | None = None) -> None:
        """A transmit ring with any descriptors, in memory of the card's own or at physical address `ring`."""
        self.transmit_ring = self._ring("e1000e_tx", b"".join(map(_bytes, descriptors)))
        self.waiting = len(descriptors)
        registers = self.TX[0]
        registers.TDBAL.write((self.transmit_ring.address if ring is None else ring) & 0xFFFF_FFFF)
        registers.TDBAH.write((ring or 0) >> 32)
        registers.TDLEN.write(LEN=1)
        registers.TDH.write(0)
        registers.TDT.write(0)
        self.TCTL.write(EN=1, PSP=1)

    def wait_sent(self, number: int = 1, *, ms: float = DEVICE_MS) -> None:
        """Until transmit descriptor `number` (from 1) is written back: its DD bit is set."""
        self.k.wait_until(self.transmit_ring.address + 16 * number - 8, _DONE, mask=_DONE, ms=ms)

    def wait_received(self, number: int = 1, *, ms: float = DEVICE_MS) -> None:
        """Until receive descriptor `number` (from 1) is written back: its DD bit is set."""
        self.k.wait_until(self.receive_ring.address + 16 * number - 8, _DONE, mask=_DONE, ms=ms)

    def received(self, run: ReadsMemory) -> list[ReceiveDescriptor]:
        """The receive ring's descriptors after the run, in ring order."""
        ring = run.memory(self.receive_ring)
        return [ReceiveDescriptor(int.from_bytes(ring[at : at + 16], "little")) for at in range(0, len(ring), 16)]

    def send(self) -> None:
        """Move the tail behind the last descriptor."""
        self.TX[0].TDT.write(self.waiting)

    def _ring(self, stem: str, content: bytes) -> Buffer:
        return self.k.buffer(self.k.program.unique(stem), 16 * E1000E_RING_SIZE, align=128, fill=content)


def _bytes(descriptor: int) -> bytes:
    return int(descriptor).to_bytes(16, "little")
