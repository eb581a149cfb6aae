"""The life cycle of a disk's DMA: set-up, transfer while the processor works on, completion interrupt, data.

The host makes the medium slow (a throttle group below the disk), so that the transfer is outstanding for certain while
the processor counts, and fast again when it has counted far enough.
"""

from random import Random

from harness import GUARD, Kernel, ProbeBody, Run, Window, probe, wait_register
from harness.devices import (
    LIFE_CYCLE_WORK,
    AhciDisk,
    AtaCommand,
    BlockOperation,
    BlockRequest,
    BlockStatus,
    FloppyCommand,
    FloppyDrive,
    IdeDisk,
    LifeCycle,
    NvmeController,
    TransferType,
    VirtioDisk,
)

BLOCK = 512
VECTOR = 0x7C
SLOW = {"bps-read": 1}  # after a first block the next one waits 512 seconds, or until the machine stops
UNLIMITED = {"bps-read": 0}


def _judge(run: Run, device: str, life: LifeCycle, block: int) -> None:
    """Act for the host, then compare the whole sequence with what the manual states."""
    with run.stopped_at("disk"):
        content = Random(51).randbytes(len(run.backing(device)))
        run.backing(device)[:] = content
        limits = f"/objects/{device}-limits"
        run.qmp("qom-set", path=limits, property="limits", value=SLOW)
    with run.stopped_at("worked"):
        run.qmp("qom-set", path=limits, property="limits", value=UNLIMITED)
    _story(run, life, content[block * BLOCK : (block + 1) * BLOCK])


def _story(run: Run, life: LifeCycle, data: bytes) -> None:
    first = run.sequence.index("set-up")
    assert run.sequence[first:] == life.story, "set-up, start, work, interrupt, data"
    assert run["held"] == int.from_bytes(bytes([GUARD]) * 8, "little"), "the transfer is outstanding"
    assert run["at_interrupt"] >= LIFE_CYCLE_WORK, "the processor had worked when the interrupt came"
    assert run["work"] >= run["at_interrupt"]
    assert life.target.read(run) == data


@probe(
    spec="NVM Express 1.4, Submission Queue & Completion Queue Definition; NVM Express 1.4, Command Processing",
    needs=["nvme"],
    covers=["nvme.life-cycle"],
)
def the_processor_works_while_nvme_transfers(k: Kernel) -> ProbeBody:
    """Set-up, doorbell; the processor works on until the completion's message; then the data is there."""
    life = LifeCycle(k, VECTOR, BLOCK)
    nvme = NvmeController(k, start=False)
    nvme.msix.entry(0, VECTOR, masked=True)
    nvme.msix.enable({1: VECTOR})
    nvme.begin()
    queue = nvme.queue(1, 8, vector=1)
    first = k.buffer("first", BLOCK, align=BLOCK)
    queue.read(first.address, 0, cid=1)
    k.checkpoint("disk")
    k.sti()
    queue.ring()
    k.wait_for(VECTOR, 1, ms=k.device_ms)
    k.mark("set-up")
    queue.read(life.target.address, 9, cid=2)
    k.mark("start")
    k.trigger(queue.ring)
    life.work(2)
    queue.consume(2)

    run = yield

    _judge(run, "nvme", life, 9)
    assert [(entry.CID, entry.SC) for entry in queue.completions(run)[:2]] == [(1, 0), (2, 0)]


@probe(
    spec="VIRTIO 1.2, Supplying Buffers to The Device; VIRTIO 1.2, Receiving Used Buffers From The Device",
    needs=["virtio-blk"],
    covers=["virtio.blk-life-cycle"],
)
def the_processor_works_while_virtio_blk_transfers(k: Kernel) -> ProbeBody:
    """A chain is offered and notified; the processor works on until the used buffer's message; the data is there."""
    life = LifeCycle(k, VECTOR, BLOCK)
    disk = VirtioDisk(k, vector=VECTOR)
    queue = disk.queue
    first = disk.request("first", BlockRequest.IN, 0, [Window.make(k, "first_data", BLOCK)])
    second = BlockOperation.make(k, "second", BlockRequest.IN, 9, [life.target])
    k.checkpoint("disk")
    k.sti()
    queue.submit(first.head)
    k.wait_for(VECTOR, 1, ms=k.device_ms)
    k.mark("set-up")
    head = queue.chain(second.parts, first=len(first.parts))
    k.mark("start")
    k.trigger(queue.offer, head)
    queue.notify()  # a machine that stops and continues reads the queue without it
    life.work(2)

    run = yield

    _judge(run, "virtio-blk", life, 9)
    assert queue.completions(run) == ((0, BLOCK + 1), (3, BLOCK + 1))
    assert second.result(run) == BlockStatus.OK


@probe(spec="Serial ATA AHCI 1.3.1, Processing Completed Commands", needs=["ahci"], covers=["ahci.life-cycle"])
def the_processor_works_while_ahci_transfers(k: Kernel) -> ProbeBody:
    """A command is built, PxCI set; the processor works on until the device's FIS interrupts; the data is there."""
    life = LifeCycle(k, VECTOR, BLOCK)
    disk = AhciDisk(k)
    disk.function.enable_msi(VECTOR)
    disk.enable_interrupts()
    first = k.buffer("first", BLOCK, align=BLOCK)
    disk.prepare(AtaCommand.READ_DMA_EXT, 0, 1, [(first.address, BLOCK)])
    k.checkpoint("disk")
    k.sti()
    disk.issue()
    k.wait_for(VECTOR, 1, ms=k.device_ms)
    disk.acknowledge()
    k.mark("set-up")
    disk.prepare(AtaCommand.READ_DMA_EXT, 9, 1, [(life.target.address, life.target.size)], slot=1)
    k.mark("start")
    k.trigger(disk.issue, 1)
    busy = disk.port.CI.read("busy")
    life.work(2)
    done = disk.port.CI.read("done")

    run = yield

    _judge(run, "ahci", life, 9)
    assert (run[busy], run[done]) == (2, 0), "PxCI holds the slot until its command is complete"


@probe(
    spec="Intel 82371SB (PIIX3), Bus Master IDE Interface Registers; "
    "Programming Interface for Bus Master IDE Controller, Standard Programming Sequence",
    needs=["ide"],
    covers=["ide.life-cycle"],
)
def the_processor_works_while_ide_transfers(k: Kernel) -> ProbeBody:
    """The engine shows active; the processor works on until INTRQ; then it is idle and the data there."""
    life = LifeCycle(k, VECTOR, BLOCK)
    disk = IdeDisk(k)
    k.ioapic.redirect(14, VECTOR)
    first = k.buffer("first", BLOCK, align=BLOCK)
    disk.prepare(AtaCommand.READ_DMA, 0, 1, [(first.address, BLOCK)])
    k.checkpoint("disk")
    k.sti()
    disk.go(AtaCommand.READ_DMA)
    k.wait_for(VECTOR, 1, ms=k.device_ms)
    disk.STATUS.read()  # clears INTRQ
    k.mark("set-up")
    disk.prepare(AtaCommand.READ_DMA, 9, 1, [(life.target.address, life.target.size)])
    k.mark("start")
    k.trigger(disk.go, AtaCommand.READ_DMA)
    busy = disk.bus_master.STATUS.read("busy")
    life.work(2)
    done = disk.bus_master.STATUS.read("done")

    run = yield

    _judge(run, "ide", life, 9)
    assert (run[busy].BMIDEA, run[busy].IDEINTS) == (1, 0)
    assert (run[done].BMIDEA, run[done].IDEINTS, run[done].ERROR) == (0, 1, 0)


@probe(
    spec="Intel 8237A, Register Description, Mask Register; Intel 82078, Read Data",
    needs=["floppy"],
    covers=["floppy.life-cycle"],
)
def the_processor_works_while_the_floppy_waits_for_the_bus(k: Kernel) -> ProbeBody:
    """The drive requests its masked channel; the processor works on; unmasked, the data comes, then the interrupt."""
    life = LifeCycle(k, VECTOR, BLOCK)
    drive = FloppyDrive(k, VECTOR)
    k.checkpoint("disk")
    k.mark("set-up")
    drive.channel(life.target.address, life.target.size, TransferType.WRITE)
    drive.dma.SINGLE_MASK.write(CHANNEL=2, SET=1)
    k.mark("start")
    k.trigger(drive.go, FloppyCommand.READ_DATA, sector=10)
    wait_register(k, drive.dma.STATUS, DREQ=1 << 2)
    life.work(drive.interrupts + 1, lambda: drive.dma.SINGLE_MASK.write(CHANNEL=2))
    results = drive.finish()

    run = yield

    with run.stopped_at("disk"):
        content = Random(52).randbytes(len(run.backing("floppy")))
        run.backing("floppy")[:] = content
    _story(run, life, content[9 * BLOCK : 10 * BLOCK])
    assert [int(run[value]) for value in results[:3]] == [0, 0, 0]
