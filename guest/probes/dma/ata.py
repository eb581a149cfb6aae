"""ATA disks: AHCI, and the PIIX3's bus master; PRD tables, completion interrupts, errors."""

from random import Random

from harness import Kernel, ProbeBody, Run, Window, probe, wait_register
from harness.devices import AhciDisk, AtaCommand, IdeDisk

BLOCK = 512
BLOCKS = 2048
VECTOR = 0x78
AHCI = "Serial ATA AHCI 1.3.1, System Memory Structures"
IDE = "Intel 82371SB (PIIX3), Bus Master IDE Interface Registers"
SIZES = [512, 1022, 2, 2560]  # eight sectors in even pieces
OFFSETS = [0, 4094, 2, 3000]


def _pieces(k: Kernel, data: bytes | None = None) -> list[Window]:
    """Four windows of odd places and even sizes, eight sectors together."""
    starts = [sum(SIZES[:n]) for n in range(4)]
    return [
        Window.make(k, f"piece{n}", size, offset=offset, content=data[start : start + size] if data else None)
        for n, (size, offset, start) in enumerate(zip(SIZES, OFFSETS, starts, strict=True))
    ]


def _regions(windows: list[Window]) -> list[tuple[int, int]]:
    return [(window.address, window.size) for window in windows]


def _clean(run: Run, windows: list[Window]) -> bytes:
    """The windows' bytes in order; nothing around them may have changed."""
    return b"".join(window.read(run) for window in windows)


def _ahci(k: Kernel, *, msi: bool = True) -> AhciDisk:
    """The disk with interrupts on `VECTOR`; the handler acknowledges."""
    disk = AhciDisk(k)
    k.handler(VECTOR).do(disk.acknowledge)
    if msi:
        disk.function.enable_msi(VECTOR)
    else:
        k.ioapic.redirect_pci(disk.function.pin, VECTOR)
    disk.enable_interrupts()
    return disk


@probe.each(interrupt=["msi", "intx"])
@probe(spec=AHCI, needs=["ahci"], covers=["ahci.read", "ahci.interrupt"])
def ahci_read_scatters(k: Kernel, interrupt: str) -> ProbeBody:
    """A read fills the PRD table's regions in order, counts the bytes in the header, and interrupts once."""
    windows = _pieces(k)
    disk = _ahci(k, msi=interrupt == "msi")
    disk.prepare(AtaCommand.READ_DMA_EXT, 300, 8, _regions(windows))
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.issue)
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)
    issued = disk.port.CI.read("issued")

    run = yield

    content = run.fill_disk("ahci")
    assert _clean(run, windows) == content[300 * BLOCK : 308 * BLOCK]
    assert int.from_bytes(run.memory(disk.header_address() + 4, 4), "little") == 8 * BLOCK
    assert run[issued] == 0
    assert run.vectors == [VECTOR]


@probe(spec=AHCI, needs=["ahci"], covers=["ahci.write"])
def ahci_write_gathers(k: Kernel) -> ProbeBody:
    """A write takes the PRD table's regions in order, and changes nothing else on the disk."""
    data = Random(8).randbytes(8 * BLOCK)
    windows = _pieces(k, data)
    disk = _ahci(k)
    disk.prepare(AtaCommand.WRITE_DMA_EXT, BLOCKS - 8, 8, _regions(windows), slot=31)
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.issue, 31)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    content = bytearray(run.fill_disk("ahci"))
    content[(BLOCKS - 8) * BLOCK :] = data
    assert bytes(run.backing("ahci")) == bytes(content)
    assert _clean(run, windows) == data


@probe(spec="Serial ATA AHCI 1.3.1, Error Reporting and Recovery", needs=["ahci"], covers=["ahci.error"])
def ahci_error_is_reported(k: Kernel) -> ProbeBody:
    """A read beyond the disk ends with a task file error: PxIS.TFES, ERR in PxTFD, memory untouched."""
    window = Window.make(k, "data", BLOCK)
    disk = AhciDisk(k)
    with k.handler(VECTOR):
        causes = disk.port.IS.read("causes")
        disk.acknowledge()
    disk.function.enable_msi(VECTOR)
    disk.enable_interrupts()
    disk.prepare(AtaCommand.READ_DMA_EXT, BLOCKS, 1, _regions([window]))
    k.sti()
    k.trigger(disk.issue)
    k.wait_for(VECTOR, ms=k.device_ms)
    task_file = disk.port.TFD.read("task_file")

    run = yield

    assert run[causes] >> 30 & 1, "PxIS.TFES"
    assert (run[task_file].STS_ERR, run[task_file].STS_BSY) == (1, 0)
    assert window.untouched(run)


@probe(spec="Serial ATA AHCI 1.3.1, Interrupts", needs=["ahci"], covers=["ahci.interrupt-enable"])
def ahci_global_enable_holds_the_interrupt(k: Kernel) -> ProbeBody:
    """With GHC.IE clear a completion sets PxIS and IS but does not interrupt; setting it does."""
    window = Window.make(k, "data", BLOCK)
    disk = _ahci(k, msi=False)
    disk.GHC.write(AE=1)
    disk.prepare(AtaCommand.READ_DMA_EXT, 0, 1, _regions([window]))
    k.sti()
    k.trigger(disk.issue)
    k.wait_until(disk.header_address(), BLOCK << 32, mask=0xFFFF_FFFF << 32, ms=k.device_ms)
    k.stay_quiet(ms=5)
    held = disk.IS.read("held")
    k.mark("enable")
    disk.GHC.write(AE=1, IE=1)
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert run[held] == 1
    assert run.sequence == ["enable", VECTOR]


@probe(spec=IDE, needs=["ide"], covers=["ide.read", "ide.interrupt"])
def ide_read_scatters(k: Kernel) -> ProbeBody:
    """A bus-master read fills the PRD table's regions in order; INTRQ arrives at IRQ 14, the engine goes inactive."""
    windows = _pieces(k)
    disk = IdeDisk(k)
    status = k.handler(VECTOR).do(disk.STATUS.read, "status")
    k.ioapic.redirect(14, VECTOR)
    disk.prepare(AtaCommand.READ_DMA, 300, 8, _regions(windows))
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)
    engine = disk.bus_master.STATUS.read("engine")

    run = yield

    content = run.fill_disk("ide")
    assert _clean(run, windows) == content[300 * BLOCK : 308 * BLOCK]
    assert run.vectors == [VECTOR]
    assert run[status] & 0x89 == 0, "neither busy nor data request nor error"
    assert (run[engine].BMIDEA, run[engine].IDEINTS, run[engine].ERROR) == (0, 1, 0)


@probe(spec=IDE, needs=["ide"], covers=["ide.write"])
def ide_write_gathers(k: Kernel) -> ProbeBody:
    """A bus-master write takes the PRD table's regions in order, and changes nothing else on the disk."""
    data = Random(9).randbytes(8 * BLOCK)
    windows = _pieces(k, data)
    disk = IdeDisk(k)
    k.handler(VECTOR).do(disk.STATUS.read, "status")
    k.ioapic.redirect(14, VECTOR)
    disk.prepare(AtaCommand.WRITE_DMA, BLOCKS - 8, 8, _regions(windows))
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.go, AtaCommand.WRITE_DMA)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    content = bytearray(run.fill_disk("ide"))
    content[(BLOCKS - 8) * BLOCK :] = data
    assert bytes(run.backing("ide")) == bytes(content)
    assert _clean(run, windows) == data


@probe(spec="ATA/ATAPI-6, Device Control register", needs=["ide"], covers=["ide.nien"])
def ide_nien_holds_the_interrupt(k: Kernel) -> ProbeBody:
    """With nIEN set INTRQ is not driven: the transfer is made, no interrupt arrives."""
    window = Window.make(k, "data", BLOCK)
    disk = IdeDisk(k)
    k.ioapic.redirect(14, VECTOR)
    disk.control.DEVICE_CONTROL.write(NIEN=1)
    disk.prepare(AtaCommand.READ_DMA, 0, 1, _regions([window]))
    k.sti()
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.wait_until(window.address & ~7, 0, ms=k.device_ms)
    wait_register(k, disk.bus_master.STATUS, BMIDEA=0, ms=k.device_ms)
    k.stay_quiet(ms=5)
    engine = disk.bus_master.STATUS.read("engine")

    run = yield

    assert run[engine].BMIDEA == 0
    assert set(_clean(run, [window])) == {0}
    assert run.vectors == []


@probe(spec="ATA/ATAPI-6, READ DMA", needs=["ide"], covers=["ide.error"])
def ide_error_is_reported(k: Kernel) -> ProbeBody:
    """A read beyond the disk interrupts with ERR set, and writes no memory."""
    window = Window.make(k, "data", BLOCK)
    disk = IdeDisk(k)
    with k.handler(VECTOR):
        error = disk.ERROR.read("error")
        status = disk.STATUS.read("status")
    k.ioapic.redirect(14, VECTOR)
    disk.prepare(AtaCommand.READ_DMA, BLOCKS, 1, _regions([window]))
    k.sti()
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    assert run[status] & 1, "ERR"
    assert run[error] & 0x14, "IDNF or ABRT"
    assert window.untouched(run)
