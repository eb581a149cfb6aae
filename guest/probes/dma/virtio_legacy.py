"""The legacy interface of transitional virtio devices: registers in I/O space, queues in one piece."""

from harness import GUARD, Kernel, ProbeBody, Window, probe
from harness.devices import SECTOR_SIZE, BlockOperation, BlockRequest, BlockStatus, LegacyQueue, LegacyVirtio, Part

VECTOR = 0x6E
LAYOUT = "VIRTIO 1.2, Legacy Interfaces: A Note on PCI Device Layout"


@probe.each(interrupt=["intx", "msix"])
@probe(spec=LAYOUT, needs=["virtio-blk"], covers=["virtio.legacy-blk"])
def a_transitional_disk_reads_through_ports(k: Kernel, interrupt: str) -> ProbeBody:
    """A queue announced by its page number serves a read; ISR or the queue's vector signals it."""
    window = Window.make(k, "data", 2 * SECTOR_SIZE, offset=77)
    disk = LegacyVirtio(k, "virtio-blk")
    if interrupt == "msix":
        disk.function.msix().enable({1: VECTOR})
    else:
        k.ioapic.redirect_pci(disk.function.pin, VECTOR)
        k.handler(VECTOR).do(disk.ISR_STATUS.read, "isr")
    disk.negotiate()
    queue = LegacyQueue(disk, 0, vector=1 if interrupt == "msix" else None)
    disk.start()
    operation = BlockOperation.make(k, "read", BlockRequest.IN, 40, [window])
    head = queue.chain(operation.parts, first=5)
    k.checkpoint("disk")
    k.sti()
    k.trigger(queue.submit, head)
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)

    run = yield

    content = run.fill_disk("virtio-blk")
    assert run[queue.device_size] & run[queue.device_size] - 1 == 0
    assert window.read(run) == content[40 * SECTOR_SIZE : 42 * SECTOR_SIZE]
    assert operation.result(run) == BlockStatus.OK
    assert queue.completions(run) == ((head, 2 * SECTOR_SIZE + 1),)
    assert run.vectors == [VECTOR]


@probe(spec=LAYOUT, needs=["virtio-rng"], covers=["virtio.legacy-rng", "virtio.legacy-reset"])
def a_legacy_reset_forgets_the_queue(k: Kernel) -> ProbeBody:
    """QUEUE_ADDRESS reads back the page number; after status 0 it reads 0 and the old rings are served no more."""
    window = Window.make(k, "entropy", 32)
    rng = LegacyVirtio(k, "virtio-rng")
    rng.negotiate()
    queue = LegacyQueue(rng, 0)
    rng.start()
    there = rng.QUEUE_ADDRESS.read("there")
    with k.trigger():
        queue.submit(queue.chain([Part(window.address, 16, write=True)]))
    queue.wait_used(1)
    rng.DEVICE_STATUS.write(0)
    gone = rng.QUEUE_ADDRESS.read("gone")
    queue.submit(queue.chain([Part(window.address + 16, 16, write=True)], first=1))
    k.stay_quiet(ms=20)

    run = yield

    assert run[queue.device_size] & run[queue.device_size] - 1 == 0
    assert (run[there], run[gone]) == (run[queue.page], 0)
    memory = window.read(run)
    assert set(memory[:16]) != {GUARD}
    assert set(memory[16:]) == {GUARD}
    assert queue.used(run.memory(queue.buffer)).index == 1
