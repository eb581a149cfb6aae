"""The 8259's Interrupt Mask Register, and the 8259 shut out where the local APIC and the IO APIC do the work."""

from harness import Kernel, ProbeBody, probe

INPUTS = [1, *range(3, 16)]


@probe.each(irq=[0, 3, 7, 8, 12, 15])
@probe(spec="Intel 8259A datasheet, Interrupt Mask Register (IMR)", covers=["pic8259.imr"], needs=["pc-testdev"])
def masked_request_waits_in_the_irr(k: Kernel, irq: int) -> ProbeBody:
    """A masked input keeps its request in the IRR and interrupts as soon as OCW1 unmasks it, once."""
    chip = k.pic.chip(irq)
    k.deliver_8259(irq, unmask=False)
    k.sti()
    k.trigger(k.lines.up, irq)
    k.stay_quiet()
    held = k.pic.irr(chip, "held")
    k.mark("unmask")
    k.pic.unmask(irq)
    k.wait_for(k.pic.vector(irq), ms=10, quiet_ms=1)

    run = yield

    assert run[held] == 1 << (irq & 7)
    assert run.sequence == ["unmask", k.pic.vector(irq)]


@probe.each(irq=[1, 3, 6, 8, 11, 15])
@probe(spec="Intel 8259A datasheet, Operation Command Word 1 (OCW1)", covers=["pic8259.imr"], needs=["pc-testdev"])
def mask_bit_concerns_its_own_input_only(k: Kernel, irq: int) -> ProbeBody:
    """With every input but one masked and all of them requesting, only the unmasked one interrupts."""
    k.deliver_8259(*INPUTS, serve=False, unmask=False)
    k.serve_8259(irq)
    k.pic.unmask(irq)
    k.trigger(k.lines.up, *INPUTS)
    k.sti()
    k.wait_for(k.pic.vector(irq), quiet_ms=1)
    master, slave = k.pic.irr(k.pic.MASTER, "master"), k.pic.irr(k.pic.SLAVE, "slave")

    run = yield

    assert run.vectors == [k.pic.vector(irq)]
    served = {1 << irq} if irq < 8 else {1 << irq, 1 << (irq - 8) << 8}
    waiting = sum(1 << other for other in INPUTS) & ~sum(served)
    assert (run[master] & ~0b101) | run[slave] << 8 == waiting & ~0b101


@probe.each(mask=[0x00, 0x01, 0x80, 0x55, 0xAA, 0xFF], chip=["master", "slave"])
@probe(spec="Intel 8259A datasheet, Operation Command Word 1 (OCW1)", covers=["pic8259.imr"])
def imr_reads_back(k: Kernel, mask: int, chip: str) -> ProbeBody:
    """OCW1 writes the whole IMR, and the odd port reads it back, whatever OCW3 selected for the even one."""
    k.prepare_8259()
    port = k.pic.MASTER if chip == "master" else k.pic.SLAVE
    port.OCW1.write(~mask & 0xFF)
    k.trigger(port.OCW1.write, mask)
    k.pic.isr(port)
    after_isr = port.OCW1.read("after_isr")
    k.pic.irr(port)
    after_irr = port.OCW1.read("after_irr")

    run = yield

    assert (run[after_isr], run[after_irr]) == (mask, mask)


@probe.each(closed=["imr", "lint0", "imr_and_lint0"])
@probe(
    spec="Intel MultiProcessor Specification 1.4, Symmetric I/O Mode; Intel 8259A datasheet, Interrupt Mask Register",
    covers=["pic8259.shut-out"],
    needs=["pc-testdev"],
)
def requests_do_not_reach_the_processor(k: Kernel, closed: str) -> ProbeBody:
    """With all inputs masked, or LINT0, or both, no 8259 request reaches the processor, though all are pending."""
    k.prepare_8259(*INPUTS)
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7, MASK=int("lint0" in closed))
    k.serve_8259(*INPUTS)
    if "imr" not in closed:
        k.pic.unmask(*INPUTS)
    k.sti()
    k.trigger(k.lines.up, *INPUTS)
    k.stay_quiet(ms=5)
    k.lapic.self_ipi(0x40)
    k.wait_for(0x40)
    k.cli()

    run = yield

    assert run.vectors == [0x40]  # the local APIC's own interrupt: the processor was open to any
    assert run.pic.master.irr & 0b11111010 == 0b11111010
    assert run.pic.slave.irr == 0xFF
    assert (run.pic.master.isr, run.pic.slave.isr) == (0, 0)
    assert run.lapic.irr == set()


@probe(spec="Intel 8259A datasheet, Cascade Mode", covers=["pic8259.cascade"], needs=["pc-testdev"])
def masked_cascade_input_holds_the_slave_back(k: Kernel) -> ProbeBody:
    """With IR2 masked at the master nothing of the slave comes through; unmasking IR2 delivers what waits there."""
    k.deliver_8259(9, 12, unmask=False)
    k.pic.SLAVE.OCW1.write(0x00)
    k.sti()
    k.trigger(k.lines.up, 12, 9)
    k.stay_quiet()
    held = k.pic.irr(k.pic.SLAVE, "held")
    k.mark("unmask")
    k.pic.MASTER.OCW1.write(0xFF & ~(1 << 2))
    k.wait_for(k.pic.vector(12))

    run = yield

    assert run[held] == 1 << 1 | 1 << 4
    assert run.sequence == ["unmask", k.pic.vector(9), k.pic.vector(12)]
