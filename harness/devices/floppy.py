"""`FloppyDrive`: drive 0 of the floppy controller, by channel 2 of the first 8237.

Intel 82078, "Command Set/Descriptions"; Intel 8237A, "Register Description", "Software Commands".
"""

from __future__ import annotations

from harness.hardware.block import Value
from harness.hardware.dma8237 import Dma8237Slave, DmaPages, TransferMode, TransferType
from harness.hardware.floppy import Floppy, FloppyByte, FloppyCommand
from harness.kernel.builder import Kernel
from harness.kernel.patience import DEVICE_MS
from harness.kernel.poll import wait_register

__all__ = ["FloppyDrive"]

SECTORS = 18
CHANNEL = 2
MFM = 0x40


class FloppyDrive(Floppy):
    """The controller, reset, drive 0 on cylinder 0; its interrupt is IRQ 6, counted on `vector`."""

    def __init__(self, k: Kernel, vector: int) -> None:
        super().__init__(k.bus)
        self.k = k
        self.vector = vector
        self.dma = Dma8237Slave(k.bus)
        self.pages = DmaPages(k.bus)
        self.interrupts = 0
        k.ioapic.redirect(6, vector)
        k.sti()
        self.DOR.write(0)
        self.DOR.write(RESET=1, DMAGATE=1, MOTOR_ENABLE=1)
        self._interrupt()
        for _ in range(4):
            self.command(FloppyCommand.SENSE_INTERRUPT_STATUS)
            self._results(2)
        self.CCR.write(0)
        self.command(3, 0xDF, 0x02)  # SPECIFY: step rate, head times, DMA mode
        self.command(FloppyCommand.RECALIBRATE, 0)
        self._interrupt()
        self.command(FloppyCommand.SENSE_INTERRUPT_STATUS)
        self._results(2)

    def _interrupt(self) -> None:
        self.interrupts += 1
        self.k.wait_for(self.vector, self.interrupts, ms=DEVICE_MS)

    def command(self, *data: int) -> None:
        """Write command and parameter bytes, each when the controller requests it."""
        for byte in data:
            wait_register(self.k, self.MSR, ms=1000, RQM=1, DIO=0)
            self.FIFO.write(byte)

    def _results(self, count: int) -> list[Value[FloppyByte]]:
        values = []
        for _ in range(count):
            wait_register(self.k, self.MSR, ms=1000, RQM=1, DIO=1)
            values.append(self.FIFO.read())
        return values

    def channel(self, address: int, count: int, transfer: TransferType, **mode: int) -> None:
        """Program channel 2: mask, mode, address, page, count in bytes, unmask. Further fields of `DmaMode`."""
        self.dma.SINGLE_MASK.write(CHANNEL=CHANNEL, SET=1)
        self.dma.CLEAR_BYTE_POINTER.write(0)
        self.dma.MODE.write(**{"CHANNEL": CHANNEL, "TRANSFER": transfer, "MODE": TransferMode.SINGLE, **mode})
        place = self.dma.CHANNEL[CHANNEL]
        for register, number in ((place.ADDRESS, address & 0xFFFF), (place.COUNT, count - 1)):
            register.write(number & 0xFF)
            register.write(number >> 8)
        self.pages.CHANNEL_2.write(address >> 16)
        self.dma.SINGLE_MASK.write(CHANNEL=CHANNEL)

    def go(self, command: FloppyCommand, sector: int = 1, *, head: int = 0) -> None:
        """READ or WRITE DATA on cylinder 0 from a sector (1 to 18) on, to terminal count or the end of the track."""
        self.command(command | MFM, head << 2, 0, head, sector, 2, SECTORS, 0x1B, 0xFF)

    def finish(self) -> list[Value[FloppyByte]]:
        """Wait for the completion interrupt; ST0, ST1, ST2, C, H, R, N."""
        self._interrupt()
        return self._results(7)
