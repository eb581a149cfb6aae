"""Virtio and a guest that errs: broken chains and rings, addresses where there is no memory, doorbells of no queue."""

from collections.abc import Sequence
from select import select

from harness import PAGE, Deviation, Kernel, ProbeBody, Run, Window, probe, wait_register
from harness.devices import (
    ENTROPY_REQUESTQ,
    NET_HEADER_SIZE,
    NET_RECEIVEQ,
    NET_TRANSMITQ,
    SECTOR_SIZE,
    BlockOperation,
    BlockRequest,
    Part,
    SplitQueue,
    SplitQueueLayout,
    VirtioFeature,
    VirtioPci,
)

MS = 400.0
DEVICES = ["virtio-blk", "virtio-net", "virtio-rng"]
NOWHERE = 0x0800_0000  # 128 MiB: behind RAM, before any device
OVERLONG = 0x0800_0000  # 128 MiB, twice the memory
STATUS = "VIRTIO 1.2, Device Requirements: Device Status Field"
FRAME = b"\xff" * 6 + b"\x02\0\0\0\0\1\x88\xb5" + bytes(46)


class Victim(VirtioPci):
    """A device with one queue to break: virtio-blk, virtio-rng, or virtio-net's transmit or receive queue."""

    def __init__(self, k: Kernel, name: str) -> None:
        super().__init__(k, "virtio-net" if name in ("transmit", "receive") else name)
        self.name = name
        self.index = {"transmit": NET_TRANSMITQ, "receive": NET_RECEIVEQ}.get(name, ENTROPY_REQUESTQ)
        self.queues = 3 if name in ("transmit", "receive") else 1
        self.writes = name in ("virtio-rng", "receive")  # whether the device writes the whole request
        self.target = Window.make(k, "target", SECTOR_SIZE)  # of every bad request and of the good one
        source = Window.make(k, "source", NET_HEADER_SIZE + len(FRAME), content=bytes(NET_HEADER_SIZE) + FRAME)
        self.request: Sequence[Part] = [Part(self.target.address, SECTOR_SIZE, write=True)]
        self.length = {"virtio-rng": SECTOR_SIZE, "receive": NET_HEADER_SIZE + len(FRAME)}.get(name, 0)
        if name == "virtio-blk":
            self.request = BlockOperation.make(k, "read", BlockRequest.IN, 0, [self.target]).parts
            self.length = SECTOR_SIZE + 1
        elif name == "transmit":
            self.request = [Part(source.address, source.size)]

    def begin(self, features: int = 0, name: str = "queue") -> SplitQueue:
        """The device initialized anew, with its queue in fresh memory."""
        self.negotiate(features)
        queue = SplitQueue(self, self.index, name=name)
        self.start()
        return queue

    def offer(self, queue: SplitQueue, head: int) -> None:
        """Offer a bad chain; a frame waits for the receive queue's."""
        if self.name == "receive":
            self.k.checkpoint("bad frame")
        with self.k.trigger():
            queue.offer(head)
        queue.notify()

    def again(self) -> SplitQueue:
        """Reset the device and serve the good request through a fresh queue."""
        fresh = self.begin(name="fresh")
        if self.name == "transmit":
            self.k.checkpoint("drain")
        self.serve(fresh)
        return fresh

    def serve(self, queue: SplitQueue) -> None:
        """Offer the good request and wait until it is used."""
        queue.submit(queue.chain(self.request))
        if self.name == "receive":
            self.k.checkpoint("good frame")
        queue.wait_used(1, ms=MS)

    def judge(self, run: Run, queue: SplitQueue) -> None:
        """Play the cable's part in `serve`, and hold the good request's end against what it must be."""
        if self.name == "receive":
            with run.stopped_at("good frame"):
                run.machine.networks["virtio-net"].send(FRAME)
        assert queue.completions(run) == ((0, self.length),)
        memory = self.target.read(run)
        match self.name:
            case "virtio-blk":
                assert set(memory) == {0}, "the disk is empty"
            case "receive":
                assert memory[NET_HEADER_SIZE : self.length] == FRAME
            case "virtio-rng":
                assert len(set(memory)) > 16, "random bytes"


VICTIMS = ["virtio-blk", "virtio-rng", "transmit", "receive"]


def play(run: Run, victim: Victim) -> None:
    """The cable's part: a frame for the receive queue's bad chain, room for what the transmit queue's sent."""
    cable = run.machine.networks.get("virtio-net")
    if victim.name == "receive" and cable:
        with run.stopped_at("bad frame"):
            cable.send(FRAME)
    elif victim.name == "transmit" and cable:
        with run.stopped_at("drain"):
            while select([cable], [], [], 0)[0]:
                cable.recv(4096)


def _break(queue: SplitQueue, kind: str, window: Window, *, write: bool) -> int:
    """Write a chain that is broken in this way, of descriptors that the device writes or reads. Returns its head."""
    part = Part(window.address, 64, write)
    match kind:
        case "loop":
            queue.describe(0, part, next_index=1)
            queue.describe(1, part, next_index=0)
        case "next":  # beyond the table
            queue.describe(0, part, next_index=queue.size)
        case "head":  # beyond the table
            queue.describe(0, part)
            return 777
        case "order":  # device-readable behind device-writable
            queue.describe(0, Part(window.address, 64, True), next_index=1)
            queue.describe(1, Part(window.address + 64, 64))
        case "table_length":  # no multiple of a descriptor's 16 bytes
            queue.describe(0, Part(window.address, 24), indirect=True)
        case "table_empty":
            queue.describe(0, Part(window.address, 0), indirect=True)
        case _:
            queue.describe(0, Part(window.address, OVERLONG, write))
    return 0


@probe.each(kind=["loop", "next", "head", "order", "table_length", "table_empty", "overlong"])
@probe.each(victim=VICTIMS)
@probe(spec=STATUS, needs=DEVICES, covers=["virtio.hostile"])
def a_broken_queue_needs_a_reset_and_survives_it(k: Kernel, victim: str, kind: str) -> ProbeBody:
    """On a chain or ring that cannot be the device sets DEVICE_NEEDS_RESET, and works after a reset."""
    device = Victim(k, victim)
    queue = device.begin(VirtioFeature.INDIRECT_DESC)
    head = _break(queue, kind, device.target, write=device.writes)
    device.offer(queue, head)
    wait_register(k, device.common.DEVICE_STATUS, DEVICE_NEEDS_RESET=1, ms=MS)
    isr = device.isr.ISR.read("isr")
    fresh = device.again()
    healed = device.common.DEVICE_STATUS.read("healed")

    run = yield

    play(run, device)
    device.judge(run, fresh)
    assert int(run[healed]) == 0xF
    assert run[isr].DEVICE_CONFIGURATION_INTERRUPT == 1, "no configuration change notification"


@probe(
    spec=STATUS,
    needs=["virtio-net"],
    covers=["virtio.hostile"],
    deviation=Deviation(targets="*", kind="bug", sees="DEVICE_NEEDS_RESET", ref="dma-virtio-status-resume"),
)
def a_queue_that_breaks_as_the_machine_goes_on_needs_a_reset(k: Kernel) -> ProbeBody:
    """A frame that came while the machine was stopped meets a broken chain: the device sets DEVICE_NEEDS_RESET."""
    device = Victim(k, "receive")
    queue = device.begin()
    with k.trigger():
        queue.offer(_break(queue, "loop", device.target, write=True))
    queue.notify()
    k.checkpoint("frame")
    wait_register(k, device.isr.ISR, DEVICE_CONFIGURATION_INTERRUPT=1, ms=MS)
    status = device.common.DEVICE_STATUS.read("status")

    run = yield

    with run.stopped_at("frame"):
        run.machine.networks["virtio-net"].send(FRAME)
        for _ in range(2):
            run.qmp("query-status")  # QEMU reads the waiting frames before it answers the second
    assert device.target.strays(run.memory(device.target.buffer)) == []
    assert run[status].DEVICE_NEEDS_RESET == 1, "DEVICE_NEEDS_RESET is clear"


WHERE = {"hole": NOWHERE, "rom": 0xFFFF_0000, "beyond": 0x7FFF_FFFF_F000, "top": 0xFFFF_FFFF_FFFF_F000}


@probe.each(where=WHERE)
@probe.each(victim=VICTIMS)
@probe(spec="VIRTIO 1.2, The Virtqueue Descriptor Table", needs=DEVICES, covers=["virtio.hostile"])
def a_buffer_outside_memory_harms_nobody(k: Kernel, victim: str, where: str) -> ProbeBody:
    """A buffer where there is no RAM: the request ends or the device needs a reset; the next request is served."""
    device = Victim(k, victim)
    queue = device.begin()
    bad = [Part(WHERE[where], part.length, part.write) if part.length > 16 else part for part in device.request]
    fresh = _misuse(k, device, queue, bad)

    run = yield

    play(run, device)
    device.judge(run, fresh)
    assert run.memory(queue.layout.avail_index, 2) == b"\1\0", "the bad request was offered"


@probe(spec="VIRTIO 1.2, The Virtqueue Descriptor Table", needs=DEVICES, covers=["virtio.hostile"])
def zeros_for_the_local_apics_page_interrupt_nobody(k: Kernel) -> ProbeBody:
    """A read of an empty disk into FEE0_0000h writes messages of vector 0, which no local APIC accepts."""
    device = Victim(k, "virtio-blk")
    queue = device.begin()
    k.sti()
    bad = [Part(0xFEE0_0000, part.length, part.write) if part.length > 16 else part for part in device.request]
    fresh = _misuse(k, device, queue, bad)

    run = yield

    device.judge(run, fresh)
    assert run.vectors == []
    assert run.memory(queue.layout.avail_index, 2) == b"\1\0", "the bad request was offered"


@probe.each(kind=["direction", "empty"])
@probe.each(victim=VICTIMS)
@probe(spec="VIRTIO 1.2, The Virtqueue Descriptor Table", needs=DEVICES, covers=["virtio.hostile"])
def a_buffer_of_no_use_harms_nobody(k: Kernel, victim: str, kind: str) -> ProbeBody:
    """Device-readable where the device writes, the reverse, or no byte: nothing is written, and a reset restores it."""
    device = Victim(k, victim)
    queue = device.begin()
    window = Window.make(k, "window", SECTOR_SIZE)
    part = Part(window.address, 0, device.writes) if kind == "empty" else Part(window.address, 64, not device.writes)
    fresh = _misuse(k, device, queue, [part])

    run = yield

    play(run, device)
    device.judge(run, fresh)
    assert window.untouched(run)
    assert run.memory(queue.layout.avail_index, 2) == b"\1\0", "the bad request was offered"


@probe.each(index=[9, 40, 0x8000, 0xFFFF])
@probe.each(victim=VICTIMS)
@probe(spec="VIRTIO 1.2, The Virtqueue Available Ring", needs=DEVICES, covers=["virtio.hostile"])
def an_available_index_that_jumps_harms_nobody(k: Kernel, victim: str, index: int) -> ProbeBody:
    """An index of more chains than a queue of eight holds: only its buffers are used; a reset restores it."""
    device = Victim(k, victim)
    queue = device.begin()
    queue.chain(device.request)
    queue.offered = index - 1
    fresh = _misuse(k, device, queue, device.request)

    run = yield

    play(run, device)
    device.judge(run, fresh)
    assert run.memory(queue.layout.avail_index, 2) == index.to_bytes(2, "little"), "the bad index was there"


def _misuse(k: Kernel, device: Victim, queue: SplitQueue, parts: Sequence[Part]) -> SplitQueue:
    """Offer a bad request, let the device have its time with it, and serve a good one after a reset."""
    head = queue.chain(parts)
    device.offer(queue, head)
    k.stay_quiet(ms=20)
    return device.again()


@probe.each(area=["descriptors", "driver", "device"])
@probe.each(victim=VICTIMS)
@probe(
    spec="VIRTIO 1.2, Common configuration structure layout; VIRTIO 1.2, Split Virtqueues",
    needs=DEVICES,
    covers=["virtio.hostile"],
)
def a_queue_outside_memory_harms_nobody(k: Kernel, victim: str, area: str) -> ProbeBody:
    """With one of a queue's areas where there is no RAM the device survives notifications, and a reset restores it."""
    device = Victim(k, victim)
    good = SplitQueueLayout(k.buffer("good", 2 * PAGE, align=PAGE).address, 8)
    areas = {"descriptors": good.descriptors, "driver": good.avail, "device": good.used}
    areas[area] = NOWHERE
    device.negotiate()
    with k.trigger():
        places = areas["descriptors"], areas["driver"], areas["device"]
        device.configure_queue(device.index, places, size=8, name="nowhere")
    common = device.common
    registers = {"descriptors": common.QUEUE_DESC, "driver": common.QUEUE_DRIVER, "device": common.QUEUE_DEVICE}
    where = [register.read(name) for name, register in registers.items()]
    device.start()
    if victim == "receive":
        k.checkpoint("bad frame")
    k.poke(good.avail_index, 1, width=16)
    k.asm(f"mov rdi, [nowhere_doorbell]\nmov word ptr [rdi], {device.index}")
    k.stay_quiet(ms=20)
    fresh = device.again()

    run = yield

    play(run, device)
    device.judge(run, fresh)
    assert [int(run[value]) for value in where] == list(areas.values())


@probe.each(victim=VICTIMS)
@probe(
    spec="VIRTIO 1.2, Notification structure layout; VIRTIO 1.2, Available Buffer Notifications",
    needs=DEVICES,
    covers=["virtio.hostile"],
)
def a_doorbell_of_no_queue_does_nothing(k: Kernel, victim: str) -> ProbeBody:
    """Notifications of queues that do not exist change nothing: the device serves its next request, unreset."""
    device = Victim(k, victim)
    queue = device.begin()
    k.sti()
    for number in (device.queues, 63, 1023):
        k.asm(f"""
            imul rdi, [{device.multiplier.name}], {number}
            add rdi, [{device.notify_base.name}]
            mov word ptr [rdi], {number:#x}
        """)
    k.asm("mov rdi, [queue_doorbell]\nmov word ptr [rdi], 0xFFFF")
    k.stay_quiet()
    status = device.common.DEVICE_STATUS.read("status")
    isr = device.isr.ISR.read("isr")
    k.trigger(device.serve, queue)

    run = yield

    device.judge(run, queue)
    assert (int(run[status]), int(run[isr])) == (0xF, 0)


@probe(
    spec=STATUS,
    needs=DEVICES,
    covers=["virtio.bus-master"],
    deviation=Deviation(targets="*", kind="by design", sees="DRIVER_OK is clear", ref="dma-virtio-bus-master-status"),
)
@probe.each(device=DEVICES)
def bus_master_is_no_part_of_the_device_status(k: Kernel, device: str) -> ProbeBody:
    """Only the driver sets and, by a reset, clears DRIVER_OK: it stays when Bus Master is cleared and set again."""
    victim = VirtioPci(k, device)
    victim.negotiate()
    victim.start()
    before = victim.common.DEVICE_STATUS.read("before")
    victim.function.enable(bus_master=False)
    without = victim.common.DEVICE_STATUS.read("without")
    victim.function.enable()
    after = k.trigger(victim.common.DEVICE_STATUS.read, "after")

    run = yield

    assert int(run[before]) == 0xF
    assert (run[after].ACKNOWLEDGE, run[after].DRIVER, run[after].FEATURES_OK) == (1, 1, 1)
    assert (run[without].DRIVER_OK, run[after].DRIVER_OK) == (1, 1), "DRIVER_OK is clear"
