"""`IdeDisk`: the ATA disk on the PIIX3's primary channel, by bus-master DMA.

Intel 82371SB (PIIX3), "Bus Master IDE Interface Registers"; ATA/ATAPI-6, "READ DMA", "WRITE DMA".
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.hardware.ata import AtaCommand
from harness.hardware.ide import BusMaster, BusMasterDirection, ControlBlock, Piix3Ide, PrdEntry, TaskFile
from harness.kernel.builder import Kernel
from harness.kernel.poll import wait_register

__all__ = ["IdeDisk"]


class IdeDisk(TaskFile):
    """Primary master: task file, control block and bus master."""

    def __init__(self, k: Kernel) -> None:
        super().__init__(k.bus)
        self.k = k
        self.function = k.pci.function(1, 1, name="piix3_ide")
        self.function.enable()
        Piix3Ide(k.bus).IDETIM_PRIMARY.write(IDE_DECODE_ENABLE=1)
        self.control = ControlBlock(k.bus)
        self.bus_master = BusMaster(k.bus, self.function.bar(4))

    def prepare(
        self, command: AtaCommand, block: int, blocks: int, regions: Sequence[tuple[int, int]], *, eot: bool = True
    ) -> None:
        """PRD table of (address, bytes), direction, task file: all but the command itself. 28-bit LBA.

        `eot=False`: no descriptor is marked as the last.
        """
        prds = [PrdEntry.to(*region, last=eot and number == len(regions)) for number, region in enumerate(regions, 1)]
        content = b"".join(int(prd).to_bytes(8, "little") for prd in prds)
        table = self.k.buffer(self.k.program.unique("prd_table"), len(content), align=4096, fill=content)
        towards = BusMasterDirection.WRITE_MEMORY if command is AtaCommand.READ_DMA else BusMasterDirection.READ_MEMORY
        self.bus_master.COMMAND.write(RWCON=towards)
        self.bus_master.PRD_TABLE.write(table.address)
        self.bus_master.STATUS.write(ERROR=1, IDEINTS=1)
        wait_register(self.k, self.control.ALTERNATE_STATUS, BSY=0, DRQ=0)
        self.DEVICE.write(LBA=1, LBA_27_24=block >> 24)
        self.SECTOR_COUNT.write(blocks & 0xFF)
        self.LBA_LOW.write(block & 0xFF)
        self.LBA_MID.write(block >> 8 & 0xFF)
        self.LBA_HIGH.write(block >> 16 & 0xFF)

    def go(self, command: AtaCommand) -> None:
        """Write the command, then start the bus master in the direction that `prepare` set."""
        towards = BusMasterDirection.WRITE_MEMORY if command is AtaCommand.READ_DMA else BusMasterDirection.READ_MEMORY
        self.COMMAND.write(COMMAND=command)
        self.bus_master.COMMAND.write(SSBM=1, RWCON=towards)
