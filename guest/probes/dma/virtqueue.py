"""Split virtqueues: indirect descriptors, order, wrap, notification suppression. On virtio-blk."""

from harness import Deviation, Kernel, ProbeBody, Window, probe
from harness.devices import (
    SECTOR_SIZE,
    BlockOperation,
    BlockRequest,
    NetConfiguration,
    NetFeature,
    VirtioDisk,
    VirtioFeature,
    VirtioPci,
)

VECTOR = 0x74
BLK = ["virtio-blk"]


def _pattern(sector: int) -> bytes:
    return bytes((sector * 7 + n) & 0xFF for n in range(SECTOR_SIZE))


def _writes(k: Kernel, disk: VirtioDisk, count: int) -> list[int]:
    """Chains of three descriptors, each a write of one sector: sector n gets pattern n. Returns their heads."""
    heads = []
    for sector in range(count):
        window = Window.make(k, f"data{sector}", SECTOR_SIZE, content=_pattern(sector))
        heads.append(disk.request(f"write{sector}", BlockRequest.OUT, sector, [window], first=3 * sector).head)
    return heads


@probe.each(pieces=[1, 2, 7])
@probe(spec="VIRTIO 1.2, Indirect Descriptors", needs=BLK, covers=["virtio.indirect"])
def an_indirect_table_is_one_descriptor_of_the_queue(k: Kernel, pieces: int) -> ProbeBody:
    """With INDIRECT_DESC negotiated one descriptor names a table that holds the whole chain."""
    data = _pattern(3)
    cut = SECTOR_SIZE // pieces
    sizes = [cut] * (pieces - 1) + [SECTOR_SIZE - cut * (pieces - 1)]
    windows = [Window.make(k, f"piece{n}", size, offset=n) for n, size in enumerate(sizes)]
    source = Window.make(k, "source", SECTOR_SIZE, content=data)
    disk = VirtioDisk(k, vector=VECTOR, features=VirtioFeature.INDIRECT_DESC)
    write = BlockOperation.make(k, "write", BlockRequest.OUT, 8, [source])
    read = BlockOperation.make(k, "read", BlockRequest.IN, 8, windows)
    first = disk.queue.indirect(write.parts, head=5)
    second = disk.queue.indirect(read.parts, head=0)
    disk.queue.submit(first)
    disk.queue.wait_used(1)
    k.trigger(disk.queue.submit, second)
    disk.queue.wait_used(2)

    run = yield

    assert b"".join(window.read(run) for window in windows) == data
    assert disk.queue.completions(run) == ((5, 1), (0, SECTOR_SIZE + 1))


@probe.each(plain=[1, 2])
@probe(
    spec="VIRTIO 1.2, Device Requirements: Indirect Descriptors",
    needs=BLK,
    covers=["virtio.indirect"],
    deviation=Deviation(
        targets="*",
        kind="unimplemented",
        sees=["the chain was not served", "the disk is empty"],
        ref="dma-virtio-indirect-behind",
    ),
)
def an_indirect_table_may_follow_other_descriptors(k: Kernel, plain: int) -> ProbeBody:
    """A chain may be some normal descriptors and then a single one that names a table with the rest."""
    window = Window.make(k, "data", SECTOR_SIZE)
    disk = VirtioDisk(k, features=VirtioFeature.INDIRECT_DESC)
    operation = BlockOperation.make(k, "read", BlockRequest.IN, 0, [window])
    queue = disk.queue
    for number, part in enumerate(operation.parts[:plain]):
        queue.describe(number, part, next_index=number + 1)
    queue.indirect(operation.parts[plain:], head=plain)
    k.trigger(queue.offer, 0)
    queue.notify()
    k.stay_quiet(ms=20)
    status = disk.common.DEVICE_STATUS.read("status")

    run = yield

    assert window.strays(run.memory(window.buffer)) == []
    assert run.memory(queue.layout.avail_index, 2) == b"\1\0"
    used = queue.used(run.memory(queue.buffer))
    assert (used.elements, int(run[status])) == (((0, SECTOR_SIZE + 1),), 0xF), "the chain was not served"
    assert set(window.read(run)) == {0}, "the disk is empty"


@probe(spec="VIRTIO 1.2, Device Requirements: Indirect Descriptors", needs=BLK, covers=["virtio.indirect"])
def the_write_flag_of_an_indirect_descriptor_is_ignored(k: Kernel) -> ProbeBody:
    """Whether the device writes is in the table's descriptors, not in the one that names the table."""
    window = Window.make(k, "data", SECTOR_SIZE)
    disk = VirtioDisk(k, features=VirtioFeature.INDIRECT_DESC)
    head = disk.queue.indirect(BlockOperation.make(k, "read", BlockRequest.IN, 0, [window]).parts)
    k.asm(f"or word ptr [{disk.queue.layout.descriptor(head) + 12:#x}], 2  # WRITE")
    k.trigger(disk.queue.submit, head)
    disk.queue.wait_used(1)
    status = disk.common.DEVICE_STATUS.read("status")

    run = yield

    assert int(run[status]) == 0xF
    assert disk.queue.completions(run) == ((head, SECTOR_SIZE + 1),)
    assert set(window.read(run)) == {0}, "the disk is empty"


@probe(spec="VIRTIO 1.2, The Virtqueue Used Ring", needs=BLK, covers=["virtio.used-ring"])
def every_chain_offered_is_used_once(k: Kernel) -> ProbeBody:
    """Of five chains behind one notification each head appears once in the used ring, and all are on disk."""
    disk = VirtioDisk(k, vector=VECTOR)
    heads = _writes(k, disk, 5)
    k.sti()
    k.trigger(disk.queue.submit, *heads)
    disk.queue.wait_used(5)
    k.wait_for(VECTOR, ms=k.device_ms)  # the device uses a buffer first and interrupts then

    run = yield

    assert sorted(disk.queue.completions(run)) == [(head, 1) for head in heads]
    assert 1 <= run.count(VECTOR) <= 5
    for sector in range(5):
        assert bytes(run.backing("virtio-blk")[sector * SECTOR_SIZE :][:SECTOR_SIZE]) == _pattern(sector)


@probe(spec="VIRTIO 1.2, Supplying Buffers to The Device", needs=BLK, covers=["virtio.wrap"])
def rings_wrap_at_the_queue_size(k: Kernel) -> ProbeBody:
    """Ring indices count on, entries wrap: in a queue of 4, ten requests one after the other fill entry n modulo 4."""
    disk = VirtioDisk(k, vector=VECTOR, size=4)
    window = Window.make(k, "data", SECTOR_SIZE)
    operation = BlockOperation.make(k, "read", BlockRequest.IN, 0, [window])
    heads = [disk.queue.chain(operation.parts, first=first) for first in (0, 1)]
    order = [heads[0], *heads * 4, heads[1]]
    for number, head in enumerate(order):
        with k.trigger():
            disk.queue.chain(operation.parts, first=head)
            disk.queue.submit(head)
        disk.queue.wait_used(number + 1)

    run = yield

    used = disk.queue.used(run.memory(disk.queue.buffer))
    assert used.index == 10
    assert [element[0] for element in used.elements] == [order[8], order[9], order[6], order[7]]


@probe(spec="VIRTIO 1.2, Used Buffer Notification Suppression", needs=BLK, covers=["virtio.no-interrupt"])
def no_interrupt_flag_silences_the_queue(k: Kernel) -> ProbeBody:
    """With the available ring's NO_INTERRUPT flag set a used buffer is not notified; with it clear the next one is."""
    disk = VirtioDisk(k, vector=VECTOR)
    heads = _writes(k, disk, 2)
    k.sti()
    disk.queue.no_interrupt()
    disk.queue.submit(heads[0])
    disk.queue.wait_used(1)
    k.stay_quiet()
    k.mark("interrupts enabled")
    disk.queue.no_interrupt(False)
    k.trigger(disk.queue.submit, heads[1])
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert run.sequence == ["interrupts enabled", VECTOR]
    assert disk.queue.used(run.memory(disk.queue.buffer)).index == 2


@probe(spec="VIRTIO 1.2, Used Buffer Notification Suppression", needs=BLK, covers=["virtio.event-idx"])
def used_event_names_the_buffer_to_interrupt_for(k: Kernel) -> ProbeBody:
    """With EVENT_IDX the device interrupts for the buffer that used_event names, not for those around it."""
    disk = VirtioDisk(k, vector=VECTOR, features=VirtioFeature.EVENT_IDX)
    heads = _writes(k, disk, 4)
    k.sti()
    for number, head in enumerate(heads):
        k.mark(f"request {number}")
        if number < 2:
            disk.queue.used_event(2 * number)  # request 0, then request 2
        k.trigger(disk.queue.submit, head)
        disk.queue.wait_used(number + 1)
        if number % 2 == 0:
            k.wait_for(VECTOR, number // 2 + 1, ms=k.device_ms)
        k.stay_quiet()

    run = yield

    assert run.sequence == ["request 0", VECTOR, "request 1", "request 2", VECTOR, "request 3"]


@probe(
    spec="VIRTIO 1.2, ISR status capability; PCI Local Bus Specification 3.0, Interrupt Pins",
    needs=BLK,
    covers=["virtio.isr"],
)
def reading_isr_status_clears_it_and_deasserts_intx(k: Kernel) -> ProbeBody:
    """Without MSI-X a used buffer sets ISR bit 0 and asserts INTx#; the read returns it, clears it and deasserts."""
    disk = VirtioDisk(k)
    heads = _writes(k, disk, 1)
    k.ioapic.redirect_pci(disk.function.pin, VECTOR)
    with k.handler(VECTOR):
        first = disk.isr.ISR.read("first")
        second = disk.isr.ISR.read("second")
    k.sti()
    k.trigger(disk.queue.submit, heads[0])
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)
    line = disk.function.STATUS.read("line")

    run = yield

    assert run.vectors == [VECTOR]
    assert (run[first], run[second]) == (1, 0)
    assert run[line].INTERRUPT_STATUS == 0
    assert run.ioapic[disk.function.pin].remote_irr == 0


@probe(
    spec="VIRTIO 1.2, MSI-X Vector Configuration",
    needs=BLK,
    covers=["virtio.no-vector"],
    deviation=Deviation(
        targets="*-kvm", versions="<9", kind="bug", sees="message without a vector", ref="dma-virtio-kvm-vector"
    ),
)
def no_vector_means_no_message(k: Kernel) -> ProbeBody:
    """A queue whose vector is NO_VECTOR sends no message when its buffer is used; with a vector it does."""
    disk = VirtioDisk(k, vector=VECTOR)
    heads = _writes(k, disk, 2)
    disk.common.QUEUE_MSIX_VECTOR.write(0xFFFF)
    k.sti()
    disk.queue.submit(heads[0])
    disk.queue.wait_used(1)
    k.stay_quiet()
    k.mark("vector")
    disk.common.QUEUE_MSIX_VECTOR.write(1)
    k.trigger(disk.queue.submit, heads[1])
    k.wait_for(VECTOR, ms=k.device_ms)

    run = yield

    assert run.sequence == ["vector", VECTOR], "message without a vector"


@probe(spec="VIRTIO 1.2, MSI-X Vector Configuration", needs=BLK, covers=["virtio.vector-readback"])
def a_vector_that_does_not_exist_reads_back_no_vector(k: Kernel) -> ProbeBody:
    """queue_msix_vector reads back a vector that was accepted, and NO_VECTOR for one beyond the MSI-X table."""
    disk = VirtioDisk(k, vector=VECTOR)
    good = disk.common.QUEUE_MSIX_VECTOR.read("good")
    with k.trigger():
        disk.common.QUEUE_MSIX_VECTOR.write(0x7FF)
        disk.common.CONFIG_MSIX_VECTOR.write(0x7FF)
    bad = disk.common.QUEUE_MSIX_VECTOR.read("bad")
    config = disk.common.CONFIG_MSIX_VECTOR.read("config")

    run = yield

    assert run[good] == 1
    assert (run[bad], run[config]) == (0xFFFF, 0xFFFF)


@probe(spec="VIRTIO 1.2, Common configuration structure layout", needs=BLK, covers=["virtio.queue-config"])
def a_queue_that_does_not_exist_has_size_zero(k: Kernel) -> ProbeBody:
    """queue_size of an existing queue is a power of two; of one beyond num_queues it is 0."""
    disk = VirtioDisk(k)
    queues = disk.common.NUM_QUEUES.read("queues")
    disk.reset()
    disk.common.QUEUE_SELECT.write(0)
    size = disk.common.QUEUE_SIZE.read("size")
    k.trigger(disk.common.QUEUE_SELECT.write, queues)
    beyond = disk.common.QUEUE_SIZE.read("beyond")

    run = yield

    assert run[queues] >= 1
    assert run[size] > 0 and int(run[size]) & int(run[size]) - 1 == 0
    assert run[beyond] == 0


@probe(
    spec="VIRTIO 1.2, Device Requirements: Feature Bits",
    needs=BLK,
    covers=["virtio.features"],
    deviation=Deviation(targets="*", kind="bug", sees="FEATURES_OK was set", ref="dma-virtio-features-ok"),
)
def features_that_were_not_offered_are_refused(k: Kernel) -> ProbeBody:
    """FEATURES_OK does not stick after the driver accepted a feature bit that the device does not offer."""
    disk = VirtioDisk(k)
    good = disk.common.DEVICE_STATUS.read("good")
    disk.reset()
    k.trigger(disk.negotiate, 1 << 63)
    bad = disk.common.DEVICE_STATUS.read("bad")

    run = yield

    assert run[good].FEATURES_OK == 1
    assert run[bad].DRIVER == 1
    assert run[bad].FEATURES_OK == 0, "FEATURES_OK was set"


@probe(spec="VIRTIO 1.2, Device Status Field", needs=BLK, covers=["virtio.status"])
def device_status_goes_step_by_step_and_back_to_zero(k: Kernel) -> ProbeBody:
    """Each status bit that the driver sets reads back; writing 0 resets the device: status and features are 0 again."""
    disk = VirtioDisk(k)
    running = disk.common.DEVICE_STATUS.read("running")
    k.trigger(disk.common.DEVICE_STATUS.write, 0)
    stopped = disk.common.DEVICE_STATUS.read("stopped")
    disk.common.DEVICE_STATUS.write(ACKNOWLEDGE=1)
    one = disk.common.DEVICE_STATUS.read("one")
    disk.common.DEVICE_STATUS.write(ACKNOWLEDGE=1, DRIVER=1)
    two = disk.common.DEVICE_STATUS.read("two")

    run = yield

    assert [int(run[value]) for value in (running, stopped, one, two)] == [0xF, 0, 1, 3]


@probe(spec="VIRTIO 1.2, Notification of Device Configuration Changes", needs=["virtio-net"], covers=["virtio.config"])
def a_configuration_change_has_its_own_vector(k: Kernel) -> ProbeBody:
    """When the host takes the link down the device sends the configuration vector, and LINK_UP reads 0."""
    net = VirtioPci(k, "virtio-net", vectors={0: VECTOR})
    net.negotiate(NetFeature.STATUS | NetFeature.MAC)
    net.common.CONFIG_MSIX_VECTOR.write(0)
    net.start()
    layout = NetConfiguration(k.bus, net.config)
    up = layout.STATUS.read("up")
    before = net.common.CONFIG_GENERATION.read("before")
    k.checkpoint("link")
    k.sti()
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)
    down = layout.STATUS.read("down")
    after = net.common.CONFIG_GENERATION.read("after")

    run = yield

    with run.stopped_at("link"):
        run.trigger(run.qmp, "set_link", name="virtio-net", up=False)
    assert run[up].LINK_UP == 1
    assert run[down].LINK_UP == 0
    assert run[before] != run[after], "config_generation must change with the configuration"
    assert run.vectors == [VECTOR]
