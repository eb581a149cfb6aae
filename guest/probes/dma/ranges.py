"""Both sides of each range check of a device, and indexes that differ from the vectors that they name."""

from random import Random

from harness import GUARD, PAGE, Kernel, ProbeBody, Window, probe
from harness.devices import (
    NET_HEADER_SIZE,
    NET_TRANSMITQ,
    AdminOpcode,
    AhciDisk,
    AtaCommand,
    CreateCompletionQueueDword11,
    CreateQueueDword10,
    NvmeController,
    NvmOpcode,
    Part,
    SplitQueue,
    VirtioPci,
)

BLOCK, BLOCKS = 512, 2048
NVME = ["nvme"]
LAST_QUEUE = 64  # of the harness's controller, asserted by Number of Queues
TABLE = 65  # entries of its MSI-X table, asserted below
MQES = 2047  # of CAP, asserted below
MEMORY = 64 << 20  # of every target
NUMBER_OF_QUEUES = 0x07  # feature identifier
CREATE_CQ = AdminOpcode.CREATE_IO_COMPLETION_QUEUE
SUCCESS, BAD_IDENTIFIER, BAD_SIZE, BAD_VECTOR = (0, 0), (1, 1), (1, 2), (1, 8)
QUEUE = "NVM Express 1.4, Create I/O Completion Queue command"
EDGES = {  # queue, its size minus 1, vector, status
    "last_queue": (LAST_QUEUE, 7, 5, SUCCESS),
    "first_illegal_queue": (LAST_QUEUE + 1, 7, 5, BAD_IDENTIFIER),
    "longest": (9, MQES, 5, SUCCESS),
    "first_too_long": (9, MQES + 1, 5, BAD_SIZE),
    "shortest": (9, 1, 5, SUCCESS),
    "last_vector": (9, 7, TABLE - 1, SUCCESS),
    "first_illegal_vector": (9, 7, TABLE, BAD_VECTOR),
}


@probe.each(edge=list(EDGES))
@probe(spec=QUEUE, needs=NVME, covers=["nvme.ranges"])
def a_completion_queue_at_the_edge_of_a_range(k: Kernel, edge: str) -> ProbeBody:
    """The last legal queue identifier, size and vector are accepted; the next are refused, each with its status."""
    identifier, size, vector, status = EDGES[edge]
    memory = k.buffer("queue", 16 * (MQES + 2), align=PAGE)
    nvme = NvmeController(k, vectors=[0x70])
    capabilities = nvme.CAP.read("capabilities")
    control = nvme.msix.capability.CONTROL.read("control")
    nvme.admin.run(AdminOpcode.GET_FEATURES, cid=0x31, dwords=(NUMBER_OF_QUEUES,))
    attributes = CreateCompletionQueueDword11.of(PC=1, IEN=1, IV=vector)
    k.trigger(
        nvme.admin.run,
        CREATE_CQ,
        cid=0x32,
        prps=(memory.address, 0),
        dwords=(int(CreateQueueDword10.of(QID=identifier, QSIZE=size)), int(attributes)),
    )

    run = yield

    assert run[capabilities].MQES == MQES
    assert run[control].TABLE_SIZE + 1 == TABLE
    numbers, created = nvme.admin.completions(run)[:2]
    assert (int(numbers) >> 16 & 0xFFFF) + 1 == LAST_QUEUE, "completion queues, counted from 0"
    assert (0x32, status) == (created.CID, (created.SCT, created.SC))


@probe(
    spec="NVM Express 1.4, MSI-X Based Behavior; Create I/O Completion Queue command",
    needs=NVME,
    covers=["nvme.index-and-vector"],
)
def a_queues_vector_is_not_its_index(k: Kernel) -> ProbeBody:
    """Queues 1, 2 and 3 have vectors 2, 3 and 1, and queue 5 has 64: each completion sends the message of its entry."""
    entries = {1: 0x5B, 2: 0x6C, 3: 0x7D, 64: 0x8E}
    of_queue = {1: 2, 2: 3, 3: 1, 5: 64}
    nvme = NvmeController(k)
    nvme.msix.enable(entries)
    k.sti()
    for number, (index, entry) in enumerate(of_queue.items()):
        queue = nvme.queue(index, 4, vector=entry)
        queue.command(NvmOpcode.FLUSH, cid=number, nsid=1)
        k.trigger(queue.ring)
        k.wait_for(entries[entry], ms=k.device_ms)
        queue.consume(1)
    k.stay_quiet()

    run = yield

    assert run.vectors == [entries[entry] for entry in of_queue.values()]


@probe(spec="NVM Express 1.4, Submission Queue & Completion Queue Definition", needs=NVME, covers=["nvme.head-range"])
def a_head_doorbell_beyond_the_queue_is_ignored(k: Kernel) -> ProbeBody:
    """In a full queue of four a head of 4 makes no room; 3, the last legal value, makes room for three."""
    nvme = NvmeController(k)
    queue = nvme.queue(3, 4)
    for cid in range(3):
        queue.command(NvmOpcode.FLUSH, cid=0x21 + cid, nsid=1)
    queue.ring()
    queue.wait(3)
    head = queue.head_doorbell.name
    for cid in range(3):
        queue.command(NvmOpcode.FLUSH, cid=0x24 + cid, nsid=1)
    queue.ring()
    k.asm(f"mov rdi, [{head}]\nmov dword ptr [rdi], 4")
    k.stay_quiet(ms=5)
    k.checkpoint("ignored")
    k.trigger(k.asm, f"mov rdi, [{head}]\nmov dword ptr [rdi], 3")
    queue.wait(6)
    status = nvme.CSTS.read("status")

    run = yield

    with run.stopped_at("ignored"):
        assert [entry.P for entry in queue.completions(run)] == [1, 1, 1, 0]
    kept, *new = sorted(entry.CID for entry in queue.completions(run))
    assert 0x21 <= kept <= 0x23
    assert new == [0x24, 0x25, 0x26]
    assert (run[status].RDY, run[status].CFS) == (1, 0)


@probe.each(offset=[0, PAGE - BLOCK, PAGE - 4])
@probe(spec="NVM Express 1.4, Physical Region Page Entry and List", needs=NVME, covers=["nvme.page-ends"])
def a_transfer_ends_at_a_page_or_crosses_it(k: Kernel, offset: int) -> ProbeBody:
    """A block that starts a page, ends one, or has four bytes in one and the rest in another: no byte beside them."""
    data = Random(offset).randbytes(BLOCK)
    first = min(BLOCK, PAGE - offset)
    here = Window.make(k, "here", first, offset=offset)
    there = Window.make(k, "there", BLOCK - first or PAGE)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 4)
    source = k.buffer("source", BLOCK, align=PAGE, fill=data)
    queue.transfer(NvmOpcode.WRITE, cid=1, block=6, blocks=1, prps=(source.address, 0))
    queue.ring()
    queue.wait(1)
    prps = (here.address, there.address if first < BLOCK else 0)
    queue.transfer(NvmOpcode.READ, cid=2, block=6, blocks=1, prps=prps)
    k.trigger(queue.ring)
    queue.wait(2)

    run = yield

    assert here.read(run) == data[:first]
    if first < BLOCK:
        assert there.read(run) == data[first:]
    else:
        assert there.untouched(run)


@probe(spec="NVM Express 1.4, Physical Region Page Entry and List", needs=NVME, covers=["nvme.page-ends"])
def the_last_bytes_of_memory_take_a_transfer(k: Kernel) -> ProbeBody:
    """A block that ends with the last byte of RAM is read into it."""
    data = Random(77).randbytes(BLOCK)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 4)
    source = k.buffer("source", BLOCK, align=PAGE, fill=data)
    queue.transfer(NvmOpcode.WRITE, cid=1, block=8, blocks=1, prps=(source.address, 0))
    queue.ring()
    queue.wait(1)
    queue.read(MEMORY - BLOCK, 8, cid=2)
    k.trigger(queue.ring)
    queue.wait(2)

    run = yield

    assert queue.completions(run)[1].SC == 0
    assert run.memory(MEMORY - 2 * BLOCK, 2 * BLOCK) == bytes(BLOCK) + data


@probe.each(block=[BLOCKS - 1, BLOCKS - 2], blocks=[1, 2])
@probe(spec="NVM Express 1.4, Generic Command Status Definition: LBA Out of Range", needs=NVME, covers=["nvme.ranges"])
def an_nvme_read_at_the_end_of_the_disk(k: Kernel, block: int, blocks: int) -> ProbeBody:
    """A read that ends with the last block succeeds; one block more is LBA Out of Range, and writes nothing."""
    window = Window.make(k, "data", 2 * BLOCK)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 4)
    queue.read(window.address, block, cid=1, blocks=blocks)
    k.checkpoint("disk")
    k.trigger(queue.ring)
    queue.wait(1)

    run = yield

    content = run.fill_disk("nvme")
    legal = block + blocks <= BLOCKS
    assert (0 if legal else 0x80) == queue.completions(run)[0].SC
    if legal:
        assert window.read(run)[: blocks * BLOCK] == content[block * BLOCK :][: blocks * BLOCK]
    else:
        assert window.untouched(run)


@probe.each(block=[BLOCKS - 1, BLOCKS - 2], blocks=[1, 2])
@probe(spec="ATA/ATAPI-6, READ DMA EXT: Error outputs", needs=["ahci"], covers=["ahci.ranges"])
def an_ata_read_at_the_end_of_the_disk(k: Kernel, block: int, blocks: int) -> ProbeBody:
    """A read whose last sector is the disk's last succeeds; one sector more is an error."""
    window = Window.make(k, "data", 2 * BLOCK)
    disk = AhciDisk(k)
    disk.prepare(AtaCommand.READ_DMA_EXT, block, blocks, [(window.address, blocks * BLOCK)])
    k.checkpoint("disk")
    k.trigger(disk.issue)
    legal = block + blocks <= BLOCKS
    if legal:
        disk.wait_done()
    else:
        k.stay_quiet(ms=20)
    state = disk.port.TFD.read("state")
    causes = disk.port.IS.read("causes")

    run = yield

    content = run.fill_disk("ahci")
    assert ((0, 0) if legal else (1, 1)) == (run[state].STS_ERR, run[causes].TFES)
    if legal:
        assert window.read(run)[: blocks * BLOCK] == content[block * BLOCK :][: blocks * BLOCK]
    else:
        assert window.untouched(run)


@probe(spec="ATA/ATAPI-6, READ DMA: Sector Count", needs=["ahci"], covers=["ahci.ranges"])
def a_sector_count_of_zero_is_256(k: Kernel) -> ProbeBody:
    """READ DMA with a count of 0 transfers 256 sectors, and no byte more."""
    buffer = k.buffer("data", 257 * BLOCK, align=PAGE, fill=GUARD)
    disk = AhciDisk(k)
    disk.prepare(AtaCommand.READ_DMA, 3, 0, [(buffer.address, 257 * BLOCK)])
    k.checkpoint("disk")
    k.trigger(disk.issue)
    disk.wait_done()

    run = yield

    content = run.fill_disk("ahci")
    memory = run.memory(buffer)
    assert memory[: 256 * BLOCK] == content[3 * BLOCK : 259 * BLOCK]
    assert set(memory[256 * BLOCK :]) == {GUARD}


@probe.each(entry=[0, 2, 3])
@probe(spec="VIRTIO 1.2, MSI-X Vector Configuration", needs=["virtio-net"], covers=["virtio.index-and-vector"])
def a_virtio_queues_vector_is_not_its_index(k: Kernel, entry: int) -> ProbeBody:
    """Queue 1 has the MSI-X entry that its vector field names, not entry 1: that message comes, and no other."""
    vectors = {0: 0x54, 1: 0x65, 2: 0x76, 3: 0x87}
    packet = Window.make(k, "packet", NET_HEADER_SIZE + 60, content=bytes(NET_HEADER_SIZE) + b"\xff" * 60)
    net = VirtioPci(k, "virtio-net", vectors=vectors)
    net.negotiate()
    transmit = SplitQueue(net, NET_TRANSMITQ, vector=entry)
    net.start()
    head = transmit.chain([Part(packet.address, packet.size)])
    k.sti()
    k.trigger(transmit.submit, head)
    k.wait_for(vectors[entry], ms=k.device_ms, quiet_ms=1)

    run = yield

    assert run.vectors == [vectors[entry]]
