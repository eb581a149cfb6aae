"""Guests whose honest verdict is fail, each one field away from a pass."""

from harness import Kernel, ProbeBody, probe
from harness.devices import EDU_DMA_INTERRUPT, EduDevice, EntropyDevice

SPEC = "none: this guest tests the harness"


@probe(spec=SPEC)
def lapic_timer_vector(k: Kernel) -> ProbeBody:
    """The timer interrupts at 51h; it was told 50h."""
    k.lapic.LVT_TIMER.write(VECTOR=0x50)
    k.sti()
    k.lapic.INITIAL_COUNT.write(10_000)
    k.wait_for(0x50)
    run = yield
    assert run.vectors == [0x51]


@probe(spec=SPEC)
def lapic_timer_count(k: Kernel) -> ProbeBody:
    """The timer has not expired; it has."""
    k.lapic.LVT_TIMER.write(VECTOR=0x50)
    k.sti()
    k.lapic.INITIAL_COUNT.write(10_000)
    k.wait_for(0x50)
    run = yield
    assert run.lapic.current_count != 0


@probe(spec=SPEC)
def error_status(k: Kernel) -> ProbeBody:
    """The ESR has a bit; it has none."""
    k.lapic.self_ipi(0x40)
    k.sti()
    k.wait_for(0x40)
    run = yield
    assert run.lapic.esr == 0x40


@probe(spec=SPEC, cpus=2)
def ipi_count(k: Kernel) -> ProbeBody:
    """Processor 1 took vector 61h; it took 60h."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("sti\nint 0x60\ncli")
    k.smp.join(1)
    run = yield
    assert run.count(0x61, cpu=1) == 1


@probe(spec=SPEC, cpus=2)
def other_processors_tpr(k: Kernel) -> ProbeBody:
    """Processor 1 has raised its TPR; it has not."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("nop")
    k.smp.join(1)
    run = yield
    assert run.lapic_of(1).tpr == 0x20


@probe(spec=SPEC)
def ioapic_vector(k: Kernel) -> ProbeBody:
    """Pin 16 has vector 53h; it has 52h."""
    k.ioapic.redirect(16, 0x52)
    run = yield
    assert run.ioapic[16].vector == 0x53


@probe(spec=SPEC)
def pic_mask(k: Kernel) -> ProbeBody:
    """IRQ 1 is not masked; it is."""
    k.asm("nop")
    run = yield
    assert run.pic.master.imr == 0xFD


@probe(spec=SPEC, needs=["hpet"])
def hpet_comparator(k: Kernel) -> ProbeBody:
    """Timer 0 compares with 3000h; it compares with 2000h."""
    k.hpet.TIMER[0].COMPARATOR.write(0x2000)
    run = yield
    assert run.hpet.timers[0].comparator == 0x3000


@probe(spec=SPEC)
def pit_status(k: Kernel) -> ProbeBody:
    """Channel 2 is in mode 3; it is in mode 0."""
    k.asm("nop")
    run = yield
    assert run.pit[2].status & 0xE == 6


@probe(spec=SPEC, needs=["virtio-rng"])
def msix_in_service(k: Kernel) -> ProbeBody:
    """The message did not come through the local APIC; it did."""
    rng = EntropyDevice(k, entry=1)
    rng.msix.entry(1, 0x64)
    rng.msix.enable()
    rng.begin()
    k.sti()
    rng.request()
    k.wait_for(0x64, ms=2000)
    run = yield
    assert not run.interrupts[0].in_service


@probe(spec=SPEC)
def error_code(k: Kernel) -> ProbeBody:
    """#GP has error code 101h; it has 100h."""
    with k.faults(13):
        k.asm("mov eax, 0x100\nmov fs, ax")
    run = yield
    assert run.interrupts[0].error_code == 0x101


@probe(spec=SPEC)
def nesting_depth(k: Kernel) -> ProbeBody:
    """The second interrupt came in no handler; it came in that of the first."""
    with k.handler(0x50):
        k.asm("int 0x51")
    k.asm("int 0x50")
    run = yield
    assert [i.depth for i in run.interrupts] == [0, 0]


@probe(spec=SPEC, needs=["edu"])
def dma_content(k: Kernel) -> ProbeBody:
    """The device wrote 56h; it wrote 55h."""
    source, sink = k.buffer("source", 4096, fill=0x55), k.buffer("sink", 4096)
    edu = EduDevice(k)
    k.ioapic.redirect(edu.pin, 0x72, TRIGGER_MODE=1, POLARITY=1)
    with k.handler(0x72):
        edu.INTERRUPT_ACKNOWLEDGE.write(EDU_DMA_INTERRUPT)
    k.sti()
    edu.to_device(source.address, 2048)
    k.wait_for(0x72, 1, ms=400)
    edu.from_device(sink.address, 2048)
    k.wait_for(0x72, 2, ms=400)
    run = yield
    assert run.memory(sink)[0] == 0x56


@probe(spec=SPEC)
def value_read(k: Kernel) -> ProbeBody:
    """The guest read 1235h; it read 1234h."""
    seen = k.value("seen")
    k.store(seen, 0x1234)
    run = yield
    assert run[seen] == 0x1235


@probe(spec=SPEC)
def counter_rate(k: Kernel) -> ProbeBody:
    """The counter has 1000001 ticks a millisecond; it has 1000000."""
    k.asm("nop")
    run = yield
    assert run.tsc_khz == 1_000_001


@probe(spec=SPEC)
def page_fault_address(k: Kernel) -> ProbeBody:
    """CR2 is 1001h; it is 1000h."""
    k.asm("mov eax, 0x1000\nmov cr2, rax")
    run = yield
    assert run.cpus[0].cr2 == 0x1001
