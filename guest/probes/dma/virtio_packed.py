"""Packed virtqueues: one ring in which driver and device mark descriptors available and used. On virtio-blk."""

from random import Random

from harness import Deviation, Kernel, Mark, ProbeBody, Run, Window, probe, wait_register
from harness.devices import (
    NET_HEADER_SIZE,
    NET_RECEIVEQ,
    NET_TRANSMITQ,
    SECTOR_SIZE,
    BlockOperation,
    BlockRequest,
    BlockStatus,
    EventFlags,
    EventSuppression,
    PackedQueue,
    Part,
    Position,
    VirtioFeature,
    VirtioPci,
)

VECTOR = 0x76
DISK = "virtio-blk-packed"
BLK = [DISK]
NET = "virtio-net-packed"
SECTORS = 2048  # the harness's disk: 1 MiB
RING = "VIRTIO 1.2, Packed Virtqueues"
WRAP = "VIRTIO 1.2, Driver and Device Ring Wrap Counters"
EVENTS = "VIRTIO 1.2, Driver and Device Event Suppression"


def _disk(k: Kernel, *, size: int = 16, features: int = 0) -> PackedQueue:
    """The disk started, with one packed queue on MSI-X entry 1."""
    device = VirtioPci(k, DISK, vectors={1: VECTOR})
    device.negotiate(VirtioFeature.RING_PACKED | features)
    queue = PackedQueue(device, 0, size=size, vector=1)
    device.start()
    return queue


def _pattern(sector: int) -> bytes:
    return bytes((sector * 11 + n) & 0xFF for n in range(SECTOR_SIZE))


def _write(k: Kernel, sector: int) -> BlockOperation:
    """Three descriptors that write the sector's pattern to it."""
    window = Window.make(k, f"data{sector}", SECTOR_SIZE, content=_pattern(sector))
    return BlockOperation.make(k, f"write{sector}", BlockRequest.OUT, sector, [window])


def _written(run: Run, sectors: int) -> None:
    """The disk has the patterns of its first sectors, and zeros behind them."""
    disk = bytes(run.backing(DISK))
    assert disk[: sectors * SECTOR_SIZE] == b"".join(map(_pattern, range(sectors)))
    assert set(disk[sectors * SECTOR_SIZE :]) == {0}


@probe.each(device=[DISK, NET, "virtio-blk"])
@probe(
    spec="VIRTIO 1.2, Reserved Feature Bits",
    needs=[DISK, NET, "virtio-blk"],
    covers=["virtio.packed", "virtio.features"],
)
def ring_packed_is_accepted_where_it_is_offered(k: Kernel, device: str) -> ProbeBody:
    """A device with packed queues offers RING_PACKED and lets a driver have it; one without does not offer it."""
    virtio = VirtioPci(k, device)
    virtio.common.DEVICE_FEATURE_SELECT.write(1)
    offered = k.trigger(virtio.common.DEVICE_FEATURE.read, "offered")
    virtio.negotiate(VirtioFeature.RING_PACKED if device != "virtio-blk" else 0)
    status = virtio.common.DEVICE_STATUS.read("status")

    run = yield

    assert (int(run[offered]) << 32 & VirtioFeature.RING_PACKED != 0) == (device != "virtio-blk")
    assert run[status].FEATURES_OK == 1


@probe.each(sector=[0, SECTORS - 1])
@probe(spec=RING, needs=BLK, covers=["virtio.packed"])
def a_read_comes_back_through_the_same_ring(k: Kernel, sector: int) -> ProbeBody:
    """The used descriptor takes the head's place: buffer ID, bytes written, both flags of the round; data on vector."""
    window = Window.make(k, "data", SECTOR_SIZE, offset=1)
    k.checkpoint("disk")
    queue = _disk(k)
    k.delay(us=20_000)  # QEMU, busy with the monitor, reads the new queue late: it must find no request yet
    operation = BlockOperation.make(k, "read", BlockRequest.IN, sector, [window])
    k.sti()
    head = queue.offer(*operation.parts, identifier=0x1234)
    k.trigger(queue.notify)
    k.wait_for(VECTOR, ms=k.device_ms)
    queue.wait_used(head)
    k.stay_quiet()

    run = yield

    content = run.fill_disk(DISK)
    assert window.read(run) == content[sector * SECTOR_SIZE :][:SECTOR_SIZE]
    assert operation.result(run) == BlockStatus.OK
    used, second, third, *rest = queue.descriptors(run.memory(queue.ring))
    assert (used.BUFFER_ID, used.LENGTH, used.AVAIL, used.USED) == (0x1234, SECTOR_SIZE + 1, 1, 1)
    assert [(d.AVAIL, d.USED) for d in (second, third)] == [(1, 0), (1, 0)], "the chain's other descriptors stay"
    assert set(rest) == {0}
    assert run.vectors == [VECTOR]


@probe.each(seed=range(3))
@probe(spec=RING, needs=BLK, covers=["virtio.packed", "virtio.scatter-gather"])
def a_chain_of_many_descriptors_is_one_buffer(k: Kernel, seed: int) -> ProbeBody:
    """NEXT joins consecutive descriptors: pieces of any size are filled in order, one used descriptor comes back."""
    random = Random(seed)
    cuts = sorted(random.sample(range(1, 4 * SECTOR_SIZE), 5))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, 4 * SECTOR_SIZE], strict=True)]
    windows = [Window.make(k, f"piece{n}", size, offset=random.randrange(4096)) for n, size in enumerate(sizes)]
    random.shuffle(windows)
    queue = _disk(k)
    operation = BlockOperation.make(k, "read", BlockRequest.IN, 77, windows)
    write = _write(k, 0)
    k.checkpoint("disk")
    head = queue.offer(*operation.parts, identifier=5)
    k.trigger(queue.notify)
    queue.wait_used(head)
    after = queue.offer(*write.parts, identifier=6)
    queue.notify()
    queue.wait_used(after)

    run = yield

    content = run.fill_disk(DISK)
    read = b"".join(window.read(run) for window in windows)
    assert read == content[77 * SECTOR_SIZE :][: 4 * SECTOR_SIZE]
    ring = queue.descriptors(run.memory(queue.ring))
    assert (head.offset, after.offset) == (0, 8)
    assert (ring[0].BUFFER_ID, ring[8].BUFFER_ID) == (5, 6)
    assert [index for index, descriptor in enumerate(ring) if descriptor.AVAIL and descriptor.USED] == [0, 8]


@probe.each(size=[4, 7, 16])
@probe(spec=WRAP, needs=BLK, covers=["virtio.packed", "virtio.wrap"])
def the_wrap_counters_turn_at_the_rings_end(k: Kernel, size: int) -> ProbeBody:
    """Both wrap counters change where the ring ends, in the middle of a chain too; a ring may have any size."""
    queue = _disk(k, size=size)
    heads = []
    for number in range(12):
        operation = _write(k, number)
        with k.trigger():
            head = queue.offer(*operation.parts, identifier=number)
            queue.notify()
        queue.wait_used(head)
        heads.append(head)

    run = yield

    assert heads == [Position(3 * n % size, 1 - 3 * n // size % 2) for n in range(12)]
    ring = queue.descriptors(run.memory(queue.ring))
    last = ring[heads[-1].offset]
    assert (last.BUFFER_ID, last.LENGTH) == (11, 1)
    assert (heads[-1].wrap, heads[-1].wrap) == (last.AVAIL, last.USED)
    _written(run, 12)


@probe(spec=WRAP, needs=BLK, covers=["virtio.packed"])
def flags_of_the_round_before_make_nothing_available(k: Kernel) -> ProbeBody:
    """A head whose AVAIL and USED bits belong to the other round is not available, notified or not."""
    queue = _disk(k, size=4)
    first = queue.offer(*_write(k, 0).parts, identifier=1)
    queue.notify()
    queue.wait_used(first)
    head = queue.offer(*_write(k, 1).parts, identifier=2, held=True)
    queue.notify()
    k.stay_quiet(ms=20, real_ms=200)
    k.checkpoint("held")
    k.trigger(queue.release, head)
    queue.notify()
    queue.wait_used(head)

    run = yield

    with run.stopped_at("held"):
        assert head == Position(3, 1), "the chain goes over the ring's end"
        held = queue.descriptors(run.memory(queue.ring))[3]
        assert (held.AVAIL, held.USED, held.BUFFER_ID) == (0, 1, 2)
        _written(run, 1)
    _written(run, 2)


@probe.each(pieces=[1, 3])
@probe(spec="VIRTIO 1.2, Indirect Flag: Scatter-Gather Support", needs=BLK, covers=["virtio.packed", "virtio.indirect"])
def an_indirect_table_takes_one_place_in_the_ring(k: Kernel, pieces: int) -> ProbeBody:
    """With INDIRECT_DESC one descriptor names a table; its entries follow each other without NEXT."""
    cut = SECTOR_SIZE // pieces
    sizes = [cut] * (pieces - 1) + [SECTOR_SIZE - cut * (pieces - 1)]
    windows = [Window.make(k, f"piece{n}", size, offset=3 * n) for n, size in enumerate(sizes)]
    queue = _disk(k, size=2, features=VirtioFeature.INDIRECT_DESC)
    write = queue.offer(*_write(k, 0).parts, identifier=8, indirect=True)
    queue.notify()
    queue.wait_used(write)
    with k.trigger():
        operation = BlockOperation.make(k, "read", BlockRequest.IN, 0, windows)
        read = queue.offer(*operation.parts, identifier=9, indirect=True)
    queue.notify()
    queue.wait_used(read)

    run = yield

    assert b"".join(window.read(run) for window in windows) == _pattern(0)
    ring = queue.descriptors(run.memory(queue.ring))
    assert [(d.BUFFER_ID, d.LENGTH) for d in ring] == [(8, 1), (9, SECTOR_SIZE + 1)]


@probe(spec=RING, needs=BLK, covers=["virtio.packed", "virtio.used-ring"])
def every_buffer_of_a_burst_is_used_once(k: Kernel) -> ProbeBody:
    """Of five buffers behind one notification each ID comes back once, each used descriptor a chain behind the last."""
    queue = _disk(k)
    heads = [queue.offer(*_write(k, number).parts, identifier=100 + number) for number in range(5)]
    k.trigger(queue.notify)
    for head in heads:
        queue.wait_used(head)

    run = yield

    ring = queue.descriptors(run.memory(queue.ring))
    assert sorted(ring[head.offset].BUFFER_ID for head in heads) == [100, 101, 102, 103, 104]
    assert {ring[head.offset].LENGTH for head in heads} == {1}
    _written(run, 5)


@probe(spec=EVENTS, needs=BLK, covers=["virtio.packed", "virtio.no-interrupt"])
def driver_events_disabled_silence_the_queue(k: Kernel) -> ProbeBody:
    """With RING_EVENT_FLAGS_DISABLE in the driver area a used buffer is not notified; with ENABLE the next one is."""
    queue = _disk(k)
    k.sti()
    queue.driver_events(EventFlags.DISABLE)
    first = queue.offer(*_write(k, 0).parts, identifier=1)
    queue.notify()
    queue.wait_used(first)
    k.stay_quiet()
    k.mark("enabled")
    queue.driver_events(EventFlags.ENABLE)
    second = queue.offer(*_write(k, 1).parts, identifier=2)
    k.trigger(queue.notify)
    k.wait_for(VECTOR, ms=k.device_ms)
    queue.wait_used(second)
    k.stay_quiet()

    run = yield

    assert run.sequence == ["enabled", VECTOR]
    _written(run, 2)


@probe.each(wanted=[1, 2, 4, 6])
@probe(spec=EVENTS, needs=BLK, covers=["virtio.packed", "virtio.event-idx"])
def driver_events_can_name_one_descriptor(k: Kernel, wanted: int) -> ProbeBody:
    """With EVENT_IDX and RING_EVENT_FLAGS_DESC only the descriptor of that place in that round is notified."""
    queue = _disk(k, size=12, features=VirtioFeature.EVENT_IDX)
    named = Position(3 * wanted % 12, int(wanted < 4))
    heads = []
    k.sti()
    for number in range(7):
        k.mark(f"request {number}")
        head = queue.offer(*_write(k, number).parts, identifier=number)
        k.trigger(queue.notify)
        queue.wait_used(head)
        k.stay_quiet()
        if number == 0:
            queue.driver_events(EventFlags.DESC, named)
        heads.append(head)

    run = yield

    assert heads[wanted] == named
    names = [event.name if isinstance(event, Mark) else "interrupt" for event in run.events]
    notified = [n for n in range(7) if names[names.index(f"request {n}") + 1 :][:1] == ["interrupt"]]
    # A device may notify more often than it must where it compares for the first time (0) and at the ring's end (3).
    assert [n for n in notified if n not in (0, 3)] == [wanted]


@probe(spec=EVENTS, needs=BLK, covers=["virtio.packed"])
def an_idle_device_asks_for_the_next_buffer(k: Kernel) -> ProbeBody:
    """With EVENT_IDX a device that has used everything lets itself be notified of the descriptor that comes next."""
    queue = _disk(k, size=4, features=VirtioFeature.EVENT_IDX)
    with k.trigger():
        head = queue.offer(*_write(k, 0).parts, identifier=1)
        queue.notify()
    queue.wait_used(head)
    k.stay_quiet(ms=5)

    run = yield

    events = EventSuppression(int.from_bytes(run.memory(queue.device_area), "little"))
    assert queue.descriptors(run.memory(queue.ring))[0].USED == 1
    assert events.EVENT_FLAGS in (EventFlags.ENABLE, EventFlags.DESC)
    if events.EVENT_FLAGS == EventFlags.DESC:
        assert queue.next == (events.DESC_EVENT_OFF, events.DESC_EVENT_WRAP)


@probe.each(kind=["endless", "length"])
@probe(
    spec="VIRTIO 1.2, Device Requirements: Device Status Field",
    needs=BLK,
    covers=["virtio.packed", "virtio.hostile"],
    deviation=Deviation(
        targets="*",
        versions="<10.0.13 or >=10.1,<11.0.4",
        kind="bug",
        sees="QEMU hangs",
        ref="dma-virtio-packed-endless",
    ),
    watchdog_s=1,
)
def a_broken_packed_ring_needs_a_reset(k: Kernel, kind: str) -> ProbeBody:
    """On a chain without end or a bad indirect length the device sets DEVICE_NEEDS_RESET, and works after a reset."""
    queue = _disk(k, size=4, features=VirtioFeature.INDIRECT_DESC)
    window = Window.make(k, "data", 64)
    head = queue.offer(*[Part(window.address, 16)] * 4, identifier=1, held=True)
    last = queue.ring.address + 3 * 16
    if kind == "endless":
        k.asm(f"or byte ptr [{last + 14:#x}], 1")  # NEXT, as all before it
    else:
        k.asm(f"mov dword ptr [{queue.ring.address + 8:#x}], 24\nmov byte ptr [{queue.ring.address + 14:#x}], 4")
    k.trigger(queue.release, head)
    queue.notify()
    wait_register(k, queue.device.common.DEVICE_STATUS, ms=k.device_ms, DEVICE_NEEDS_RESET=1)
    queue.device.negotiate(VirtioFeature.RING_PACKED)
    fresh = PackedQueue(queue.device, 0, name="fresh")
    queue.device.start()
    again = fresh.offer(*_write(k, 0).parts, identifier=3)
    fresh.notify()
    fresh.wait_used(again)
    healed = queue.device.common.DEVICE_STATUS.read("healed")

    run = yield

    assert int(run[healed]) == 0xF
    assert window.untouched(run)
    _written(run, 1)


@probe(spec=RING, needs=[NET], covers=["virtio.packed", "virtio.net-tx", "virtio.net-rx"])
def a_frame_goes_each_way_through_packed_queues(k: Kernel) -> ProbeBody:
    """virtio-net with both queues packed: the frame that memory holds leaves, the frame that comes fills its buffer."""
    out = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01\x88\xb5" + Random(1).randbytes(100)
    back = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x02\x88\xb5" + Random(2).randbytes(200)
    source = Window.make(k, "source", NET_HEADER_SIZE + len(out), content=bytes(NET_HEADER_SIZE) + out)
    target = Window.make(k, "target", 2048, offset=2047)
    net = VirtioPci(k, NET)
    net.negotiate(VirtioFeature.RING_PACKED)
    receive, transmit = PackedQueue(net, NET_RECEIVEQ), PackedQueue(net, NET_TRANSMITQ)
    net.start()
    filled = receive.offer(Part(target.address, target.size, write=True), identifier=21)
    receive.notify()
    header, body = Part(source.address, NET_HEADER_SIZE), Part(source.address + NET_HEADER_SIZE, len(out))
    sent = transmit.offer(header, body, identifier=22)
    k.trigger(transmit.notify)
    transmit.wait_used(sent)
    k.checkpoint("sent")
    receive.wait_used(filled)

    run = yield

    with run.stopped_at("sent"):
        cable = run.machine.networks[NET]
        cable.settimeout(5)
        assert cable.recv(4096) == out
        run.trigger(cable.send, back)
    assert transmit.descriptors(run.memory(transmit.ring))[0].BUFFER_ID == 22
    used = receive.descriptors(run.memory(receive.ring))[0]
    assert (21, NET_HEADER_SIZE + len(back)) == (used.BUFFER_ID, used.LENGTH)
    assert target.read(run)[NET_HEADER_SIZE:][: len(back)] == back
