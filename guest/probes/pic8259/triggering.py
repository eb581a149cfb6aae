"""Edge and level: the 8259's inputs as the ELCR sets them."""

from harness import Deviation, Kernel, ProbeBody, probe

MASTER, SLAVE = 0x50, 0x70
MODES = "Intel 8259A datasheet, Edge and Level Triggered Modes"
LEVEL_CAPABLE = [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15]


def prepare(k: Kernel, irq: int, *, level: bool) -> None:
    """Line low, both chips initialised, the input edge or level by the ELCR, unmasked; virtual wire."""
    k.deliver_8259(irq, serve=False, unmask=False)
    k.pic.level(*[irq] * level)
    k.pic.unmask(irq)


@probe.each(irq=LEVEL_CAPABLE)
@probe(spec=MODES, covers=["pic8259.edge"], needs=["pc-testdev"])
def held_edge_interrupts_once(k: Kernel, irq: int) -> ProbeBody:
    """In edge mode a line that stays high interrupts once; only a low and a new rising edge request again."""
    prepare(k, irq, level=False)
    k.serve_8259(irq)
    k.sti()
    k.trigger(k.lines.up, irq)
    k.wait_for(k.pic.vector(irq), quiet_ms=1)
    k.mark("new edge")
    k.lines.down(irq)
    k.lines.up(irq)
    k.wait_for(k.pic.vector(irq), count=2, quiet_ms=1)

    run = yield

    assert run.sequence == [k.pic.vector(irq), "new edge", k.pic.vector(irq)]


@probe.each(irq=LEVEL_CAPABLE)
@probe(spec=f"{MODES}; PIIX4 datasheet, ELCR1, ELCR2", covers=["pic8259.level"], needs=["pc-testdev"])
def level_repeats_until_the_line_drops(k: Kernel, irq: int) -> ProbeBody:
    """In level mode a line that stays high interrupts again after each EOI, until it drops."""
    prepare(k, irq, level=True)
    vector = k.pic.vector(irq)
    with k.handler(vector):
        k.from_time(3).do(k.lines.down, irq)
        k.pic.eoi(irq)
    k.sti()
    k.trigger(k.lines.up, irq)
    k.wait_for(vector, count=3, quiet_ms=1)
    irr = k.pic.irr(k.pic.chip(irq), "irr")
    k.pic.level()

    run = yield

    assert run.vectors == [vector] * 3
    assert {interrupt.depth for interrupt in run.interrupts} == {0}
    assert run[irr] >> (irq & 7) & 1 == 0


@probe.each(irq=[5, 12])
@probe(spec=MODES, covers=["pic8259.level"], needs=["pc-testdev"])
def level_request_follows_the_line(k: Kernel, irq: int) -> ProbeBody:
    """In level mode the IRR bit of a masked input is the line: set while it is high, clear as soon as it drops."""
    prepare(k, irq, level=True)
    chip = k.pic.chip(irq)
    chip.OCW1.write(0xFF)
    k.trigger(k.lines.up, irq)
    high = k.pic.irr(chip, "high")
    k.lines.down(irq)
    low = k.pic.irr(chip, "low")
    k.sti()
    k.pic.unmask(irq)
    k.stay_quiet()
    k.pic.level()

    run = yield

    assert (run[high], run[low]) == (1 << (irq & 7), 0)
    assert run.vectors == []


@probe(spec="Intel 82371AB (PIIX4) datasheet, ELCR1, ELCR2—Edge/Level Control Registers", covers=["pic8259.elcr"])
def elcr_keeps_the_system_inputs_edge(k: Kernel) -> ProbeBody:
    """The ELCR bits of IRQ 0, 1, 2, 8 and 13 read 0 whatever is written; all the others can be set."""
    k.pic.initialize()
    with k.trigger():
        k.pic.MASTER.ELCR.write(0xFF)
        k.pic.SLAVE.ELCR.write(0xFF)
    master, slave = k.pic.MASTER.ELCR.read("master"), k.pic.SLAVE.ELCR.read("slave")
    k.pic.level()
    cleared = k.pic.MASTER.ELCR.read("cleared")

    run = yield

    assert (run[master], run[slave]) == (0b1111_1000, 0b1101_1110)
    assert run[cleared] == 0


@probe.each(irq=[5, 12])
@probe(
    spec=f"{MODES} (IR must stay high until the first INTA)",
    covers=["pic8259.spurious"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*", kind="bug", sees=[r"BITS=0x(20|10)> == 0", r"\[0x(55|74)\] in \("], ref="pic8259-withdrawn-edge"
    ),
)
def withdrawn_edge_is_no_request(k: Kernel, irq: int) -> ProbeBody:
    """An edge whose line drops before INTA is lost: at most the default IR7 comes, with no ISR bit."""
    prepare(k, irq, level=False)
    chip = k.pic.chip(irq)
    k.cli()
    k.trigger(k.lines.up, irq)
    high = k.pic.irr(chip, "high")
    k.lines.down(irq)
    low = k.pic.irr(chip, "low")
    k.sti()
    k.stay_quiet()
    isr = k.pic.isr(chip, "isr")

    run = yield

    assert run[high] == 1 << (irq & 7)
    assert run[low] == 0
    assert run.vectors in ([], [MASTER + 7], [SLAVE + 7])
    assert run[isr] == 0


@probe.each(irq=[5, 12])
@probe(spec=f"{MODES} (default IR7)", covers=["pic8259.spurious"], needs=["pc-testdev"])
def withdrawn_level_is_spurious_at_most(k: Kernel, irq: int) -> ProbeBody:
    """A level that drops before INTA brings nothing, or the default IR7, which sets no ISR bit."""
    prepare(k, irq, level=True)
    chip = k.pic.chip(irq)
    k.cli()
    k.trigger(k.lines.up, irq)
    high = k.pic.irr(chip, "high")
    k.lines.down(irq)
    k.sti()
    k.stay_quiet()
    isr, master = k.pic.isr(chip, "isr"), k.pic.isr(k.pic.MASTER, "master")
    k.pic.level()

    run = yield

    assert run[high] == 1 << (irq & 7)
    assert run.vectors in ([], [MASTER + 7], [SLAVE + 7])
    assert run[isr] == 0
    assert run[master] == (1 << 2 if run.vectors == [SLAVE + 7] else 0)


@probe.each(irq=[5, 12])
@probe(
    spec="Intel 8259A datasheet, Interrupt Mask Register (IMR); Edge and Level Triggered Modes (default IR7)",
    covers=["pic8259.spurious"],
    needs=["pc-testdev"],
)
def request_masked_before_inta(k: Kernel, irq: int) -> ProbeBody:
    """A request masked before INTA brings nothing or a spurious interrupt: no ISR bit at its chip; unmasked, it comes.

    A spurious interrupt of the slave (IR7 there) leaves IR2 in service at the master, which needs the EOI.
    """
    prepare(k, irq, level=False)
    chip = k.pic.chip(irq)
    k.cli()
    k.trigger(k.lines.up, irq)
    chip.OCW1.write(0xFF)
    requested = k.pic.irr(chip, "requested")
    k.sti()
    k.stay_quiet()
    isr, master = k.pic.isr(chip, "isr"), k.pic.isr(k.pic.MASTER, "master")
    k.pic.MASTER.OCW2.write(0x20)
    k.mark("unmasked")
    k.pic.unmask(irq)
    k.wait_for(k.pic.vector(irq))

    run = yield

    order = run.sequence
    assert run[requested] == 1 << (irq & 7)
    assert order[-2:] == ["unmasked", k.pic.vector(irq)]
    assert order[:-2] in ([], [MASTER + 7], [SLAVE + 7])
    assert run[isr] == 0
    assert run[master] == (1 << 2 if order[0] == SLAVE + 7 else 0)
