"""The 8259's modes and masks, LINT0, and PIRQ routes, written while a line is high or its interrupt is in service."""

from harness import DeliveryMode, Deviation, Kernel, ProbeBody, probe
from harness.devices import EduDevice

MASTER, SLAVE = 0x48, 0x98
CAUSE = 0x10
ELCR = "Intel 82371AB (PIIX4) datasheet, ELCR1, ELCR2; Intel 8259A datasheet, Edge and Level Triggered Modes"
MASK = "Intel 8259A datasheet, Interrupt Mask Register (IMR)"


def begin(k: Kernel, irq: int) -> int:
    """Input `irq` level-triggered and delivered; each arrival stays in service. Returns its vector."""
    k.deliver_8259(irq, base=MASTER, slave_base=SLAVE, serve=False)
    k.pic.level(irq)
    k.hold(k.pic.vector(irq))
    k.sti()
    return k.pic.vector(irq)


@probe.each(irq=[6, 11])
@probe(
    spec=ELCR,
    covers=["pic8259.elcr-edge-in-service"],
    needs=["pc-testdev"],
    deviation=Deviation(targets="*", kind="bug", sees="came, 'edge' was expected", ref="pic8259-edge-stale"),
)
def an_input_becomes_edge_in_service(k: Kernel, irq: int) -> ProbeBody:
    """The ELCR makes an input edge-triggered while its level interrupt is in service: the high line repeats nothing."""
    vector = begin(k, irq)
    k.lines.up(irq)
    k.wait_for(vector)
    k.trigger(k.pic.level)
    k.pic.eoi(irq)
    k.stay_quiet()
    k.mark("edge")
    k.lines.down(irq)
    k.lines.up(irq)
    k.wait_for(vector, 2, quiet_ms=1)

    run = yield

    assert run.sequence == [vector, "edge", vector]


@probe.each(irq=[6, 11])
@probe(spec=f"{MASK}; {ELCR}", covers=["pic8259.mask-in-service"], needs=["pc-testdev"])
def an_input_is_masked_in_service(k: Kernel, irq: int) -> ProbeBody:
    """A level input masked in service stays in service and does not repeat after its EOI. Unmasked, it does."""
    vector = begin(k, irq)
    k.lines.up(irq)
    k.wait_for(vector)
    k.trigger(k.pic.chip(irq).OCW1.write, 0xFF)
    serving = k.pic.isr(k.pic.chip(irq), "serving")
    k.pic.eoi(irq)
    k.stay_quiet()
    waiting = k.pic.irr(k.pic.chip(irq), "waiting")
    k.mark("unmask")
    k.pic.unmask(irq)
    k.wait_for(vector, 2)
    k.lines.down(irq)
    k.pic.eoi(irq)
    k.stay_quiet()

    run = yield

    assert (run[serving], run[waiting]) == (1 << irq % 8, 1 << irq % 8)
    assert run.sequence == [vector, "unmask", vector]


@probe.each(irq=[6, 11])
@probe(
    spec="SDM vol. 3A, Local Vector Table: Delivery Mode (ExtINT), Mask",
    covers=["pic8259.lint0-asserted"],
    needs=["pc-testdev"],
)
def lint0_is_unmasked_while_intr_is_high(k: Kernel, irq: int) -> ProbeBody:
    """INTR is high already when LINT0 is unmasked as ExtINT: the 8259's interrupt comes, and not before."""
    k.prepare_8259(irq, base=MASTER, slave_base=SLAVE)
    k.serve_8259(irq)
    k.pic.unmask(irq)
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=DeliveryMode.EXTINT, MASK=1)
    k.sti()
    k.lines.up(irq)
    k.stay_quiet()
    k.mark("unmask")
    k.trigger(k.lapic.virtual_wire)
    k.wait_for(k.pic.vector(irq), quiet_ms=1)

    run = yield

    assert run.sequence == ["unmask", k.pic.vector(irq)]


@probe(
    spec="SDM vol. 3A, Local Vector Table: Delivery Mode (ExtINT), Mask",
    covers=["pic8259.lint0-asserted"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*-tcg*", kind="bug", sees=r"unexpected #GP\(0xf+(f2|fa)\)", ref="pic8259-lint0-masked-late"
    ),
)
def lint0_is_masked_while_intr_is_high(k: Kernel) -> ProbeBody:
    """INTR went high while IF was clear, and LINT0 is masked before STI: nothing comes until it is unmasked."""
    k.deliver_8259(6, base=MASTER, slave_base=SLAVE)
    k.cli()
    k.lines.up(6)
    k.settle()
    k.trigger(k.lapic.LVT_LINT0.write, DELIVERY_MODE=DeliveryMode.EXTINT, MASK=1)
    k.sti()
    k.stay_quiet()
    k.mark("unmask")
    k.lapic.virtual_wire()
    k.wait_for(k.pic.vector(6), quiet_ms=1)

    run = yield

    assert run.sequence == ["unmask", k.pic.vector(6)]


@probe(
    spec="Intel 82371SB (PIIX3), PIRQx Route Control Registers; Intel I/O Controller Hub 9, PIRQ[n]_ROUT",
    needs=["edu"],
    covers=["pci.pirq-moved"],
    deviation=Deviation(targets="q35-*", kind="bug", sees=r"BITS=0x8> == \(1 << 2\)", ref="pci-pirq-moved"),
)
def a_route_moves_while_its_line_is_asserted(k: Kernel) -> ProbeBody:
    """A PIRQ is routed to another 8259 input while INTx# is asserted: the request leaves one and reaches the other."""
    edu = EduDevice(k)
    k.pci.pirq_route(edu.function).write(11)
    k.pic.initialize(base=MASTER, slave_base=SLAVE)
    k.pic.level(10, 11)
    edu.INTERRUPT_RAISE.write(CAUSE)
    before = k.pic.irr(k.pic.SLAVE, "before")
    k.trigger(k.pci.pirq_route(edu.function).write, 10)
    after = k.pic.irr(k.pic.SLAVE, "after")
    k.pci.pirq_route(edu.function).write(11)
    edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
    gone = k.pic.irr(k.pic.SLAVE, "gone")

    run = yield

    assert run[before] == 1 << 3
    assert run[after] == 1 << 2
    assert run[gone] == 0
