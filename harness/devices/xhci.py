"""`XhciMsi`: an xHCI controller as a source of several MSI messages: one for each interrupter.

Intel eXtensible Host Controller Interface for USB 1.2, "Interrupters", "Event Ring Management".
"""

from __future__ import annotations

from typing import Any

from harness.hardware.block import Place, Value
from harness.hardware.msi import MessageAddress, Msi64
from harness.hardware.pci import CapabilityId
from harness.hardware.xhci import (
    ERST_ALIGNMENT,
    TRB_SIZE,
    EventRingSegment,
    XhciCapability,
    XhciOperational,
    XhciRuntime,
)
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.poll import wait_register

__all__ = ["XHCI_INTERRUPTERS", "XhciMsi"]

XHCI_INTERRUPTERS = 16  # of the harness's controller: what it requests messages for
RING = 16  # TRBs of an event ring, the fewest that a segment may have


class XhciMsi(XhciCapability):
    """The controller reset and running, with an empty event ring for each interrupter; no port is used."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.function = k.pci.device("xhci-msi")
        self.function.enable()
        bar = self.function.bar(0)
        super().__init__(k.bus, bar)
        self.msi = Msi64(k.bus, self.function.capability(CapabilityId.MSI), name="xhci_msi")
        self.operational = XhciOperational(k.bus, self._behind(bar, "operational", self.CAPLENGTH.place))
        self.runtime = XhciRuntime(k.bus, self._behind(bar, "runtime", self.RTSOFF.place))
        self.operational.USBCMD.write(HCRST=1)
        wait_register(k, self.operational.USBCMD, HCRST=0)
        wait_register(k, self.operational.USBSTS, CNR=0)
        self.rings = [self._ring(number) for number in range(XHCI_INTERRUPTERS)]
        self.operational.USBCMD.write(RS=1, INTE=1)

    def enable_msi(self, vector: int, *, log2: int = 0) -> None:
        """Allocate 2**`log2` messages that start at `vector`, to processor 0, and enable them."""
        self.msi.ADDRESS.write(int(MessageAddress.to(0)))
        self.msi.ADDRESS_UPPER.write(0)
        self.msi.DATA.write(VECTOR=vector)
        self.msi.CONTROL.update(MULTIPLE_MESSAGE_ENABLE=log2, ENABLE=1)

    def interrupt(self, interrupter: int) -> None:
        """Make one interrupter send its message.

        An event ring whose dequeue pointer is not its enqueue pointer is not empty, and an interrupter with such a ring
        interrupts as soon as software clears Event Handler Busy. So no USB device is needed.
        """
        pointer = self.rings[interrupter] + TRB_SIZE
        self.runtime.INTERRUPTER[interrupter].ERDP_LOW.write(POINTER=pointer >> 4, EHB=1)

    def _ring(self, number: int) -> int:
        """Event ring of one interrupter, enabled; its address."""
        ring = self.k.buffer(f"event_ring_{number}", TRB_SIZE * RING, align=ERST_ALIGNMENT)
        segment = EventRingSegment.of(BASE=ring.address >> 6, SIZE=RING)
        table = self.k.buffer(
            f"event_segments_{number}", 16, align=ERST_ALIGNMENT, fill=int(segment).to_bytes(16, "little")
        )
        registers = self.runtime.INTERRUPTER[number]
        registers.ERSTSZ.write(SIZE=1)
        registers.ERDP_LOW.write(POINTER=ring.address >> 4)
        registers.ERDP_HIGH.write(0)
        registers.ERSTBA_LOW.write(table.address)
        registers.ERSTBA_HIGH.write(0)
        registers.IMOD.write(IMODI=0)
        registers.IMAN.write(IE=1)
        return ring.address

    def _behind(self, bar: Value[int], name: str, place: Place[Any]) -> Value[int]:
        """The BAR's address plus the distance in bytes that a register holds; RTSOFF's low bits are reserved."""
        program = self.k.program
        value = program.add_value(program.fresh_value_name(f"xhci_{name}"), int)
        mask = "and eax, 0xFF" if place.width == 8 else "and eax, -32"
        lines = [*self.k.bus.load(place), mask, f"add rax, {slot(bar)}", f"mov {slot(value)}, rax"]
        program.step(f"find the {name} registers of the xHCI", *lines)
        return value
