"""`AhciDisk`: the disk on port 0 of an AHCI controller, driven by the guest.

Serial ATA AHCI 1.3.1, "System Memory Structures", "Software Initialization of HBA", "Basic Steps
when Building a Command".
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.hardware.ahci import (
    ABAR,
    COMMAND_HEADER_SIZE,
    COMMAND_LIST_SIZE,
    COMMAND_TABLE_ALIGNMENT,
    COMMAND_TABLE_PRDT_OFFSET,
    RECEIVED_FIS_SIZE,
    Ahci,
    CommandHeader,
    PhysicalRegionDescriptor,
    RegisterHostToDevice,
)
from harness.hardware.ata import AtaCommand
from harness.kernel.builder import Kernel
from harness.kernel.patience import DEVICE_MS
from harness.kernel.poll import wait_register
from harness.kernel.program import Buffer

__all__ = ["AhciDisk"]


class AhciDisk(Ahci):
    """The controller in AHCI mode, port 0 started; nothing interrupts until its enables are set."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        chipset = k.platform.name == "q35"  # 00:1F.2 is the chipset's own
        self.function = k.pci.function(31, 2, name="ahci") if chipset else k.pci.device("ahci")
        self.function.enable()
        super().__init__(k.bus, self.function.bar(ABAR))
        self.port = self.PORT[0]
        self.list = k.buffer("ahci_list", COMMAND_LIST_SIZE, align=COMMAND_LIST_SIZE)
        self.received = k.buffer("ahci_fis", RECEIVED_FIS_SIZE, align=COMMAND_LIST_SIZE)
        self.begin()

    def begin(self) -> None:
        """AHCI mode; stop the port, give it its command list and its place for received FISes, start it.

        Once more after an HBA reset.
        """
        k = self.k
        self.GHC.write(AE=1)
        self.port.CMD.write(0)
        wait_register(k, self.port.CMD, CR=0, FR=0)
        for low, high, address in (
            (self.port.CLB, self.port.CLBU, self.list.address),
            (self.port.FB, self.port.FBU, self.received.address),
        ):
            low.write(address)
            high.write(0)
        self.port.SERR.write(0xFFFF_FFFF)
        self.port.CMD.write(FRE=1, SUD=1, POD=1)
        self.port.CMD.write(FRE=1, SUD=1, POD=1, ST=1)
        self.port.IS.write(0xFFFF_FFFF)
        self.IS.write(1)

    def enable_interrupts(self) -> None:
        """Port interrupts for a Device to Host Register FIS and for task file errors; the HBA's own enable."""
        self.port.IE.write(DHRE=1, TFEE=1)
        self.GHC.write(AE=1, IE=1)

    def acknowledge(self) -> None:
        """Clear the port's causes, then the HBA's."""
        self.port.IS.write(0xFFFF_FFFF)
        self.IS.write(1)

    def prepare(
        self, command: AtaCommand, block: int, blocks: int, regions: Sequence[tuple[int, int]], *, slot: int = 0
    ) -> Buffer:
        """Build a command in a slot: FIS, PRD table of (address, bytes), header. Returns the command table."""
        fis = int(RegisterHostToDevice.to(command, block, blocks)).to_bytes(32, "little")
        prds = b"".join(int(PhysicalRegionDescriptor.to(*region)).to_bytes(16, "little") for region in regions)
        table = self.k.buffer(
            self.k.program.unique("ahci_table"),
            COMMAND_TABLE_PRDT_OFFSET + len(prds),
            align=COMMAND_TABLE_ALIGNMENT,
            fill=fis.ljust(COMMAND_TABLE_PRDT_OFFSET, b"\0") + prds,
        )
        write = command in (AtaCommand.WRITE_DMA, AtaCommand.WRITE_DMA_EXT)
        header = CommandHeader.of(CFL=5, W=int(write), PRDTL=len(regions), CTBA=table.address >> 7)
        at = self.header_address(slot)
        self.k.program.step(
            f"AHCI command header {slot}",
            f"movabs rax, {int(header) & (1 << 64) - 1:#x}",
            f"mov qword ptr [{at:#x}], rax",
            f"movabs rax, {int(header) >> 64:#x}",
            f"mov qword ptr [{at + 8:#x}], rax",
        )
        return table

    def header_address(self, slot: int = 0) -> int:
        """Where the header of a slot is."""
        return self.list.address + COMMAND_HEADER_SIZE * slot

    def issue(self, slot: int = 0) -> None:
        """Set the slot's bit in PxCI."""
        self.port.CI.write(1 << slot)

    def wait_done(self, *, ms: float = DEVICE_MS) -> None:
        """Until the HBA has cleared every slot's bit in PxCI."""
        wait_register(self.k, self.port.CI, CI=0, ms=ms)
