"""The short forms of the builder: each adds the same steps as the lines that it stands for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.devices import (
    BlockOperation,
    BlockRequest,
    E1000eCard,
    EduDevice,
    NvmeController,
    SplitQueue,
    VirtioDisk,
    VirtioPci,
)
from harness.hardware.lapic import VectorBits
from harness.hardware.lapic_lvt import DivideValue
from harness.hardware.platform import PLATFORMS
from harness.hardware.register import FieldError
from harness.kernel.builder import Kernel
from harness.kernel.program import Buffer, Program, ProgramError
from harness.kernel.window import GUARD, Window

HERE = "tests/unit/kernel/test_verbs.py"


def builder() -> Kernel:
    return Kernel(Program("test"), PLATFORMS["q35"], cpus=2)


def written(write: Callable[[Kernel], object]) -> tuple[list[tuple[str, bool, bool]], list[str]]:
    """The steps (text, trigger, waits) and the source that a function adds to a fresh program."""
    k = builder()
    write(k)
    source = [line.text for line in k.program.source()]
    return [(step.what, step.trigger, step.waits) for step in k.program.steps], source


def trigger_block(k: Kernel) -> None:
    with k.trigger():
        k.lines.up(5)


def handler_block(k: Kernel) -> None:
    with k.handler(0x50):
        k.lines.down(5)


def held(k: Kernel) -> None:
    for vector in (0x50, 0x61):
        with k.handler(vector, eoi=False):
            pass


def stored(k: Kernel) -> None:
    k.store(k.value("seen"), 7)


def waits_and_stays(k: Kernel) -> None:
    k.wait_for(0x50, 2, ms=5)
    k.stay_quiet(3)


def three_lines(k: Kernel) -> None:
    for irq in (3, 5, 7):
        k.lines.up(irq)
    k.lines.down(3)
    k.lines.down(5)


def short_lines(k: Kernel) -> None:
    k.lines.up(3, 5, 7)
    k.lines.down(3, 5)


def armed(k: Kernel) -> None:
    k.hpet.arm(1000, timer=1, start=5, INT_TYPE=1)


def hpet_lines(k: Kernel) -> None:
    k.hpet.CONFIG.write(ENABLE=0)
    k.hpet.MAIN_COUNTER.write(5)
    k.hpet.TIMER[1].CONFIG.write(ROUTE=k.hpet.pin, INT_ENABLE=1, INT_TYPE=1)
    k.hpet.TIMER[1].COMPARATOR.write(1000)


def timer_lines(k: Kernel) -> None:
    k.lapic.DIVIDE_CONFIGURATION.write(DIVIDE_VALUE=DivideValue.by(4))
    k.lapic.LVT_TIMER.write(VECTOR=0x61, TIMER_MODE=1)
    k.lapic.INITIAL_COUNT.write(100)


def pci_lines(k: Kernel) -> None:
    k.ioapic.redirect(19, 0x61, TRIGGER_MODE=1, POLARITY=1)


def msix_lines(k: Kernel) -> None:
    msix = k.pci.device("virtio-rng").msix()
    msix.entry(1, 0x50)
    msix.enable()


def virtio_lines(k: Kernel) -> None:
    msix = VirtioPci(k, "virtio-rng").function.msix()
    msix.entry(1, 0x50)
    msix.enable()


def nvme_lines(k: Kernel) -> None:
    nvme = NvmeController(k, start=False)
    nvme.msix.entry(0, 0x50)
    nvme.msix.entry(1, 0x51)
    nvme.msix.enable()
    nvme.begin()


def edu_lines(k: Kernel) -> None:
    EduDevice(k).enable_msi(0x50)
    k.sti()


def listening_block(k: Kernel) -> None:
    with k.smp.listening():
        k.lapic.self_ipi(0x50)


def listening_lines(k: Kernel) -> None:
    k.smp.listen()
    k.sti()
    k.lapic.self_ipi(0x50)
    k.smp.hush()


def requested(k: Kernel) -> None:
    disk = VirtioDisk(k, vector=0x50)
    operation = disk.request("read", BlockRequest.IN, 3, [Window.make(k, "data", 512)], first=4)
    disk.queue.submit(operation.head)


def request_lines(k: Kernel) -> None:
    disk = VirtioDisk(k, vector=0x50)
    operation = BlockOperation.make(k, "read", BlockRequest.IN, 3, [Window.make(k, "data", 512)])
    disk.queue.submit(disk.queue.chain(operation.parts, first=4))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (lambda k: k.trigger(k.lines.up, 5), trigger_block),
        (lambda k: k.handler(0x50).do(k.lines.down, 5), handler_block),
        (lambda k: k.hold(0x50, 0x61), held),
        (lambda k: k.value("seen", 7), stored),
        (lambda k: k.wait_for(0x50, 2, ms=5, quiet_ms=3), waits_and_stays),
        (short_lines, three_lines),
        (lambda k: k.lapic.eoi(), lambda k: k.lapic.EOI.write(0)),
        (lambda k: k.value("seen", k.lapic.TPR), lambda k: k.store(k.value("seen"), k.lapic.TPR)),
        (lambda k: k.values("a", "b", initial=3), lambda k: (k.value("a", 3), k.value("b", 3))),
        (lambda k: k.read_tsc("now"), lambda k: k.read_tsc(k.value("now"))),
        (lambda k: k.pit.latch_count(2, "now"), lambda k: k.pit.latch_count(2, k.value("now"))),
        (lambda k: k.pit.speaker.out("now"), lambda k: k.pit.speaker.out(k.value("now"))),
        (armed, hpet_lines),
        (lambda k: k.lapic.start_timer(0x61, 100, divisor=4, TIMER_MODE=1), timer_lines),
        (lambda k: k.ioapic.redirect_pci(19, 0x61), pci_lines),
        (lambda k: k.pic.level(3, 12), lambda k: (k.pic.MASTER.ELCR.write(8), k.pic.SLAVE.ELCR.write(0x10))),
        (lambda k: k.pci.device("virtio-rng").msix().enable({1: 0x50}), msix_lines),
        (lambda k: VirtioPci(k, "virtio-rng", vectors={1: 0x50}), virtio_lines),
        (lambda k: NvmeController(k, vectors=(0x50, 0x51)), nvme_lines),
        (lambda k: EduDevice(k, vector=0x50), edu_lines),
        (listening_block, listening_lines),
        (requested, request_lines),
    ],
    ids=[
        *("trigger", "do", "hold", "value", "quiet_ms", "lines", "eoi", "value_of_a_register", "values", "read_tsc"),
        *(
            "latch_count",
            "out",
            "hpet",
            "timer",
            "pci",
            "elcr",
            "msix",
            "virtio",
            "nvme",
            "edu",
            "listening",
            "request",
        ),
    ],
)
def test_a_short_form_adds_the_steps_of_its_long_form(
    short: Callable[[Kernel], object], long: Callable[[Kernel], object]
) -> None:
    assert written(short) == written(long)


def test_trigger_and_do_return_what_the_call_returns() -> None:
    k = builder()
    count = k.trigger(k.lapic.CURRENT_COUNT.read, "count")
    seen = k.handler(0x50).do(k.value, "seen", 1)
    assert (count.name, seen.name) == ("count", "seen")


def test_only_the_call_of_a_trigger_is_the_trigger() -> None:
    k = builder()
    k.trigger(k.lines.up, 5)
    k.sti()
    assert [step.trigger for step in k.program.steps] == [True, False]


def test_a_trigger_is_over_when_its_call_raises() -> None:
    k = builder()
    with pytest.raises(FieldError):
        k.trigger(k.lapic.INITIAL_COUNT.write, 1 << 32)
    k.sti()
    assert [step.trigger for step in k.program.steps] == [False]


def test_a_value_without_a_first_number_is_not_written() -> None:
    k = builder()
    k.value("seen")
    assert k.program.steps == []


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda k: k.trigger(k.lines.up, 16), "ISA interrupt 16"),
        (lambda k: k.handler(0x50).do(k.lines.up, 16), "ISA interrupt 16"),
        (lambda k: k.hold(256), "the vector is 0x100"),
        (lambda k: k.value("seen", -1), "the number"),
        (lambda k: k.wait_for(0x50, quiet_ms=-1), "ms=-1"),
    ],
    ids=["trigger", "do", "hold", "value", "quiet_ms"],
)
def test_an_error_names_the_line_of_the_probe(write: Callable[[Kernel], object], text: str) -> None:
    with pytest.raises(ProgramError, match=rf"^{HERE}:\d+: .*{text}"):
        write(builder())


def test_a_call_in_place_of_a_function_is_an_error_at_its_line() -> None:
    k = builder()
    k.trigger(k.lines.up(5))  # type: ignore[func-returns-value, call-overload]
    with pytest.raises(ProgramError, match=rf"^{HERE}:\d+: trigger\(…\) opens a block.*never entered"):
        k.program.finish()


def set_up_8259(k: Kernel) -> None:
    k.pit.silence()
    k.lines.down(3, 12)
    k.pic.initialize(base=0x50, slave_base=0x70, AEOI=1)
    k.lapic.virtual_wire()
    for vector, irq in ((0x53, 3), (0x74, 12)):
        with k.handler(vector):
            k.pic.eoi(irq)
    k.pic.unmask(3, 12)


def test_the_8259_is_set_up_in_one_step() -> None:
    assert written(lambda k: k.deliver_8259(3, 12, AEOI=1)) == written(set_up_8259)


def test_an_8259_input_may_stay_masked_and_without_a_handler() -> None:
    steps, _ = written(lambda k: k.deliver_8259(3, serve=False, unmask=False))
    assert not [what for what, _, _ in steps if "handler" in what]
    assert steps[-1][0].startswith("write lapic.LVT_LINT0")


def test_the_vector_of_an_8259_input_is_that_of_the_last_initialisation() -> None:
    k = builder()
    assert [k.pic.vector(irq) for irq in (0, 7, 8, 15)] == [0x20, 0x27, 0x28, 0x2F]
    k.pic.initialize(base=0x50, slave_base=0x70)
    assert [k.pic.vector(irq) for irq in (0, 7, 8, 15)] == [0x50, 0x57, 0x70, 0x77]
    k.pic.initialize(base=0x55, slave_base=0x7F)  # ICW2's low 3 bits do not count
    assert [k.pic.vector(irq) for irq in (3, 12)] == [0x53, 0x7C]
    assert (k.pic.chip(7), k.pic.chip(8)) == (k.pic.MASTER, k.pic.SLAVE)


class Memory:
    """A run whose buffers have these bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def memory(self, _where: Buffer, /) -> bytes:
        return self.content


def test_a_window_reads_its_bytes_and_refuses_a_byte_outside() -> None:
    window = Window.make(builder(), "data", 16, offset=8)
    guard = bytearray([GUARD]) * window.buffer.size
    assert window.untouched(Memory(bytes(guard)))
    guard[window.offset : window.offset + 16] = bytes(range(16))
    assert window.read(Memory(bytes(guard))) == bytes(range(16))
    assert not window.untouched(Memory(bytes(guard)))
    guard[window.offset + 17] = 0
    with pytest.raises(AssertionError, match=r"data: 1 bytes outside the window's 16.*offset 17"):
        window.read(Memory(bytes(guard)))


def test_submit_is_offer_and_notify() -> None:
    def queue(k: Kernel) -> SplitQueue:
        return SplitQueue(VirtioPci(k, "virtio-rng"), 0)

    def both(k: Kernel) -> None:
        two = queue(k)
        two.offer(0, 3)
        two.notify()

    assert written(lambda k: queue(k).submit(0, 3)) == written(both)


def test_completions_are_the_used_rings_elements() -> None:
    queue = SplitQueue(VirtioPci(builder(), "virtio-rng"), 0)
    memory = bytearray(queue.buffer.size)
    at = queue.layout.used - queue.buffer.address
    memory[at + 2] = 1
    memory[at + 4 : at + 12] = (5).to_bytes(4, "little") + (512).to_bytes(4, "little")
    assert queue.completions(Memory(bytes(memory))) == ((5, 512),)


def test_the_completions_of_nvme_are_all_entries_of_the_queue() -> None:
    queue = NvmeController(builder()).queue(1, 4)
    memory = bytearray(queue.completion.size)
    memory[16 + 12 : 16 + 14] = (0x55).to_bytes(2, "little")
    assert [entry.CID for entry in queue.completions(Memory(bytes(memory)))] == [0, 0x55, 0, 0]


def test_the_descriptors_that_a_card_received_are_its_ring() -> None:
    k = builder()
    card = E1000eCard(k)
    card.receive([Window.make(k, "data", 2048)])
    memory = bytearray(card.receive_ring.size)
    memory[8:10] = (60).to_bytes(2, "little")
    memory[12] = 3
    first, *rest = card.received(Memory(bytes(memory)))
    assert (first.LENGTH, first.DD, first.EOP) == (60, 1, 1)
    assert (len(rest), set(rest)) == (7, {0})


def test_the_status_of_a_request_is_read_with_its_guard_bytes() -> None:
    k = builder()
    operation = BlockOperation.make(k, "read", BlockRequest.IN)
    memory = bytearray([GUARD]) * operation.status.buffer.size
    memory[operation.status.offset] = 1
    assert operation.result(Memory(bytes(memory))) == 1
    memory[operation.status.offset + 1] = 1
    with pytest.raises(AssertionError, match="outside the window"):
        operation.result(Memory(bytes(memory)))


@pytest.mark.parametrize(("vector", "contained"), [(0x45, True), (0x65, True), (0x44, False), (0x46, False)])
def test_a_slice_of_the_irr_contains_the_vectors_of_its_bits(vector: int, contained: bool) -> None:
    assert (vector in VectorBits(1 << 5)) is contained


@pytest.mark.parametrize(("deterministic", "us", "ms"), [(True, 20, 2.0), (False, 500, 50)])
def test_waits_may_be_longer_in_real_time(deterministic: bool, us: int, ms: float) -> None:
    k = Kernel(Program("test"), PLATFORMS["q35"], deterministic=deterministic)
    k.delay(us=20, real_us=500)
    k.stay_quiet(ms=2.0, real_ms=50)
    assert [step.what for step in k.program.steps] == [f"delay {us} µs", f"stay quiet {ms} ms"]


def test_passes_are_counted_in_steps_that_vacuity_can_remove() -> None:
    def passes(k: Kernel) -> None:
        with k.first_time():
            k.sti()
        with k.from_time(3):
            k.cli()

    steps, source = written(passes)
    names = ["count the pass", "the first time only", "sti", "count the pass", "from time 3 on", "cli"]
    assert [what for what, _, _ in steps] == names
    assert [line for line in source if line.startswith("j")] == ["jne behind_2", "jb behind_4"]


def test_by_clock_chooses_by_the_clock_of_the_target() -> None:
    real = Kernel(Program("test"), PLATFORMS["q35"], deterministic=False)

    assert (builder().by_clock(3, 40), real.by_clock(3, 40)) == (3, 40)
    assert real.by_clock(3) >= 10**9, "without a second number there is no bound in real time"
