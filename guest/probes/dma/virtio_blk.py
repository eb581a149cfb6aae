"""virtio block device: reads, writes and flushes, held against the disk's file on the host."""

from random import Random

from harness import Deviation, Kernel, ProbeBody, Window, probe
from harness.devices import NO_BLOCK_STATUS, SECTOR_SIZE, BlockConfiguration, BlockRequest, BlockStatus, VirtioDisk

VECTOR = 0x73
BLK = ["virtio-blk"]
SECTORS = 2048  # the harness's disk: 1 MiB
OPERATION = "VIRTIO 1.2, Block Device, Device Operation"


@probe.each(sector=[0, 1, 1000, SECTORS - 1])
@probe(spec=OPERATION, needs=BLK, covers=["virtio.blk-read", "msix.vector"])
def a_read_brings_the_disks_bytes(k: Kernel, sector: int) -> ProbeBody:
    """A read fills the buffer with the sector, writes status 0, and interrupts on the queue's vector."""
    window = Window.make(k, "data", SECTOR_SIZE, offset=1)
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("read", BlockRequest.IN, sector, [window])
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)

    run = yield

    content = run.fill_disk("virtio-blk")
    assert window.read(run) == content[sector * SECTOR_SIZE :][:SECTOR_SIZE]
    assert operation.result(run) == BlockStatus.OK
    assert disk.queue.completions(run) == ((operation.head, SECTOR_SIZE + 1),)
    assert run.vectors == [VECTOR]


@probe.each(sector=[0, 1, 1000, SECTORS - 1])
@probe(spec=OPERATION, needs=BLK, covers=["virtio.blk-write"])
def a_write_changes_its_sector_alone(k: Kernel, sector: int) -> ProbeBody:
    """A write puts the buffer on the disk at its sector, and changes nothing else there nor in memory."""
    data = Random(sector).randbytes(SECTOR_SIZE)
    window = Window.make(k, "data", SECTOR_SIZE, offset=4000, content=data)
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("write", BlockRequest.OUT, sector, [window])
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    content = bytearray(run.fill_disk("virtio-blk"))
    content[sector * SECTOR_SIZE : (sector + 1) * SECTOR_SIZE] = data
    assert bytes(run.backing("virtio-blk")) == bytes(content)
    assert window.read(run) == data
    assert operation.result(run) == BlockStatus.OK
    assert disk.queue.completions(run) == ((operation.head, 1),)


@probe(spec=OPERATION, needs=BLK, covers=["virtio.blk-flush"])
def written_data_is_on_the_disk_after_a_flush(k: Kernel) -> ProbeBody:
    """With FLUSH negotiated a flush after a write completes after it, and the disk has the data."""
    data = Random(5).randbytes(8 * SECTOR_SIZE)
    window = Window.make(k, "data", len(data), content=data)
    disk = VirtioDisk(k, vector=VECTOR, features=1 << 9)
    write = disk.request("write", BlockRequest.OUT, 64, [window])
    flush = disk.request("flush", BlockRequest.FLUSH, first=len(write.parts))
    k.sti()
    k.trigger(disk.queue.submit, write.head)
    disk.queue.wait_used(1)
    disk.queue.submit(flush.head)
    disk.queue.wait_used(2)
    device_status = disk.common.DEVICE_STATUS.read("device_status")

    run = yield

    assert run[device_status].FEATURES_OK == 1
    assert (write.result(run), flush.result(run)) == (BlockStatus.OK, BlockStatus.OK)
    assert [element[0] for element in disk.queue.completions(run)] == [write.head, flush.head]
    assert bytes(run.backing("virtio-blk")[64 * SECTOR_SIZE : 72 * SECTOR_SIZE]) == data


@probe(spec="VIRTIO 1.2, Block Device, Device configuration layout", needs=BLK, covers=["virtio.blk-config"])
def capacity_is_the_disks_size(k: Kernel) -> ProbeBody:
    """The device configuration's capacity is the disk's size in units of 512 bytes."""
    disk = VirtioDisk(k)
    capacity = k.trigger(BlockConfiguration(k.bus, disk.config).CAPACITY.read, "capacity")

    run = yield

    assert run[capacity] == SECTORS


@probe.each(kind=[BlockRequest.IN, BlockRequest.OUT])
@probe.each(sector=[SECTORS, SECTORS - 1, 1 << 55])
@probe(spec=OPERATION, needs=BLK, covers=["virtio.blk-error"])
def a_request_beyond_the_capacity_fails(k: Kernel, sector: int, kind: BlockRequest) -> ProbeBody:
    """A request of two sectors whose last is beyond the capacity ends with IOERR; disk and memory stay as they were."""
    window = Window.make(k, "data", 2 * SECTOR_SIZE)
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("request", kind, sector, [window])
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    content = run.fill_disk("virtio-blk")
    assert operation.result(run) == BlockStatus.IOERR
    assert window.untouched(run)
    assert bytes(run.backing("virtio-blk")) == content


@probe(spec=OPERATION, needs=BLK, covers=["virtio.blk-error"])
def an_unknown_request_type_is_unsupported(k: Kernel) -> ProbeBody:
    """A request of a type that the device does not define ends with UNSUPP."""
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("request", BlockRequest.FLUSH)
    k.poke(operation.parts[0].address, 0x7FFF_FFF0, width=32)
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    assert operation.result(run) == BlockStatus.UNSUPP


@probe.each(seed=range(4))
@probe(spec="VIRTIO 1.2, The Virtqueue Descriptor Table", needs=BLK, covers=["virtio.scatter-gather"])
def a_read_scatters_over_pages_that_lie_apart(k: Kernel, seed: int) -> ProbeBody:
    """Pieces of any size and alignment, in any order of addresses, are filled in descriptor order, to the last byte."""
    random = Random(seed)
    cuts = sorted(random.sample(range(1, 8 * SECTOR_SIZE), 5))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, 8 * SECTOR_SIZE], strict=True)]
    windows = [Window.make(k, f"piece{n}", size, offset=random.randrange(4096)) for n, size in enumerate(sizes)]
    random.shuffle(windows)
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("read", BlockRequest.IN, 77, windows, first=3)
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    content = run.fill_disk("virtio-blk")
    assert b"".join(window.read(run) for window in windows) == content[77 * SECTOR_SIZE :][: 8 * SECTOR_SIZE]


@probe(spec="VIRTIO 1.2, The Virtqueue Descriptor Table", needs=BLK, covers=["virtio.scatter-gather"])
def a_write_gathers_from_pages_that_lie_apart(k: Kernel) -> ProbeBody:
    """The disk receives the pieces in descriptor order."""
    sizes = [1, 511, 300, 1024, 212]
    pieces = [Random(size).randbytes(size) for size in sizes]
    windows = [
        Window.make(k, f"piece{n}", len(piece), offset=4095 - n, content=piece) for n, piece in enumerate(pieces)
    ]
    order = [3, 0, 4, 1, 2]
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("write", BlockRequest.OUT, 9, [windows[n] for n in order])
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    assert operation.result(run) == BlockStatus.OK
    assert bytes(run.backing("virtio-blk")[9 * SECTOR_SIZE : 13 * SECTOR_SIZE]) == b"".join(pieces[n] for n in order)


@probe(
    spec="VIRTIO 1.2, Device Requirements: Device Status Field",
    needs=BLK,
    covers=["virtio.driver-ok"],
    deviation=Deviation(targets="*", kind="bug", sees="served before DRIVER_OK", ref="dma-virtio-before-driver-ok"),
)
def no_buffer_is_used_before_driver_ok(k: Kernel) -> ProbeBody:
    """A request offered and notified before DRIVER_OK is not consumed and not completed."""
    window = Window.make(k, "data", SECTOR_SIZE)
    disk = VirtioDisk(k, vector=VECTOR, start=False)
    operation = disk.request("read", BlockRequest.IN, 0, [window])
    k.sti()
    k.trigger(disk.queue.submit, operation.head)
    k.stay_quiet(ms=200)  # the disk is the host's, in real time: virtual time must not run ahead of it
    k.mark("DRIVER_OK")
    disk.start()
    disk.queue.notify()
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    assert run.sequence == ["DRIVER_OK", VECTOR], "served before DRIVER_OK"
    assert operation.result(run) == BlockStatus.OK


@probe(spec="VIRTIO 1.2, Device Reset", needs=BLK, covers=["virtio.reset"])
def after_a_reset_the_old_queue_is_dead(k: Kernel) -> ProbeBody:
    """After a reset no queue is enabled: offers in the old rings are not consumed and write nothing."""
    window = Window.make(k, "data", SECTOR_SIZE)
    again = Window.make(k, "again", SECTOR_SIZE)
    disk = VirtioDisk(k, vector=VECTOR)
    before = disk.request("before", BlockRequest.IN, 0, [window])
    after = disk.request("after", BlockRequest.IN, 0, [again], first=4)
    k.sti()
    k.trigger(disk.queue.submit, before.head)
    k.wait_for(VECTOR, ms=k.device_ms)
    disk.reset()
    enabled, vector = disk.common.QUEUE_ENABLE.read("enabled"), disk.common.QUEUE_MSIX_VECTOR.read("vector")
    disk.queue.submit(after.head)
    k.stay_quiet(ms=20)

    run = yield

    assert run.vectors == [VECTOR]
    assert before.result(run) == BlockStatus.OK
    assert after.result(run) == NO_BLOCK_STATUS
    assert again.untouched(run)
    assert (run[enabled], run[vector]) == (0, 0xFFFF)


@probe(
    spec="PCI Local Bus Specification 3.0, Command Register; VIRTIO 1.2, Virtio Over PCI Bus",
    needs=BLK,
    covers=["virtio.bus-master"],
)
def without_bus_master_enable_nothing_is_transferred(k: Kernel) -> ProbeBody:
    """With Bus Master clear the device reads no ring and writes no memory; set again, the request is served."""
    window = Window.make(k, "data", SECTOR_SIZE)
    disk = VirtioDisk(k, vector=VECTOR)
    operation = disk.request("read", BlockRequest.IN, 0, [window])
    disk.function.enable(bus_master=False)
    k.sti()
    k.trigger(disk.queue.offer, operation.head)
    disk.queue.notify()
    k.stay_quiet(ms=20)
    k.checkpoint("blocked")
    disk.function.enable(bus_master=True)
    disk.queue.notify()
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    with run.stopped_at("blocked"):
        assert run.vectors == []
        assert window.untouched(run)
        assert operation.result(run) == NO_BLOCK_STATUS
    assert operation.result(run) == BlockStatus.OK
    assert run.vectors == [VECTOR]
