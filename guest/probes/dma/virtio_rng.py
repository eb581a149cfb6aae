"""virtio entropy device: the smallest virtqueue, with MSI-X."""

from harness import GUARD, Kernel, ProbeBody, Window, probe
from harness.devices import Part, SplitQueue, VirtioPci

VECTOR = 0x71


@probe(
    spec="VIRTIO 1.2, Entropy Device, Device Operation; PCI Local Bus Specification 3.0, MSI-X Operation",
    needs=["virtio-rng"],
    covers=["virtio.rng", "msix.vector"],
)
def entropy_fills_the_buffer_and_interrupts_on_the_queues_vector(k: Kernel) -> ProbeBody:
    """The device fills the buffer that the descriptor names, nothing else, and sends the queue's MSI-X message."""
    window = Window.make(k, "entropy", 64, offset=40)
    rng = VirtioPci(k, "virtio-rng", vectors={1: VECTOR})
    rng.negotiate()
    queue = SplitQueue(rng, 0, vector=1)
    rng.start()
    head = queue.chain([Part(window.address, window.size, write=True)])
    k.sti()
    k.trigger(queue.submit, head)
    k.wait_for(VECTOR, ms=2000, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]
    ((chain, written),) = queue.completions(run)
    assert chain == head
    assert 1 <= written <= window.size
    memory = window.read(run)
    assert set(memory[:written]) != {GUARD}
    assert set(memory[written:]) <= {GUARD}
