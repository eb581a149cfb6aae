"""The 82574 and a guest that errs: rings and buffers outside memory, tails beyond the ring, frames without end."""

from collections.abc import Sequence
from select import select

from harness import GUARD, Deviation, Kernel, ProbeBody, Run, Window, probe
from harness.devices import E1000E_RING_SIZE, E1000eCard, ReceiveDescriptor, TransmitDescriptor

VECTOR = 0x7E
MS = 400.0
CARD = ["e1000e"]
NOWHERE = 0x0800_0000  # 128 MiB: behind RAM, before any device
TOP = 0xFFFF_FFFF_FFFF_F000
GOOD = b"\xff" * 6 + b"\x02\0\0\0\0\1\x88\xb5" + bytes(range(46))
BAD = b"\xff" * 6 + b"\x02\0\0\0\0\2\x88\xb5" + bytes(range(100, 146))
LEGACY = "Intel 82574 datasheet, Legacy Transmit Descriptor Format"
TRANSMIT = "Intel 82574 datasheet, Transmit Descriptor Ring Structure"
RECEIVE = "Intel 82574 datasheet, Receive Descriptor Queue Structure"


class Victim(E1000eCard):
    """The card, a good frame to send and a buffer to receive one."""

    def __init__(self, k: Kernel) -> None:
        super().__init__(k)
        self.source = Window.make(k, "source", len(GOOD), content=GOOD)
        self.target = Window.make(k, "target", 2048)

    def again(self) -> None:
        """Reset the card, send the good frame and receive one: what is left of a bad ring must not matter."""
        self.reset()
        self.transmit([[self.source]])
        self.k.checkpoint("again")
        self.receive([self.target])
        self.send()
        self.wait_sent(ms=MS)
        self.k.checkpoint("sent")
        self.wait_received(ms=MS)

    def judge(self, run: Run) -> None:
        """Play the cable's part in `again`: the good frame leaves alone; one, maybe one that waited, arrives whole."""
        with run.stopped_at("again"):
            arrived(run)
        with run.stopped_at("sent"):
            assert arrived(run) == [GOOD], "what the bad ring left is in the frame"
            run.machine.networks["e1000e"].send(GOOD)
        memory = self.target.read(run)
        assert memory[: len(GOOD)] in (GOOD, BAD)
        assert set(memory[len(GOOD) :]) == {GUARD}


def arrived(run: Run) -> list[bytes]:
    """The frames that arrived at the host's end of the cable."""
    cable, frames = run.machine.networks["e1000e"], []
    while select([cable], [], [], 0)[0]:
        frames.append(cable.recv(1 << 17))
    return frames


def _frame(address: int, length: int, **fields: int) -> int:
    return int(TransmitDescriptor.of(ADDRESS=address, LENGTH=length, **{"EOP": 1, "IFCS": 1, "RS": 1, **fields}))


@probe(spec=LEGACY, needs=CARD, covers=["e1000e.hostile"])
def a_null_transmit_descriptor_transfers_no_data(k: Kernel) -> ProbeBody:
    """A descriptor of length zero between frames sends nothing but is written back; the frame behind it is sent."""
    card = Victim(k)
    card.transmit_from([_frame(card.source.address, 0), _frame(card.source.address, len(GOOD))])
    k.trigger(card.send)
    card.wait_sent(2, ms=MS)
    head = card.TX[0].TDH.read("head")

    run = yield

    assert run.memory(card.transmit_ring)[12] & 1 == 1, "DD of the null descriptor"
    assert int(run[head]) == 2
    assert arrived(run) == [GOOD]


@probe(
    spec="Intel 82574 datasheet, Null Descriptor Padding",
    needs=CARD,
    covers=["e1000e.hostile"],
    deviation=Deviation(
        targets="*",
        versions="<7.2.22 or >=8,<10.0.7 or >=10.1,<10.1.3",
        kind="bug",
        sees=["went into the null descriptor", r"\d{20} == \d{20}", "60 == 0", "At index 0 diff: b'.xc5'"],
        ref="dma-e1000e-null-receive",
    ),
)
def a_null_receive_descriptor_is_padding(k: Kernel) -> ProbeBody:
    """The card stores nothing by a descriptor with a null address, sets its DD bit alone, and uses the next one."""
    card = Victim(k)
    card.receive_into([0, card.target.address])
    k.checkpoint("frame")
    k.trigger(card.wait_received, ms=MS)
    k.stay_quiet(ms=20)

    run = yield

    with run.stopped_at("frame"):
        run.trigger(run.machine.networks["e1000e"].send, GOOD)
    null, used, *_ = card.received(run)
    assert null.DD == 1
    assert used.DD == 1, "the frame went into the null descriptor"
    assert int(null) == int(ReceiveDescriptor.of(DD=1))
    assert len(GOOD) == used.LENGTH
    assert card.target.read(run)[: len(GOOD)] == GOOD


PLACES = ["ring_in_a_hole", "ring_at_the_top", "buffer_in_a_hole", "buffer_at_the_top"]
REGISTERS = ["tail_beyond", "head_beyond", "no_ring", "ring_over_everything"]
DESCRIPTORS = ["without_end", "segments_of_nothing", "headers_of_nothing"]


def _context(*, mss: int, header: int, payload: int) -> int:
    """A TCP/IP context descriptor with TSE: what the data descriptors behind it are cut into."""
    return (
        14 | 24 << 8 | 33 << 16 | 34 << 32 | 50 << 40  # checksums of IP and TCP
        | payload << 64 | 0 << 84 | (1 << 5 | 1 << 2 | 1 << 1 | 1) << 88 | header << 104 | mss << 112
    )  # fmt: skip


def _segments(address: int, length: int) -> int:
    """A TCP/IP data descriptor with TSE and EOP."""
    return address | length << 64 | 1 << 84 | (1 << 5 | 1 << 3 | 1 << 2 | 1) << 88 | 3 << 104


@probe.each(case=[*PLACES, "overlong", "longest", *REGISTERS, *DESCRIPTORS])
@probe(
    spec=f"{TRANSMIT}; {LEGACY}; Intel 82574 datasheet, Device Control Register",
    needs=CARD,
    covers=["e1000e.hostile"],
    watchdog_s=5,
    deviation=Deviation(
        targets="*",
        cases="without_end",
        versions="<8.1",
        kind="bug",
        sees="what the bad ring left",
        ref="dma-e1000e-reset-frame",
    ),
)
def a_bad_transmit_ring_is_left_by_a_reset(k: Kernel, case: str) -> ProbeBody:
    """Whatever the transmit ring holds, after a reset the card works: it sends one good frame and receives one."""
    card = Victim(k)
    place = card.source.address
    registers = card.TX[0]
    descriptors, ring, turns = [_frame(place, len(GOOD))] * 4, None, 1
    match case:
        case "ring_in_a_hole":
            ring = NOWHERE
        case "ring_at_the_top":
            ring = TOP
        case "buffer_in_a_hole":
            descriptors = [_frame(NOWHERE, 60)]
        case "buffer_at_the_top":
            descriptors = [_frame(TOP, 0x1000)]
        case "overlong":  # more than a descriptor may hold: 16288 bytes
            descriptors = [_frame(place, 16289)]
        case "longest":
            descriptors = [_frame(place, 0xFFFF, EOP=0)] * 6 + [_frame(place, 0xFFFF)]
        case "without_end":
            descriptors, turns = [_frame(place, 60, EOP=0)] * 7, 200
        case "segments_of_nothing":
            descriptors = [_context(mss=0, header=54, payload=1000), _segments(place, 60)]
        case "headers_of_nothing":
            descriptors = [_context(mss=1, header=0, payload=0xF_FFFF), _segments(place, 60)]
    card.transmit_from(descriptors, ring=ring)
    if case == "no_ring":
        registers.TDLEN.write(LEN=0)
    elif case == "ring_over_everything":
        registers.TDLEN.write(LEN=0x1FFF)
    elif case == "head_beyond":
        registers.TDH.write(0x4000)
    k.store(k.value("turns"), 0)
    k.asm("turn:")
    last = 0xFFFF if case in ("tail_beyond", "ring_over_everything") else len(descriptors)
    k.trigger(registers.TDT.write, last)
    tail = registers.TDT.read("tail")
    if turns > 1:
        registers.TDT.write(3)  # once round the ring: it is never full, and never ends a frame
    k.asm(f"""
        inc qword ptr [turns]
        cmp qword ptr [turns], {turns}
        jb turn
    """)
    k.stay_quiet(ms=5)
    card.again()

    run = yield

    card.judge(run)
    assert (run["turns"], int(run[tail])) == (turns, last)


@probe.each(case=[*PLACES, *REGISTERS])
@probe(spec=RECEIVE, needs=CARD, covers=["e1000e.hostile"], watchdog_s=5)
def a_bad_receive_ring_is_left_by_a_reset(k: Kernel, case: str) -> ProbeBody:
    """Wherever a receive ring makes frames go, memory outside its buffers stays; after a reset the card works."""
    card = Victim(k)
    window = Window.make(k, "window", 2048)
    addresses: Sequence[int] = [window.address] * 4
    ring = None
    match case:
        case "ring_in_a_hole":
            ring = NOWHERE
        case "ring_at_the_top":
            ring = TOP
        case "buffer_in_a_hole":
            addresses = [NOWHERE] * 4
        case "buffer_at_the_top":
            addresses = [TOP] * 4
    card.receive_into(addresses, ring=ring, tail=0)
    registers = card.RX[0]
    if case == "no_ring":
        registers.RDLEN.write(LEN=0)
    elif case == "ring_over_everything":
        registers.RDLEN.write(LEN=0x1FFF)
    elif case == "head_beyond":
        registers.RDH.write(0x4000)
    last = 0xFFFF if case in ("tail_beyond", "ring_over_everything") else 4
    k.trigger(registers.RDT.write, last)
    tail = registers.RDT.read("tail")
    k.checkpoint("frames")
    k.stay_quiet(ms=20)
    card.again()

    run = yield

    with run.stopped_at("frames"):
        for _ in range(3 * E1000E_RING_SIZE):
            run.machine.networks["e1000e"].send(BAD)
    card.judge(run)
    assert window.strays(run.memory(window.buffer)) == []
    assert int(run[tail]) == last


@probe(
    spec="Intel 82574 datasheet, Interrupt Moderation; PCI Local Bus Specification 3.0, MSI and MSI-X Operation",
    needs=CARD,
    covers=["e1000e.hostile"],
    deviation=Deviation(targets="*", versions="<8", kind="bug", sees="SIGABRT", ref="dma-e1000e-msix-off"),
)
def msix_may_be_disabled_while_an_interval_runs(k: Kernel) -> ProbeBody:
    """A driver that disables MSI-X before the interval of the last message is over gets no message at its end."""
    card = Victim(k)
    msix = card.function.msix().enable({0: VECTOR})
    card.IVAR.write(RXQ0=0, RXQ0_VALID=1)
    card.EITR[0].write(INTERVAL=40_000)  # 10.24 ms
    card.IMS.write(RXQ0=1)
    k.sti()
    k.trigger(card.ICS.write, RXQ0=1)
    k.wait_for(VECTOR)
    msix.capability.CONTROL.update(ENABLE=0)
    k.stay_quiet(ms=50)
    control = msix.capability.CONTROL.read("control")

    run = yield

    assert run.vectors == [VECTOR]
    assert run[control].ENABLE == 0


@probe(
    spec="Intel 82574 datasheet, Transmit Interrupt Delay Value; "
    "PCI Local Bus Specification 3.0, MSI and MSI-X Operation",
    needs=CARD,
    covers=["e1000e.hostile"],
    deviation=Deviation(
        targets="*",
        versions="<7.2.20 or >=8,<10.0.4 or >=10.1,<10.1.1",
        kind="bug",
        sees="SIGABRT",
        ref="dma-e1000e-msix-on",
    ),
)
def msix_may_be_enabled_while_an_interrupt_is_delayed(k: Kernel) -> ProbeBody:
    """A driver that enables MSI-X before a delayed INTx# interrupt is due gets its messages from then on."""
    card = Victim(k)
    msix = card.function.msix()
    msix.entry(0, VECTOR)
    card.IVAR.write(RXQ0=0, RXQ0_VALID=1)
    card.TIDV.write(10_000)  # 10.24 ms
    card.transmit_from([_frame(card.source.address, len(GOOD), IDE=1)])
    card.IMS.write(TXDW=1, RXQ0=1)
    card.send()
    card.wait_sent(ms=MS)
    msix.enable()
    k.sti()
    k.trigger(card.ICS.write, RXQ0=1)
    k.wait_for(VECTOR)

    run = yield

    assert run.count(VECTOR) >= 1
    assert arrived(run) == [GOOD]
