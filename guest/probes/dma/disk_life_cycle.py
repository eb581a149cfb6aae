"""The life cycle of a disk's DMA: set-up, transfer while the processor works on, completion interrupt, data.

The host makes the medium slow (a throttle group below the disk), so that the transfer is outstanding for certain while
the processor counts, and fast again when it has counted far enough.
"""

from collections.abc import Callable
from random import Random

from harness import Kernel, ProbeBody, Run, probe
from harness.hardware.ata import AtaCommand
from harness.hardware.dma8237 import TransferType
from harness.hardware.floppy import FloppyCommand
from harness.hardware.nvme import NvmOpcode
from harness.kernel.ahci import AhciDisk
from harness.kernel.floppy import FloppyDrive
from harness.kernel.ide import IdeDisk
from harness.kernel.nvme import NvmeController
from harness.kernel.poll import wait_register
from harness.kernel.window import GUARD, Window

BLOCK = 512
VECTOR = 0x7C
MS = 4000.0
WORK = 100_000  # what the processor counts while the transfer is outstanding
SLOW = {"bps-read": 1}  # after a first block the next one waits 512 seconds, or until the machine stops
UNLIMITED = {"bps-read": 0}
STORY = ["set-up", "start", "worked", VECTOR, "handler", "data"]


def _prepare(k: Kernel) -> Window:
    """The target of the transfer, and a handler that keeps how far the processor had counted."""
    k.store(k.value("work"), 0)
    k.value("at_interrupt")
    with k.handler(VECTOR):
        k.asm("mov rax, [work]\nmov [at_interrupt], rax")
        k.mark("handler")
    return Window.make(k, "target", BLOCK)


def _work(k: Kernel, target: Window, interrupts: int, release: Callable[[], None]) -> None:
    """Count while the transfer is outstanding, look at its target, `release` it, and count on until it is done."""
    k.value("held")
    k.asm(f"""
    .Lwork:
        inc qword ptr [work]
        cmp qword ptr [work], {WORK}
        jb .Lwork
        mov rax, [{target.address:#x}]
        mov [held], rax
    """)
    k.mark("worked")
    release()
    k.asm(f"""
        mov ecx, 4000000
    .Lwork:
        inc qword ptr [work]
        cmp dword ptr [COUNTS+{4 * VECTOR}], {interrupts}
        loopne .Lwork
    """)
    k.wait_for(VECTOR, interrupts, ms=MS)
    k.mark("data")


def _stop(k: Kernel) -> Callable[[], None]:
    """The checkpoint at which the host makes the disk fast; a machine that stops completes what is outstanding."""
    return lambda: k.checkpoint("worked")


def _judge(run: Run, device: str, target: Window, block: int) -> None:
    """Play the host's part, then hold the whole story against what the manual says."""
    run.reached("disk")
    content = Random(51).randbytes(len(run.backing(device)))
    run.backing(device)[:] = content
    limits = f"/objects/{device}-limits"
    run.qmp("qom-set", path=limits, property="limits", value=SLOW)
    run.resume()
    run.reached("worked")
    run.qmp("qom-set", path=limits, property="limits", value=UNLIMITED)
    run.resume()
    _story(run, target, content[block * BLOCK : (block + 1) * BLOCK])


def _story(run: Run, target: Window, data: bytes) -> None:
    first = run.sequence.index("set-up")
    assert run.sequence[first:] == STORY, "set-up, start, work, interrupt, data"
    assert run["held"] == int.from_bytes(bytes([GUARD]) * 8, "little"), "the transfer is outstanding"
    assert run["at_interrupt"] >= WORK, "the processor had worked when the interrupt came"
    assert run["work"] >= run["at_interrupt"]
    memory = run.memory(target.buffer)
    assert target.inside(memory) == data
    assert target.strays(memory) == []


@probe(
    spec="NVM Express 1.4, Submission Queue & Completion Queue Definition; NVM Express 1.4, Command Processing",
    needs=["nvme"],
    covers=["nvme.life-cycle"],
)
def the_processor_works_while_nvme_transfers(k: Kernel) -> ProbeBody:
    """Set-up, doorbell; the processor works on until the completion's message; then the data is there."""
    target = _prepare(k)
    nvme = NvmeController(k, start=False)
    nvme.msix.entry(0, VECTOR, masked=True)
    nvme.msix.entry(1, VECTOR)
    nvme.msix.enable()
    nvme.begin()
    queue = nvme.queue(1, 8, vector=1)
    first = k.buffer("first", BLOCK, align=BLOCK)
    queue.transfer(NvmOpcode.READ, cid=1, block=0, blocks=1, prps=(first.address, 0))
    k.checkpoint("disk")
    k.sti()
    queue.ring()
    k.wait_for(VECTOR, 1, ms=MS)
    k.mark("set-up")
    queue.transfer(NvmOpcode.READ, cid=2, block=9, blocks=1, prps=(target.address, 0))
    k.mark("start")
    with k.trigger():
        queue.ring()
    _work(k, target, 2, _stop(k))
    queue.consume(2)

    run = yield

    _judge(run, "nvme", target, 9)
    assert [(entry.CID, entry.SC) for entry in queue.completions(run.memory(queue.completion))[:2]] == [(1, 0), (2, 0)]


@probe(spec="Serial ATA AHCI 1.3.1, Command List Operation", needs=["ahci"], covers=["ahci.life-cycle"])
def the_processor_works_while_ahci_transfers(k: Kernel) -> ProbeBody:
    """A command is built, PxCI set; the processor works on until the device's FIS interrupts; the data is there."""
    target = _prepare(k)
    disk = AhciDisk(k)
    disk.function.enable_msi(VECTOR)
    disk.enable_interrupts()
    first = k.buffer("first", BLOCK, align=BLOCK)
    disk.prepare(AtaCommand.READ_DMA_EXT, 0, 1, [(first.address, BLOCK)])
    k.checkpoint("disk")
    k.sti()
    disk.issue()
    k.wait_for(VECTOR, 1, ms=MS)
    disk.acknowledge()
    k.mark("set-up")
    disk.prepare(AtaCommand.READ_DMA_EXT, 9, 1, [(target.address, target.size)], slot=1)
    k.mark("start")
    with k.trigger():
        disk.issue(1)
    busy = disk.port.CI.read("busy")
    _work(k, target, 2, _stop(k))
    done = disk.port.CI.read("done")

    run = yield

    _judge(run, "ahci", target, 9)
    assert (run[busy], run[done]) == (2, 0), "PxCI holds the slot until its command is complete"


@probe(
    spec="Intel 82371SB (PIIX3), Bus Master IDE Interface Registers; "
    "Programming Interface for Bus Master IDE Controller, Standard Programming Sequence",
    needs=["ide"],
    covers=["ide.life-cycle"],
)
def the_processor_works_while_ide_transfers(k: Kernel) -> ProbeBody:
    """The engine shows active; the processor works on until INTRQ; then it is idle and the data there."""
    target = _prepare(k)
    disk = IdeDisk(k)
    k.ioapic.redirect(14, VECTOR)
    first = k.buffer("first", BLOCK, align=BLOCK)
    disk.prepare(AtaCommand.READ_DMA, 0, 1, [(first.address, BLOCK)])
    k.checkpoint("disk")
    k.sti()
    disk.go(AtaCommand.READ_DMA)
    k.wait_for(VECTOR, 1, ms=MS)
    disk.STATUS.read()  # clears INTRQ
    k.mark("set-up")
    disk.prepare(AtaCommand.READ_DMA, 9, 1, [(target.address, target.size)])
    k.mark("start")
    with k.trigger():
        disk.go(AtaCommand.READ_DMA)
    busy = disk.bus_master.STATUS.read("busy")
    _work(k, target, 2, _stop(k))
    done = disk.bus_master.STATUS.read("done")

    run = yield

    _judge(run, "ide", target, 9)
    assert (run[busy].BMIDEA, run[busy].IDEINTS) == (1, 0)
    assert (run[done].BMIDEA, run[done].IDEINTS, run[done].ERROR) == (0, 1, 0)


@probe(
    spec="Intel 8237A, Register Description, Mask Register; Intel 82078, Read Data",
    needs=["floppy"],
    covers=["floppy.life-cycle"],
)
def the_processor_works_while_the_floppy_waits_for_the_bus(k: Kernel) -> ProbeBody:
    """The drive requests its masked channel; the processor works on; unmasked, the data comes, then the interrupt."""
    target = _prepare(k)
    drive = FloppyDrive(k, VECTOR)
    k.checkpoint("disk")
    k.mark("set-up")
    drive.channel(target.address, target.size, TransferType.WRITE)
    drive.dma.SINGLE_MASK.write(CHANNEL=2, SET=1)
    k.mark("start")
    with k.trigger():
        drive.go(FloppyCommand.READ_DATA, sector=10)
    wait_register(k, drive.dma.STATUS, DREQ=1 << 2)
    _work(k, target, drive.interrupts + 1, lambda: drive.dma.SINGLE_MASK.write(CHANNEL=2))
    results = drive.finish()

    run = yield

    run.reached("disk")
    content = Random(52).randbytes(len(run.backing("floppy")))
    run.backing("floppy")[:] = content
    run.resume()
    _story(run, target, content[9 * BLOCK : 10 * BLOCK])
    assert [int(run[value]) for value in results[:3]] == [0, 0, 0]
