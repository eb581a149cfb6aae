"""Network cards: frames out to a socket of the host's and in from it, by virtio-net and by the 82574."""

import socket
from random import Random

from harness import GUARD, Kernel, ProbeBody, Run, Window, probe
from harness.devices import NET_HEADER_SIZE, NET_RECEIVEQ, NET_TRANSMITQ, E1000eCard, Part, SplitQueue, VirtioPci

RX, TX = 0x7C, 0x7D
SIZES = [60, 61, 1000, 1514]


def frame(length: int, seed: int = 1) -> bytes:
    """An Ethernet frame without FCS: broadcast, a local sender, an experimental type, random bytes."""
    header = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x88\xb5"
    return header + Random(seed * 10_000 + length).randbytes(length - len(header))


def arrived(run: Run, device: str) -> list[bytes]:
    """The frames that arrived at the host's end of the cable."""
    frames = []
    while True:
        try:
            frames.append(run.machine.networks[device].recv(4096, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return frames


def _virtio(k: Kernel) -> tuple[VirtioPci, SplitQueue, SplitQueue]:
    """virtio-net with a vector for each queue."""
    net = VirtioPci(k, "virtio-net", vectors={1: RX, 2: TX})
    net.negotiate()
    return net, SplitQueue(net, NET_RECEIVEQ, vector=1), SplitQueue(net, NET_TRANSMITQ, vector=2)


@probe.each(length=SIZES)
@probe(spec="VIRTIO 1.2, Network Device, Packet Transmission", needs=["virtio-net"], covers=["virtio.net-tx", "net.tx"])
def virtio_net_sends_what_memory_holds(k: Kernel, length: int) -> ProbeBody:
    """The bytes behind the header, gathered from two pieces, arrive on the cable as one frame."""
    data = frame(length)
    header = Window.make(k, "header", NET_HEADER_SIZE, content=bytes(NET_HEADER_SIZE))
    pieces = [
        Window.make(k, "head", 33, offset=4080, content=data[:33]),
        Window.make(k, "tail", length - 33, content=data[33:]),
    ]
    net, _, transmit = _virtio(k)
    net.start()
    head = transmit.chain([Part(w.address, w.size) for w in (header, *pieces)])
    k.sti()
    k.trigger(transmit.submit, head)
    k.wait_for(TX, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert arrived(run, "virtio-net") == [data]
    assert transmit.completions(run) == ((head, 0),)
    assert run.vectors == [TX]


@probe.each(length=SIZES)
@probe(spec="VIRTIO 1.2, Network Device, Setting Up Receive Buffers", needs=["virtio-net"],
       covers=["virtio.net-rx", "virtio.queue-vectors", "net.rx"])  # fmt: skip
def virtio_net_receives_what_the_cable_brings(k: Kernel, length: int) -> ProbeBody:
    """A frame fills the buffer behind a header of 12 bytes, not a byte more, on the receive queue's vector."""
    window = Window.make(k, "packet", 2048, offset=2047)
    net, receive, _ = _virtio(k)
    net.start()
    head = receive.chain([Part(window.address, window.size, write=True)])
    receive.submit(head)
    k.sti()
    k.checkpoint("listening")
    k.wait_for(RX, ms=k.device_ms, quiet_ms=1)

    run = yield

    data = frame(length)
    with run.stopped_at("listening"):
        run.trigger(run.machine.networks["virtio-net"].send, data)
    packet = window.read(run)
    assert receive.completions(run) == ((head, NET_HEADER_SIZE + length),)
    assert packet[NET_HEADER_SIZE : NET_HEADER_SIZE + length] == data
    assert set(packet[NET_HEADER_SIZE + length :]) == {GUARD}
    assert run.vectors == [RX]


@probe.each(interrupt=["intx", "msix"])
@probe(spec="Intel 82574 datasheet, Transmit Descriptors", needs=["e1000e"], covers=["e1000e.tx", "net.tx"])
def the_82574_sends_what_memory_holds(k: Kernel, interrupt: str) -> ProbeBody:
    """Frames of one and of two descriptors leave whole and in order; status is written back, the cause interrupts."""
    first, second = frame(60, 2), frame(1514, 3)
    whole = Window.make(k, "whole", 60, offset=9, content=first)
    pieces = [
        Window.make(k, "head", 1000, offset=4000, content=second[:1000]),
        Window.make(k, "tail", 514, content=second[1000:]),
    ]
    card = E1000eCard(k)
    with k.handler(TX):
        card.ICR.read("cause")
        card.ICR.write(0xFFFF_FFFF)  # with MSI-X the read clears nothing
    if interrupt == "msix":
        card.function.msix().enable({2: TX})
        card.IVAR.write(TXQ0=2, TXQ0_VALID=1, TX_WRITE_BACK=1)
        card.IMS.write(TXQ0=1)
    else:
        k.ioapic.redirect_pci(card.function.pin, TX)
        card.IMS.write(TXDW=1)
    card.transmit([[whole], pieces])
    k.sti()
    k.trigger(card.send)
    k.wait_for(TX, ms=k.device_ms)
    card.wait_sent(3)
    k.stay_quiet()

    run = yield

    assert arrived(run, "e1000e") == [first, second]
    status = [run.memory(card.transmit_ring)[16 * n + 12] & 1 for n in range(3)]
    assert (status[0], status[2]) == (1, 1)
    assert set(run.vectors) == {TX}


@probe.each(interrupt=["intx", "msix"])
@probe(spec="Intel 82574 datasheet, Receive Descriptors", needs=["e1000e"], covers=["e1000e.rx", "net.rx"])
def the_82574_receives_what_the_cable_brings(k: Kernel, interrupt: str) -> ProbeBody:
    """Two frames fill two buffers in order, with length and status in their descriptors, no byte more."""
    windows = [Window.make(k, f"packet{n}", 2048, offset=16 * n) for n in range(3)]
    card = E1000eCard(k)
    with k.handler(RX):
        card.ICR.read("cause")
        card.ICR.write(0xFFFF_FFFF)  # with MSI-X the read clears nothing
    if interrupt == "msix":
        card.function.msix().enable({0: RX})
        card.IVAR.write(RXQ0=0, RXQ0_VALID=1)
        card.IMS.write(RXQ0=1)
    else:
        k.ioapic.redirect_pci(card.function.pin, RX)
        card.IMS.write(RXT0=1)
    card.receive(windows)
    k.sti()
    for number in range(2):
        k.checkpoint(f"frame {number}")
        k.wait_for(RX, number + 1, ms=k.device_ms)
        card.wait_received(number + 1)
        k.stay_quiet()

    run = yield

    frames = [frame(60, 4), frame(1514, 5)]
    for number, data in enumerate(frames):
        with run.stopped_at(f"frame {number}"):
            run.trigger(run.machine.networks["e1000e"].send, data)
    assert [(d.DD, d.EOP, d.LENGTH) for d in card.received(run)[:3]] == [(1, 1, 60), (1, 1, 1514), (0, 0, 0)]
    for window, data in zip(windows, [*frames, b""], strict=True):
        memory = window.read(run)
        assert memory[: len(data)] == data
        assert set(memory[len(data) :]) == {GUARD}
    assert set(run.vectors) == {RX}


@probe(spec="Intel 82574 datasheet, Interrupt Mask Set/Read Register", needs=["e1000e"], covers=["e1000e.mask"])
def the_82574s_mask_holds_a_cause(k: Kernel) -> ProbeBody:
    """A cause that IMS does not enable shows in ICR but does not interrupt; enabling it does."""
    card = E1000eCard(k)
    k.handler(RX).do(card.ICR.read, "cause")
    k.ioapic.redirect_pci(card.function.pin, RX)
    k.sti()
    k.trigger(card.ICS.write, RXT0=1)
    k.stay_quiet()
    k.mark("enable")
    card.IMS.write(RXT0=1)
    k.wait_for(RX, quiet_ms=1)

    run = yield

    assert run.sequence == ["enable", RX]
    assert run["cause"] >> 7 & 1
