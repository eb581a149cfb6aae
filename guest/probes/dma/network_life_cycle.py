"""The life cycle of a network card's DMA: set-up, reception while the processor works on, completion interrupt, data.

The card owns the buffer from the start, and the frame is sent when the processor has counted far enough.
"""

from random import Random

from harness import GUARD, Kernel, ProbeBody, Run, Window, probe
from harness.devices import (
    LIFE_CYCLE_WORK,
    NET_HEADER_SIZE,
    NET_RECEIVEQ,
    E1000eCard,
    LifeCycle,
    Part,
    SplitQueue,
    VirtioPci,
)

VECTOR = 0x7B
BUFFER = 2048
# Ethernet: broadcast, a local sender, an experimental type.
FRAMES = [b"\xff" * 6 + b"\x02\0\0\0\0\1\x88\xb5" + Random(length).randbytes(length - 14) for length in (60, 1514)]


def _judge(run: Run, device: str, life: LifeCycle, lead: int = 0) -> None:
    """Play the cable's part, then hold the story and the second frame, `lead` bytes into the target, against it."""
    cable = run.machine.networks[device]
    with run.stopped_at("cable"):
        cable.send(FRAMES[0])
    with run.stopped_at("worked"):
        run.trigger(cable.send, FRAMES[1])
    first = run.sequence.index("set-up")
    assert run.sequence[first:] == life.story, "set-up, start, work, interrupt, data"
    assert run["held"] == int.from_bytes(bytes([GUARD]) * 8, "little"), "nothing has come yet"
    assert run["at_interrupt"] >= LIFE_CYCLE_WORK, "the processor had worked when the interrupt came"
    assert run["work"] >= run["at_interrupt"]
    memory = life.target.read(run)
    end = lead + len(FRAMES[1])
    assert memory[lead:end] == FRAMES[1]
    assert set(memory[end:]) == {GUARD}


@probe(
    spec="VIRTIO 1.2, Network Device, Setting Up Receive Buffers; VIRTIO 1.2, Receiving Used Buffers From The Device",
    needs=["virtio-net"],
    covers=["virtio.net-life-cycle"],
)
def the_processor_works_while_virtio_net_receives(k: Kernel) -> ProbeBody:
    """A buffer is offered and notified; the processor works on until the used buffer's message; the frame is there."""
    life = LifeCycle(k, VECTOR, BUFFER, offset=2047)
    first = Window.make(k, "first", BUFFER)
    net = VirtioPci(k, "virtio-net", vectors={1: VECTOR})
    net.negotiate()
    queue = SplitQueue(net, NET_RECEIVEQ, vector=1)
    net.start()
    queue.submit(queue.chain([Part(first.address, first.size, write=True)]))
    k.sti()
    k.checkpoint("cable")
    k.wait_for(VECTOR, 1, ms=k.device_ms)
    k.mark("set-up")
    queue.offer(queue.chain([Part(life.target.address, life.target.size, write=True)], first=1))
    k.mark("start")
    k.trigger(queue.notify)
    life.work(2)

    run = yield

    _judge(run, "virtio-net", life, NET_HEADER_SIZE)
    lengths = [NET_HEADER_SIZE + len(frame) for frame in FRAMES]
    assert queue.completions(run) == ((0, lengths[0]), (1, lengths[1]))


@probe(spec="Intel 82574 datasheet, Receive Descriptors", needs=["e1000e"], covers=["e1000e.life-cycle"])
def the_processor_works_while_the_82574_receives(k: Kernel) -> ProbeBody:
    """A descriptor is handed over by RDT; the processor works on until INTx#; the frame is there."""
    first = Window.make(k, "first", BUFFER)
    card = E1000eCard(k)
    life = LifeCycle(k, VECTOR, BUFFER, offset=2047, acknowledge=lambda: card.ICR.read("cause"))
    k.ioapic.redirect_pci(card.function.pin, VECTOR)
    card.IMS.write(RXT0=1)
    card.receive([first, life.target], tail=1)
    k.sti()
    k.checkpoint("cable")
    k.wait_for(VECTOR, 1, ms=k.device_ms)
    k.mark("set-up")
    before = card.RX[0].RDH.read("before")
    k.mark("start")
    k.trigger(card.RX[0].RDT.write, 2)
    life.work(2)
    after = card.RX[0].RDH.read("after")

    run = yield

    _judge(run, "e1000e", life)
    assert [(d.DD, d.EOP, d.LENGTH) for d in card.received(run)[:2]] == [(1, 1, len(frame)) for frame in FRAMES]
    assert (int(run[before]), int(run[after])) == (1, 2), "RDH follows the descriptors that are done"
    assert run["cause"] >> 7 & 1, "RXT0"
