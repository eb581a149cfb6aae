"""The ELCR written while a line is high, and two requests at a chip that ends its interrupts by itself."""

from harness import Deviation, Kernel, ProbeBody, probe

MASTER, SLAVE = 0x58, 0xB0
ELCR = "Intel 82371AB (PIIX4) datasheet, ELCR1, ELCR2; Intel 8259A datasheet, Edge and Level Triggered Modes"


def listen(k: Kernel, *irqs: int, aeoi: int = 0) -> None:
    """Lines low, both chips initialised, these inputs unmasked, all edge-triggered; virtual wire."""
    k.deliver_8259(*irqs, base=MASTER, slave_base=SLAVE, serve=False, AEOI=aeoi)
    k.pic.level()
    k.sti()


@probe.each(irq=[5, 12])
@probe(
    spec=ELCR,
    covers=["pic8259.elcr-active"],
    needs=["pc-testdev"],
    deviation=Deviation(targets="*", kind="bug", sees="× 2, 1 came", ref="pic8259-elcr-active"),
)
def level_is_selected_while_the_line_is_high(k: Kernel, irq: int) -> ProbeBody:
    """A line that is high, its edge served, is a request again when the ELCR makes its input level-triggered."""
    listen(k, irq)
    chip = k.pic.chip(irq)
    with k.handler(k.pic.vector(irq)):
        k.from_time(2).do(k.lines.down, irq)
        k.pic.eoi(irq)
    k.lines.up(irq)
    k.wait_for(k.pic.vector(irq), quiet_ms=1)
    k.mark("level")
    k.trigger(chip.ELCR.write, 1 << (irq & 7))
    k.wait_for(k.pic.vector(irq), 2, quiet_ms=1)
    chip.ELCR.write(0)

    run = yield

    assert run.sequence == [k.pic.vector(irq), "level", k.pic.vector(irq)]


@probe(
    spec="Intel 8259A datasheet, Automatic End of Interrupt (AEOI) Mode; Cascade Mode",
    covers=["pic8259.aeoi-slave"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*-tcg*",
        kind="manual silent or contradictory",
        sees="waited for vector 0xb5 × 1, 0 came",
        ref="pic8259-aeoi-slave",
    ),
)
def slave_with_automatic_eoi_serves_two_requests(k: Kernel) -> ProbeBody:
    """With AEOI in both chips two requests of the slave arrive one after the other, the higher first, with no EOI."""
    listen(k, 10, 13, aeoi=1)
    k.hold(k.pic.vector(10), k.pic.vector(13))
    k.cli()
    k.lines.up(13, 10)
    k.settle()
    k.trigger(k.sti)
    k.wait_for(k.pic.vector(10))
    k.wait_for(k.pic.vector(13), quiet_ms=1)
    master, slave = k.pic.isr(k.pic.MASTER, "master"), k.pic.isr(k.pic.SLAVE, "slave")

    run = yield

    assert run.vectors == [k.pic.vector(10), k.pic.vector(13)]
    assert (run[master], run[slave]) == (0, 0)
