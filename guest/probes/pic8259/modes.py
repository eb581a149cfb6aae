"""The 8259's other modes: special mask, automatic end of interrupt, special fully nested."""

from harness import Deviation, Kernel, ProbeBody, probe

MASTER = 0x50
NESTED = "Intel 8259A datasheet, Special Fully Nested Mode"


def prepare(k: Kernel, *irqs: int, aeoi: int = 0) -> None:
    """Lines low, both chips initialised, these inputs unmasked, virtual wire; no handler sends EOI."""
    k.deliver_8259(*irqs, serve=False, AEOI=aeoi)
    k.sti()


def prepare_nested(k: Kernel, *irqs: int) -> None:
    """As `prepare` does, with the master in special fully nested mode."""
    k.deliver_8259(*irqs, serve=False, unmask=False)
    k.pic.MASTER.ICW1.write(INITIALIZE=1, IC4=1)
    k.pic.MASTER.ICW2.write(MASTER)
    k.pic.MASTER.ICW3.write(1 << 2)
    k.pic.MASTER.ICW4.write(UPM=1, SFNM=1)
    k.pic.unmask(*irqs)
    k.sti()


def serve(k: Kernel, irq: int) -> None:
    """Raise the line and wait until its interrupt is in service; there it stays."""
    k.lines.up(irq)
    k.wait_for(k.pic.vector(irq))


# --- special mask mode ---


@probe.each(irq=[5, 12], first=["special_mask_mode", "mask"])
@probe(
    spec="Intel 8259A datasheet, Special Mask Mode",
    covers=["pic8259.special-mask"],
    needs=["pc-testdev"],
    deviation=[
        Deviation(
            targets="*",
            cases="*-mask",
            kind="bug",
            sees=["did not come", r"BITS=0x(..)> == \((32|16) \|"],
            ref="pic8259-special-mask-at-once",
        ),
        Deviation(
            targets="*-kvm",
            cases="*-special_mask_mode",
            kind="unimplemented",
            sees=["did not come", r"BITS=0x(..)> == \((32|16) \|"],
            ref="pic8259-kvm-special-mask",
        ),
    ],
)
def special_mask_mode_lets_lower_levels_in(k: Kernel, irq: int, first: str) -> ProbeBody:
    """In special mask mode masking the level in service enables the lower ones, which waited for its end until then."""
    held_back, chip, bit = irq + 1, k.pic.chip(irq), 1 << (irq & 7)
    prepare(k, irq, held_back)
    serve(k, irq)
    if irq >= 8:
        k.pic.MASTER.OCW2.write(0x20)  # the slave's ISR alone holds back
    k.lines.up(held_back)
    k.settle()
    waiting = k.pic.irr(chip, "waiting")
    if first == "mask":
        chip.OCW1.write(0xFF & ~(bit << 1))
    else:
        chip.OCW3.write(0x68)
    k.settle()
    k.mark("both")
    with k.trigger():
        if first == "mask":
            chip.OCW3.write(0x68)
        else:
            chip.OCW1.write(0xFF & ~(bit << 1))
    k.settle()
    isr = k.pic.isr(chip, "isr")
    chip.OCW3.write(0x48)

    run = yield

    assert run.sequence == [k.pic.vector(irq), "both", k.pic.vector(held_back)]
    assert run[waiting] & bit << 1
    assert run[isr] == bit | bit << 1


@probe(
    spec="Intel 8259A datasheet, Special Mask Mode; Operation Command Word 3 (OCW3)",
    covers=["pic8259.special-mask"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*-kvm", kind="unimplemented", sees="First difference at 2: 'reset'", ref="pic8259-kvm-special-mask"
    ),
)
def smm_counts_only_with_esmm(k: Kernel) -> ProbeBody:
    """OCW3 changes special mask mode only if ESMM is set: SMM alone neither sets nor, when 0, clears it."""
    prepare(k, 5, 6)
    serve(k, 5)
    k.pic.MASTER.OCW1.write(0xFF & ~(1 << 6))
    k.lines.up(6)
    k.pic.MASTER.OCW3.write(0x28)  # SMM without ESMM: nothing
    k.settle()
    waiting = k.pic.irr(k.pic.MASTER, "waiting")
    k.mark("set")
    k.trigger(k.pic.MASTER.OCW3.write, 0x68)
    k.settle()
    k.pic.MASTER.OCW2.write(0x66)  # specific EOI: 6 is done, 5 is in service still
    k.settle()
    k.pic.MASTER.OCW3.write(0x0A)  # neither bit: it stays on
    k.lines.down(6)
    k.lines.up(6)
    k.settle()
    k.pic.MASTER.OCW2.write(0x66)
    k.settle()
    k.mark("reset")
    k.pic.MASTER.OCW3.write(0x48)
    k.lines.down(6)
    k.lines.up(6)
    k.settle()
    waiting_again = k.pic.irr(k.pic.MASTER, "waiting_again")

    run = yield

    assert run.sequence == [k.pic.vector(5), "set", k.pic.vector(6), k.pic.vector(6), "reset"]
    assert run[waiting] & 1 << 6
    assert run[waiting_again] & 1 << 6


# --- automatic end of interrupt ---


@probe.each(irq=[3, 7])
@probe(
    spec="Intel 8259A datasheet, Automatic End of Interrupt (AEOI) Mode", covers=["pic8259.aeoi"], needs=["pc-testdev"]
)
def automatic_eoi_leaves_nothing_in_service(k: Kernel, irq: int) -> ProbeBody:
    """In AEOI mode the ISR bit is gone after the last INTA: in the handler it reads 0, and a second edge interrupts."""
    prepare(k, irq, aeoi=1)
    isr = k.handler(k.pic.vector(irq)).do(k.pic.isr, k.pic.MASTER, "isr")
    k.trigger(serve, k, irq)
    k.lines.down(irq)
    k.lines.up(irq)
    k.wait_for(k.pic.vector(irq), count=2, quiet_ms=1)

    run = yield

    assert run.vectors == [k.pic.vector(irq)] * 2
    assert run[isr] == 0
    assert run.pic.master.isr == 0


@probe(
    spec="Intel 8259A datasheet, Automatic End of Interrupt (AEOI) Mode; Fully Nested Mode",
    covers=["pic8259.aeoi"],
    needs=["pc-testdev"],
)
def automatic_eoi_does_not_nest(k: Kernel) -> ProbeBody:
    """In AEOI mode a lower level interrupts the handler of a higher one, as nothing is in service."""
    prepare(k, 3, 5, aeoi=1)
    with k.handler(k.pic.vector(3)):
        k.trigger(k.lines.up, 5)
        k.sti()
        k.wait_for(k.pic.vector(5))
        k.cli()
        k.mark("end of IRQ 3's handler")
    serve(k, 3)

    run = yield

    assert run.sequence == [k.pic.vector(3), k.pic.vector(5), "end of IRQ 3's handler"]
    assert run.interrupts[1].depth == 1


# --- special fully nested mode ---


@probe(spec=NESTED, covers=["pic8259.special-fully-nested"], needs=["pc-testdev"])
def slave_nests_in_special_fully_nested_mode(k: Kernel) -> ProbeBody:
    """With SFNM at the master, a higher input of the slave interrupts while a lower one of it is in service."""
    prepare_nested(k, 12, 9, 14)
    serve(k, 12)
    k.trigger(k.lines.up, 9)
    k.wait_for(k.pic.vector(9))
    slave, master = k.pic.isr(k.pic.SLAVE, "slave"), k.pic.isr(k.pic.MASTER, "master")

    run = yield

    assert run.vectors == [k.pic.vector(12), k.pic.vector(9)]
    assert (run[slave], run[master]) == (1 << 4 | 1 << 1, 1 << 2)


@probe.each(irq=[14, 3, 7])
@probe(
    spec=f"{NESTED}; Fully Nested Mode",
    covers=["pic8259.special-fully-nested"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*",
        cases="irq[37]",
        kind="bug",
        sees=["First difference at 1", r"BITS=0x0> >> \([37] & 7"],
        ref="pic8259-special-fully-nested",
    ),
)
def lower_levels_wait_in_special_fully_nested_mode(k: Kernel, irq: int) -> ProbeBody:
    """With SFNM a slave's input in service still holds back its lower neighbours and the master's IR3 to IR7."""
    chip = k.pic.chip(irq)
    prepare_nested(k, 12, irq)
    serve(k, 12)
    k.trigger(k.lines.up, irq)
    k.settle()
    waiting = k.pic.irr(chip, "waiting")
    k.mark("EOI")
    k.pic.eoi(12)
    k.wait_for(k.pic.vector(irq))

    run = yield

    assert run.sequence == [k.pic.vector(12), "EOI", k.pic.vector(irq)]
    assert run[waiting] >> (irq & 7) & 1


@probe(spec=NESTED, covers=["pic8259.special-fully-nested"], needs=["pc-testdev"])
def higher_master_input_preempts_in_special_fully_nested_mode(k: Kernel) -> ProbeBody:
    """With SFNM the master's own higher input still interrupts the slave's."""
    prepare_nested(k, 12, 1)
    serve(k, 12)
    k.trigger(k.lines.up, 1)
    k.wait_for(k.pic.vector(1))
    isr = k.pic.isr(k.pic.MASTER, "isr")

    run = yield

    assert run.vectors == [k.pic.vector(12), k.pic.vector(1)]
    assert run[isr] == 1 << 1 | 1 << 2
