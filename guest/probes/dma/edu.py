"""DMA on edu: its engine moves blocks between guest memory and a buffer of 4096 bytes in the device."""

from random import Random

from harness import GUARD, Deviation, Kernel, ProbeBody, Window, probe
from harness.devices import EDU_BUFFER_OFFSET, EDU_BUFFER_SIZE, EDU_DMA_INTERRUPT, EduDevice, TransferDirection

VECTOR = 0x72
MS = 400.0  # the engine takes 100 ms

# Without the buffer's last byte, which has its own probe.
MOST = EDU_BUFFER_SIZE - 1
EDU = "QEMU documentation, EDU device, DMA controller"


def pattern(length: int, seed: int = 1) -> bytes:
    """Bytes that no two places of a buffer have in common order."""
    return Random(seed).randbytes(length)


@probe.each(interrupt=["intx", "msi"])
@probe(spec=EDU, needs=["edu"], covers=["edu.round-trip", "edu.completion"])
def a_block_goes_to_the_device_and_comes_back(k: Kernel, interrupt: str) -> ProbeBody:
    """Memory to device, then device to memory elsewhere: the same bytes, one completion interrupt each."""
    data = pattern(MOST)
    source, target = Window.make(k, "source", MOST, content=data), Window.make(k, "target", MOST)
    edu = EduDevice(k)
    if interrupt == "msi":
        edu.enable_msi(VECTOR)
    else:
        k.ioapic.redirect_pci(edu.pin, VECTOR)
    with k.handler(VECTOR):
        cause = edu.INTERRUPT_STATUS.read("cause")
        edu.INTERRUPT_ACKNOWLEDGE.write(EDU_DMA_INTERRUPT)
    k.sti()
    edu.to_device(source.address, MOST)
    k.wait_for(VECTOR, 1, ms=MS)
    k.mark("in the device")
    k.trigger(edu.from_device, target.address, MOST)
    k.wait_for(VECTOR, 2, ms=MS)
    command = edu.DMA_COMMAND.read("command")
    k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR, VECTOR]
    assert run[cause] == EDU_DMA_INTERRUPT
    assert run[command].START == 0
    assert target.read(run) == data
    assert source.read(run) == data


@probe.each(place=[(0, 1), (1, 1), (4095, 1), (4095, 2), (1, 4095), (3, 4090), (2048, 4095)])
@probe(spec=EDU, needs=["edu"], covers=["edu.bounds"])
def nothing_but_the_named_bytes_is_written(k: Kernel, place: tuple[int, int]) -> ProbeBody:
    """A transfer of any size to any alignment, across a page boundary too, writes exactly its bytes."""
    offset, count = place
    data = pattern(MOST, seed=2)
    source = Window.make(k, "source", MOST, content=data)
    target = Window.make(k, "target", count, offset=offset)
    edu = EduDevice(k, vector=VECTOR)
    edu.to_device(source.address, MOST)
    k.wait_for(VECTOR, 1, ms=MS)
    k.trigger(edu.from_device, target.address, count, offset=MOST - count)
    k.wait_for(VECTOR, 2, ms=MS)

    run = yield

    assert target.read(run) == data[MOST - count :]


@probe.each(count=[1, EDU_BUFFER_SIZE])
@probe(
    spec=EDU,
    needs=["edu"],
    covers=["edu.bounds"],
    deviation=Deviation(targets="*", versions="<8.2.1", kind="bug", sees="ended by SIGABRT", ref="dma-edu-last-byte"),
)
def a_transfer_may_end_at_the_buffers_last_byte(k: Kernel, count: int) -> ProbeBody:
    """The buffer has 4096 bytes: a transfer whose last byte is the buffer's last is inside it."""
    data = pattern(count, seed=7)
    source, target = Window.make(k, "source", count, content=data), Window.make(k, "target", count)
    edu = EduDevice(k, vector=VECTOR)
    k.trigger(edu.to_device, source.address, count, offset=EDU_BUFFER_SIZE - count)
    k.wait_for(VECTOR, 1, ms=MS)
    edu.from_device(target.address, count, offset=EDU_BUFFER_SIZE - count)
    k.wait_for(VECTOR, 2, ms=MS)

    run = yield

    assert target.read(run) == data


@probe(
    spec=EDU,
    needs=["edu"],
    covers=["edu.hostile"],
    deviation=(
        Deviation(targets="*", versions="<9.1", kind="bug", sees="ended by SIGABRT", ref="dma-edu-outside"),
        Deviation(
            targets="*",
            versions=">=9.1,<10.0.12 or >=10.1,<11.0.3",
            kind="bug",
            sees="of the monitor's own",
            ref="dma-edu-outside",
        ),
    ),
)
def nothing_outside_the_buffer_can_be_read(k: Kernel) -> ProbeBody:
    """A transfer from beyond the 4096 bytes of the buffer brings nothing but the guest's own; the next one succeeds."""
    data = pattern(64, seed=8)
    source = Window.make(k, "source", 64, content=data)
    outside = Window.make(k, "outside", 16)
    target = Window.make(k, "target", 64)
    edu = EduDevice(k, vector=VECTOR)
    edu.from_device(outside.address, 16, offset=EDU_BUFFER_SIZE, interrupt=False)
    edu.wait_done()
    k.trigger(edu.to_device, source.address, 64)
    k.wait_for(VECTOR, 1, ms=MS)
    edu.from_device(target.address, 64)
    k.wait_for(VECTOR, 2, ms=MS)

    run = yield

    assert target.read(run) == data, "the next transfer failed"
    # Untouched, zeros or all ones: what hardware gives where there is nothing.
    read = outside.read(run)
    assert read in (bytes([byte]) * 16 for byte in (GUARD, 0, 0xFF)), f"bytes of the monitor's own: {read.hex(' ')}"


@probe(spec=EDU, needs=["edu"], covers=["edu.address-mask"])
def addresses_have_28_bits(k: Kernel) -> ProbeBody:
    """The engine drives 28 address bits: bit 28 and above of a guest address are ignored."""
    data = pattern(256, seed=3)
    source, target = Window.make(k, "source", 256, content=data), Window.make(k, "target", 256)
    edu = EduDevice(k, vector=VECTOR)
    edu.to_device(source.address | 0xF000_0000, 256)
    k.wait_for(VECTOR, 1, ms=MS)
    k.trigger(edu.from_device, target.address | 1 << 28, 256)
    k.wait_for(VECTOR, 2, ms=MS)

    run = yield

    assert target.read(run) == data


@probe(spec=EDU, needs=["edu"], covers=["edu.no-interrupt"])
def without_its_enable_bit_completion_is_silent(k: Kernel) -> ProbeBody:
    """Bit 2 of the DMA command clear: the transfer is made and START clears, but no interrupt is raised."""
    data = pattern(64, seed=4)
    source, target = Window.make(k, "source", 64, content=data), Window.make(k, "target", 64)
    edu = EduDevice(k, vector=VECTOR)
    edu.to_device(source.address, 64)
    k.wait_for(VECTOR, 1, ms=MS)
    edu.INTERRUPT_ACKNOWLEDGE.write(EDU_DMA_INTERRUPT)
    k.trigger(edu.from_device, target.address, 64, interrupt=False)
    started = edu.DMA_COMMAND.read("started")
    k.stay_quiet(ms=150)
    ended = edu.DMA_COMMAND.read("ended")
    status = edu.INTERRUPT_STATUS.read("status")

    run = yield

    assert (run[started].START, run[ended].START) == (1, 0)
    assert run[status] == 0
    assert run.vectors == [VECTOR]
    assert target.read(run) == data


@probe(
    spec="PCI Local Bus Specification 3.0, Command Register; QEMU documentation, EDU device, DMA controller",
    needs=["edu"],
    covers=["edu.bus-master"],
)
def without_bus_master_enable_memory_is_untouched(k: Kernel) -> ProbeBody:
    """Bus Master clear: a transfer towards memory writes nothing there; with it set again the next one does."""
    data = pattern(64, seed=5)
    source = Window.make(k, "source", 64, content=data)
    blocked = Window.make(k, "blocked", 64)
    target = Window.make(k, "target", 64)
    edu = EduDevice(k, vector=VECTOR)
    edu.to_device(source.address, 64)
    k.wait_for(VECTOR, 1, ms=MS)
    edu.function.enable(bus_master=False)
    edu.INTERRUPT_ACKNOWLEDGE.write(EDU_DMA_INTERRUPT)
    edu.from_device(blocked.address, 64)
    edu.wait_done()
    status = edu.INTERRUPT_STATUS.read("status")
    edu.function.enable(bus_master=True)
    k.trigger(edu.from_device, target.address, 64)
    k.wait_for(VECTOR, 2, ms=MS)

    run = yield

    assert run[status] == EDU_DMA_INTERRUPT, "the blocked transfer must have been made"
    assert blocked.untouched(run)
    assert target.read(run) == data


@probe(spec=EDU, needs=["edu"], covers=["dma.life-cycle"])
def the_processor_works_while_the_engine_transfers(k: Kernel) -> ProbeBody:
    """Set-up, transfer while the processor counts on, completion interrupt, data: in that order."""
    data = pattern(512, seed=6)
    source, target = Window.make(k, "source", 512, content=data), Window.make(k, "target", 512)
    edu = EduDevice(k, vector=VECTOR)
    edu.to_device(source.address, 512)
    k.wait_for(VECTOR, 1, ms=MS)

    work = k.value("work", 0)
    with k.handler(VECTOR):
        at_interrupt = k.value("at_interrupt", work)
        k.mark("handler")
    k.mark("set-up")
    edu.prepare(source=EDU_BUFFER_OFFSET, destination=target.address, count=512)
    k.mark("start")
    k.trigger(edu.go, TransferDirection.EDU_TO_RAM)
    first_byte = k.peek(target.address, "first_byte", width=8)  # the engine takes its time: not there yet
    k.asm(f"""
        mov rcx, 40000000
    .Lwork:
        inc qword ptr [work]
        dec rcx
        jz .Lend
        cmp dword ptr [COUNTS+{4 * VECTOR}], 2
        jb .Lwork
    .Lend:
    """)
    k.mark("data")

    run = yield

    assert run.sequence == [VECTOR, "set-up", "start", VECTOR, "handler", "data"]
    assert run[first_byte] == GUARD
    assert run[at_interrupt] > 1000
    assert target.read(run) == data
