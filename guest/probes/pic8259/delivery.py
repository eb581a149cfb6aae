"""The 8259 pair initialised, and its requests delivered through the local APIC in virtual wire mode."""

from harness import Deviation, Kernel, ProbeBody, probe

MASTER, SLAVE = 0x50, 0x70  # vector bases: apart, so that each chip's own ICW2 shows
ICWS = "Intel 8259A datasheet, Initialization Command Words 1 and 2 (ICW1, ICW2)"
INPUTS = [0, 1, *range(3, 16)]  # all but the cascade input


@probe.each(irq=INPUTS)
@probe(
    spec="Intel 8259A datasheet, Initialization Command Words; SDM vol. 3A, Local Vector Table (ExtINT)",
    covers=["pic8259.delivery"],
    needs=["pc-testdev"],
)
def each_input_arrives_at_its_vector(k: Kernel, irq: int) -> ProbeBody:
    """Interrupt request n arrives at its chip's vector base plus n mod 8, those of the slave by way of IR2."""
    k.deliver_8259(irq)
    k.sti()
    k.trigger(k.lines.up, irq)
    k.wait_for(k.pic.vector(irq), ms=10, quiet_ms=1)

    run = yield

    assert run.vectors == [k.pic.vector(irq)]
    assert not run.interrupts[0].in_service  # ExtINT leaves no trace in the local APIC's ISR
    assert (run.pic.master.isr, run.pic.slave.isr) == (0, 0)


@probe.each(low=range(1, 8), chip=["master", "slave"])
@probe(spec=ICWS, covers=["pic8259.base-low-bits"], needs=["pc-testdev"])
def low_bits_of_the_base_are_ignored(k: Kernel, low: int, chip: str) -> ProbeBody:
    """In 8086 mode the low 3 bits of ICW2 do not count: the 8259A inserts the input's number there."""
    irq = 3 if chip == "master" else 12
    k.deliver_8259(irq, base=MASTER | low, slave_base=SLAVE | low)
    k.sti()
    k.trigger(k.lines.up, irq)
    k.wait_for(k.pic.vector(irq))

    run = yield

    assert run.vectors == [k.pic.vector(irq)]


@probe.each(base=[0x20, 0x80, 0xF8])
@probe(spec=ICWS, covers=["pic8259.delivery"], needs=["pc-testdev"])
def every_base_bit_counts(k: Kernel, base: int) -> ProbeBody:
    """Bits 7:3 of the vector are those of ICW2, up to vector FFh."""
    k.deliver_8259(3, 7, base=base, slave_base=0x60)
    k.sti()
    k.trigger(k.lines.up, 3)
    k.wait_for(base + 3)
    k.trigger(k.lines.up, 7)
    k.wait_for(base + 7)

    run = yield

    assert run.vectors == [base + 3, base + 7]


@probe.each(irq=[3, 7, 12, 15])
@probe(spec="Intel 8259A datasheet, Interrupt Sequence", covers=["pic8259.irr-isr"], needs=["pc-testdev"])
def request_goes_from_irr_to_isr_to_nothing(k: Kernel, irq: int) -> ProbeBody:
    """A request sets its IRR bit; INTA moves it to the ISR; the end of interrupt clears it there."""
    chip, bit = k.pic.chip(irq), 1 << (irq & 7)
    k.deliver_8259(irq, serve=False, unmask=False)
    with k.handler(k.pic.vector(irq)):
        irr_acknowledged = k.pic.irr(chip, "irr_acknowledged")
        isr_acknowledged = k.pic.isr(chip, "isr_acknowledged")
        cascade = k.pic.isr(k.pic.MASTER, "cascade")
        k.pic.eoi(irq)
        isr_ended = k.pic.isr(chip, "isr_ended")
    k.pic.unmask(irq)
    k.trigger(k.lines.up, irq)
    irr_requested = k.pic.irr(chip, "irr_requested")
    isr_requested = k.pic.isr(chip, "isr_requested")
    k.sti()
    k.wait_for(k.pic.vector(irq))

    run = yield

    assert (run[irr_requested], run[isr_requested]) == (bit, 0)
    assert (run[irr_acknowledged], run[isr_acknowledged]) == (0, bit)
    assert run[cascade] == (bit if irq < 8 else 1 << 2)
    assert run[isr_ended] == 0


@probe(
    spec="Intel 8259A datasheet, Interrupt Sequence; SDM vol. 3A, Maskable Hardware Interrupts",
    covers=["pic8259.if"],
    needs=["pc-testdev"],
)
def request_waits_for_if(k: Kernel) -> ProbeBody:
    """With RFLAGS.IF clear a request stays in the IRR; STI lets it in, once."""
    k.deliver_8259(5)
    k.cli()
    k.trigger(k.lines.up, 5)
    k.stay_quiet()
    held = k.pic.irr(k.pic.MASTER, "held")
    k.mark("sti")
    k.sti()
    k.wait_for(MASTER + 5, quiet_ms=1)

    run = yield

    assert run[held] == 1 << 5
    assert run.sequence == ["sti", MASTER + 5]


@probe(
    spec="SDM vol. 2A, HLT—Halt; Intel 8259A datasheet, Interrupt Sequence",
    covers=["pic8259.delivery"],
    needs=["pc-testdev"],
)
def request_wakes_hlt(k: Kernel) -> ProbeBody:
    """An ExtINT that is pending when the processor halts wakes it, and the saved RIP is the one after HLT."""
    k.deliver_8259(5)
    k.cli()
    k.trigger(k.lines.up, 5)
    k.asm("sti\nhlt\nafter_halt: nop")

    run = yield

    assert run.fields("vector", "rip") == [(MASTER + 5, run.address("after_halt"))]


@probe.each(irq=[7, 12], lint0=["masked", "extint"])
@probe(
    spec="SDM vol. 3A, Enabling or Disabling the Local APIC; SDM vol. 3A, Local and I/O APICs (INTR pin)",
    covers=["pic8259.apic-disabled"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*-tcg*",
        cases="*-masked",
        versions="<9",
        kind="bug",
        sees=r"assert \[\] == \[0x(57|74)\]",
        ref="pic8259-intr-behind-a-disabled-apic",
    ),
)
def without_local_apic_intr_goes_to_the_processor(k: Kernel, irq: int, lint0: str) -> ProbeBody:
    """With IA32_APIC_BASE.EN clear LINT0 is the INTR pin, whatever the LVT held before."""
    k.prepare_8259(irq)
    k.serve_8259(irq)
    k.lapic.LVT_LINT0.write(MASK=int(lint0 == "masked"), DELIVERY_MODE=7)
    k.msr.APIC_BASE.update(EN=0)
    base = k.msr.APIC_BASE.read("base")
    k.pic.unmask(irq)
    k.trigger(k.lines.up, irq)
    requested = k.pic.irr(k.pic.MASTER, "requested")
    k.sti()
    k.settle()
    k.stay_quiet()

    run = yield

    assert run[base].EN == 0
    assert run[requested] == (1 << 7 if irq == 7 else 1 << 2), "the request was never raised"
    assert run.vectors == [k.pic.vector(irq)]
    assert run.frozen.pic.master.isr == 0
