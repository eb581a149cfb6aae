"""`EduDevice`: QEMU's teaching device, driven by the guest."""

from __future__ import annotations

from harness.hardware.edu import BUFFER_OFFSET, Edu, TransferDirection
from harness.hardware.msi import Msi64
from harness.kernel.builder import Kernel

__all__ = ["EduDevice"]


class EduDevice(Edu):
    """Its registers, found through BAR 0, and the two things that it does: raise an interrupt, move a block.

    QEMU documentation, "EDU device".
    """

    def __init__(self, k: Kernel, *, bus_master: bool = True) -> None:
        self.function = k.pci.device("edu")
        self.function.enable(bus_master=bus_master)
        super().__init__(k.bus, self.function.bar(0))

    @property
    def pin(self) -> int:
        """The IO APIC pin of its INTA#."""
        return self.function.pin

    def enable_msi(self, vector: int, *, destination: int = 0, **data: int) -> Msi64:
        """Program and enable its one message. `data`: further fields of `MessageData16`."""
        msi = self.function.enable_msi(vector, destination=destination, address64=True, **data)
        assert isinstance(msi, Msi64)
        return msi

    def prepare(self, *, source: int, destination: int, count: int) -> None:
        """Source, destination and count of the next transfer: guest-physical, or `BUFFER_OFFSET` + offset."""
        self.DMA_SOURCE.write(source)
        self.DMA_DESTINATION.write(destination)
        self.DMA_COUNT.write(count)

    def go(self, direction: TransferDirection, *, interrupt: bool = True) -> None:
        """Start the prepared transfer. The engine takes 100 ms of guest time."""
        self.DMA_COMMAND.write(START=1, DIRECTION=direction, INTERRUPT_ENABLE=int(interrupt))

    def to_device(self, address: int, count: int, *, offset: int = 0, interrupt: bool = True) -> None:
        """From guest memory into the device's buffer."""
        self.prepare(source=address, destination=BUFFER_OFFSET + offset, count=count)
        self.go(TransferDirection.RAM_TO_EDU, interrupt=interrupt)

    def from_device(self, address: int, count: int, *, offset: int = 0, interrupt: bool = True) -> None:
        """From the device's buffer into guest memory."""
        self.prepare(source=BUFFER_OFFSET + offset, destination=address, count=count)
        self.go(TransferDirection.EDU_TO_RAM, interrupt=interrupt)
