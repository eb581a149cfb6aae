"""`EduDevice`: QEMU's teaching device, driven by the guest."""

from __future__ import annotations

from harness.hardware.edu import EDU_BUFFER_OFFSET, Edu, TransferDirection
from harness.hardware.lapic_lvt import DivideValue
from harness.hardware.msi import Msi64
from harness.kernel.builder import Kernel
from harness.kernel.poll import wait_register

__all__ = ["ALARM", "EduDevice"]

ALARM = 0xE7  # the vector by which `EduDevice.wait_done` wakes up
_TRANSFER_NS = 100_000_000
_MARGIN_NS = 50_000


class EduDevice(Edu):
    """Its registers, found through BAR 0, and the two things that it does: raise an interrupt, move a block.

    QEMU documentation, "EDU device".
    """

    def __init__(self, k: Kernel, *, bus_master: bool = True, vector: int | None = None) -> None:
        """`vector`: its message is enabled with this one, and interrupts are on."""
        self.k = k
        self.function = k.pci.device("edu")
        self.function.enable(bus_master=bus_master)
        super().__init__(k.bus, self.function.bar(0))
        if vector is not None:
            self.enable_msi(vector)
            k.sti()

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
        """Source, destination and count of the next transfer: guest-physical, or `EDU_BUFFER_OFFSET` + offset."""
        self.DMA_SOURCE.write(source)
        self.DMA_DESTINATION.write(destination)
        self.DMA_COUNT.write(count)

    def go(self, direction: TransferDirection, *, interrupt: bool = True) -> None:
        """Start the prepared transfer. The engine takes 100 ms of guest time."""
        self.DMA_COMMAND.write(START=1, DIRECTION=direction, INTERRUPT_ENABLE=int(interrupt))

    def to_device(self, address: int, count: int, *, offset: int = 0, interrupt: bool = True) -> None:
        """From guest memory into the device's buffer."""
        self.prepare(source=address, destination=EDU_BUFFER_OFFSET + offset, count=count)
        self.go(TransferDirection.RAM_TO_EDU, interrupt=interrupt)

    def from_device(self, address: int, count: int, *, offset: int = 0, interrupt: bool = True) -> None:
        """From the device's buffer into guest memory."""
        self.prepare(source=EDU_BUFFER_OFFSET + offset, destination=address, count=count)
        self.go(TransferDirection.EDU_TO_RAM, interrupt=interrupt)

    def wait_done(self, *, ms: float = 400.0) -> None:
        """Until the engine is idle; fails by name after `ms` milliseconds of guest time.

        The processor sleeps through the transfer, with interrupts on: polling a register for 100 ms of virtual time
        takes QEMU more than twice that. The local APIC timer, at 1 GHz in QEMU, wakes it: one interrupt `ALARM`.
        """
        k = self.k
        k.lapic.DIVIDE_CONFIGURATION.write(DIVIDE_VALUE=DivideValue.by(1))
        k.lapic.LVT_TIMER.write(VECTOR=ALARM)
        again, woke = k.program.unique("asleep"), k.program.unique("awake")
        k.program.step(
            "sleep until the transfer should be done",
            "pushfq",
            f"mov ecx, dword ptr [COUNTS+{4 * ALARM}]",
            f"mov eax, {_TRANSFER_NS + _MARGIN_NS}",
            *k.bus.store(k.lapic.INITIAL_COUNT.place),
            f"{again}:",
            "cli",
            f"cmp dword ptr [COUNTS+{4 * ALARM}], ecx",
            f"jne {woke}",
            "sti",  # its shadow reaches over the HLT
            "hlt",
            f"jmp {again}",
            f"{woke}:",
            "popfq",
            waits=True,
        )
        wait_register(k, self.DMA_COMMAND, START=0, ms=ms)
