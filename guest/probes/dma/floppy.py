"""ISA DMA: the floppy controller on channel 2 of the 8237."""

from random import Random

from harness import GUARD, Deviation, Kernel, ProbeBody, Window, probe
from harness.devices import FloppyCommand, FloppyDrive, TransferType

BLOCK = 512
VECTOR = 0x59
DMA = "Intel 8237A, Register Description"
DRIVE = ["floppy"]


@probe.each(sectors=[1, 3])
@probe(spec="Intel 82078, Read Data", needs=DRIVE, covers=["floppy.read", "floppy.terminal-count", "floppy.interrupt"])
def a_read_ends_at_terminal_count(k: Kernel, sectors: int) -> ProbeBody:
    """The channel's count ends the transfer: so many bytes in memory, TC in the 8237's status, IRQ 6, no error."""
    window = Window.make(k, "data", sectors * BLOCK, offset=100)
    drive = FloppyDrive(k, VECTOR)
    drive.dma.STATUS.read("clear")
    drive.channel(window.address, window.size, TransferType.WRITE)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.READ_DATA, sector=5)
    results = drive.finish()
    status = drive.dma.STATUS.read("status")
    again = drive.dma.STATUS.read("again")
    k.stay_quiet()

    run = yield

    content = run.fill_disk("floppy")
    assert window.read(run) == content[4 * BLOCK : (4 + sectors) * BLOCK]
    assert run[status].TC == 1 << 2
    assert run[again].TC == 0, "reading the status clears it"
    assert [int(run[value]) for value in results[:3]] == [0, 0, 0]
    assert run.vectors == [VECTOR] * 3, "reset, recalibrate, read"


@probe(spec="Intel 82078, Write Data", needs=DRIVE, covers=["floppy.write"])
def a_write_puts_memory_on_the_disk(k: Kernel) -> ProbeBody:
    """Memory to device through the channel: the sectors hold the buffer, the rest of the disk is as it was."""
    data = Random(3).randbytes(2 * BLOCK)
    window = Window.make(k, "data", len(data), offset=7, content=data)
    drive = FloppyDrive(k, VECTOR)
    drive.channel(window.address, window.size, TransferType.READ)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.WRITE_DATA, sector=17)
    results = drive.finish()

    run = yield

    content = bytearray(run.fill_disk("floppy"))
    content[16 * BLOCK : 18 * BLOCK] = data
    assert bytes(run.backing("floppy")) == bytes(content)
    assert int(run[results[0]]) >> 6 == 0, "ST0.IC: normal termination"
    assert [int(run[value]) for value in results[1:3]] == [0, 0]


@probe(
    spec=f"{DMA}; Intel 82371SB (PIIX3), DMA Low Page Registers",
    needs=DRIVE,
    covers=["floppy.wrap"],
    deviation=Deviation(
        targets="*",
        kind="bug",
        sees=["went on into the next 64 KiB", "At index 0 diff: b'.xc5' !="],
        ref="dma-8237-wrap",
    ),
)
def addresses_wrap_inside_64_kib(k: Kernel) -> ProbeBody:
    """The address counter has 16 bits, the page register does not count: a transfer wraps inside its 64 KiB."""
    buffer = k.buffer("data", 0x20000, align=0x10000, fill=GUARD)
    drive = FloppyDrive(k, VECTOR)
    drive.channel(buffer.address + 0xFE00, 2 * BLOCK, TransferType.WRITE)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.READ_DATA)
    drive.finish()

    run = yield

    content = run.fill_disk("floppy")
    memory = run.memory(buffer)
    assert memory[0xFE00:0x10000] == content[:BLOCK]
    assert set(memory[0x10000:]) == {GUARD}, "the transfer went on into the next 64 KiB"
    assert memory[:0x200] == content[BLOCK : 2 * BLOCK]
    assert set(memory[0x200:0xFE00]) == {GUARD}


@probe(
    spec=f"{DMA}, Mode Register",
    needs=DRIVE,
    covers=["floppy.decrement"],
    deviation=Deviation(targets="*", kind="bug", sees="bytes outside the window", ref="dma-8237-decrement"),
)
def address_decrement_fills_memory_backwards(k: Kernel) -> ProbeBody:
    """With the decrement bit the address counts down: the bytes lie in reverse order below the start."""
    window = Window.make(k, "data", BLOCK)
    drive = FloppyDrive(k, VECTOR)
    drive.channel(window.address + BLOCK - 1, BLOCK, TransferType.WRITE, ADDRESS_DECREMENT=1)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.READ_DATA)
    drive.finish()

    run = yield

    content = run.fill_disk("floppy")
    assert window.read(run) == content[:BLOCK][::-1]


@probe(spec=f"{DMA}, Mask Register", needs=DRIVE, covers=["floppy.mask"])
def a_masked_channel_transfers_nothing(k: Kernel) -> ProbeBody:
    """While the channel is masked its request waits and memory is untouched; unmasked, the transfer continues."""
    window = Window.make(k, "data", BLOCK)
    drive = FloppyDrive(k, VECTOR)
    drive.channel(window.address, BLOCK, TransferType.WRITE)
    drive.dma.SINGLE_MASK.write(CHANNEL=2, SET=1)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.READ_DATA)
    k.stay_quiet(ms=50)
    request = drive.dma.STATUS.read("request")
    k.checkpoint("masked")
    drive.dma.SINGLE_MASK.write(CHANNEL=2)
    drive.finish()

    run = yield

    content = run.fill_disk("floppy")
    with run.stopped_at("masked"):
        assert run[request].DREQ == 1 << 2
        assert window.untouched(run)
        assert run.count(VECTOR) == 2
    assert window.read(run) == content[:BLOCK]


@probe.each(count=[1, 100, 700])
@probe(spec="Intel 82078, Read Data; Intel 8237A, Register Description, Status Register", needs=DRIVE,
       covers=["floppy.hostile"])  # fmt: skip
def terminal_count_inside_a_sector_ends_a_read(k: Kernel, count: int) -> ProbeBody:
    """A count that ends inside a sector: exactly so many bytes come, terminal count, normal termination."""
    window = Window.make(k, "data", count, offset=9)
    drive = FloppyDrive(k, VECTOR)
    drive.dma.STATUS.read("clear")
    drive.channel(window.address, count, TransferType.WRITE)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.READ_DATA, sector=3)
    results = drive.finish()
    status = drive.dma.STATUS.read("status")

    run = yield

    content = run.fill_disk("floppy")
    assert window.read(run) == content[2 * BLOCK : 2 * BLOCK + count]
    assert run[status].TC == 1 << 2
    assert [int(run[value]) for value in results[:3]] == [0, 0, 0]


@probe(
    spec="Intel 82078, Write Data",
    needs=DRIVE,
    covers=["floppy.hostile"],
    deviation=Deviation(targets="*", kind="bug", sees="the sector's rest is not zero", ref="dma-floppy-write-rest"),
)
def terminal_count_inside_a_sector_fills_a_write_with_zeros(k: Kernel) -> ProbeBody:
    """A write whose count ends inside a sector: the controller fills the sector's remainder with zeros."""
    data = Random(4).randbytes(100)
    window = Window.make(k, "data", len(data), content=data)
    drive = FloppyDrive(k, VECTOR)
    drive.channel(window.address, window.size, TransferType.READ)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.WRITE_DATA, sector=8)
    results = drive.finish()

    run = yield

    content = bytearray(run.fill_disk("floppy"))
    content[7 * BLOCK : 7 * BLOCK + len(data)] = data
    rest = slice(7 * BLOCK + len(data), 8 * BLOCK)
    written = bytearray(run.backing("floppy"))
    assert set(written[rest]) == {0}, "the sector's rest is not zero"
    content[rest] = written[rest]
    assert written == content, "all else as it was"
    assert [int(run[value]) for value in results[:3]] == [0, 0, 0]


@probe(
    spec="Intel 82078, Read Data; Intel 82078, Status Register 1",
    needs=DRIVE,
    covers=["floppy.hostile"],
    deviation=Deviation(
        targets="*", kind="bug", sees="the end of the track is not reported", ref="dma-floppy-end-of-track"
    ),
)
def a_count_beyond_the_track_ends_at_its_last_sector(k: Kernel) -> ProbeBody:
    """Without terminal count at the last sector of the track the read ends there: end of cylinder, IC = 1."""
    window = Window.make(k, "data", BLOCK)
    drive = FloppyDrive(k, VECTOR)
    drive.dma.STATUS.read("clear")
    drive.channel(window.address, 2 * BLOCK, TransferType.WRITE)
    k.checkpoint("disk")
    k.trigger(drive.go, FloppyCommand.READ_DATA, sector=18)
    results = drive.finish()
    status = drive.dma.STATUS.read("status")

    run = yield

    content = run.fill_disk("floppy")
    assert window.read(run) == content[17 * BLOCK : 18 * BLOCK]
    assert run[status].TC == 0
    assert (int(run[results[0]]) >> 6, int(run[results[1]]) & 0x80) == (1, 0x80), "the end of the track is not reported"
