"""The 8259's end-of-interrupt commands."""

from harness import Deviation, Kernel, ProbeBody, probe

MASTER, SLAVE = 0x50, 0x70
CASCADE = "Intel 8259A datasheet, Cascade Mode; End of Interrupt (EOI)"


def nest_in_service(k: Kernel, *irqs: int) -> None:
    """Bring these inputs (lowest priority first) into service, each inside the one before, and leave them there.

    The default stub sends no end of interrupt to the 8259.
    """
    k.deliver_8259(*irqs, serve=False)
    k.sti()
    for irq in irqs:
        k.lines.up(irq)
        k.wait_for(k.pic.vector(irq), ms=10)


@probe(spec="Intel 8259A datasheet, End of Interrupt (EOI)", covers=["pic8259.eoi"], needs=["pc-testdev"])
def non_specific_eoi_ends_the_highest(k: Kernel) -> ProbeBody:
    """Each non-specific EOI clears the ISR bit of the highest level in service; a spare one does nothing."""
    nest_in_service(k, 7, 5, 3, 1)
    isr = [k.pic.isr(k.pic.MASTER, "isr_before")]
    for number in range(1, 6):
        k.trigger(k.pic.MASTER.OCW2.write, 0x20)
        isr.append(k.pic.isr(k.pic.MASTER, f"isr_after_{number}"))

    run = yield

    assert [int(run[bits]) for bits in isr] == [0b10101010, 0b10101000, 0b10100000, 0b10000000, 0, 0]


@probe.each(level=[1, 3, 5, 7])
@probe(spec="Intel 8259A datasheet, End of Interrupt (EOI)", covers=["pic8259.eoi"], needs=["pc-testdev"])
def specific_eoi_ends_the_level_named(k: Kernel, level: int) -> ProbeBody:
    """A specific EOI clears the ISR bit of the level that it names and no other."""
    nest_in_service(k, 7, 5, 3, 1)
    k.trigger(k.pic.MASTER.OCW2.write, 0x60 | level)
    isr = k.pic.isr(k.pic.MASTER, "isr")

    run = yield

    assert run[isr] == 0b10101010 & ~(1 << level)


@probe.each(level=[0, 2, 4, 6])
@probe(spec="Intel 8259A datasheet, End of Interrupt (EOI)", covers=["pic8259.eoi"], needs=["pc-testdev"])
def specific_eoi_of_an_idle_level_does_nothing(k: Kernel, level: int) -> ProbeBody:
    """A specific EOI that names a level which is not in service leaves the ISR as it is."""
    k.trigger(nest_in_service, k, 7, 5, 3, 1)
    k.pic.MASTER.OCW2.write(0x60 | level)
    isr = k.pic.isr(k.pic.MASTER, "isr")

    run = yield

    assert run[isr] == 0b10101010


@probe.each(command=[0x00, 0x40, 0x80, 0xC0])
@probe(spec="Intel 8259A datasheet, Operation Command Word 2 (OCW2)", covers=["pic8259.eoi"], needs=["pc-testdev"])
def commands_without_the_eoi_bit_end_nothing(k: Kernel, command: int) -> ProbeBody:
    """OCW2 with its EOI bit clear leaves the ISR as it is: no operation, rotate in automatic EOI, set priority."""
    k.trigger(nest_in_service, k, 7, 5, 3, 1)
    k.pic.MASTER.OCW2.write(command | (3 if command & 0x40 else 0))
    isr = k.pic.isr(k.pic.MASTER, "isr")
    k.pic.MASTER.OCW2.write(0x00)  # rotate in automatic EOI off again

    run = yield

    assert run[isr] == 0b10101010


@probe(spec=CASCADE, covers=["pic8259.eoi-cascade"], needs=["pc-testdev"])
def eoi_at_the_slave_alone_leaves_ir2_in_service(k: Kernel) -> ProbeBody:
    """After an EOI at the slave only, the master's IR2 is in service still, and holds back the slave and IR3."""
    nest_in_service(k, 12)
    k.pic.unmask(3, 12)
    k.pic.SLAVE.OCW2.write(0x20)
    slave, master = k.pic.isr(k.pic.SLAVE, "slave"), k.pic.isr(k.pic.MASTER, "master")
    k.lines.down(12, 3)
    k.lines.up(12, 3)
    k.stay_quiet()
    k.mark("EOI at the master")
    k.trigger(k.pic.MASTER.OCW2.write, 0x20)
    k.wait_for(SLAVE + 4, count=2, ms=10)

    run = yield

    assert (run[slave], run[master]) == (0, 1 << 2)
    assert run.sequence == [SLAVE + 4, "EOI at the master", SLAVE + 4]


@probe(spec=CASCADE, covers=["pic8259.eoi-cascade"], needs=["pc-testdev"])
def eoi_at_the_master_alone_leaves_the_slave_in_service(k: Kernel) -> ProbeBody:
    """After an EOI at the master only, the slave holds back its own lower inputs, while the master's IR3 comes."""
    nest_in_service(k, 12)
    k.pic.unmask(3, 12, 14)
    k.pic.MASTER.OCW2.write(0x20)
    slave, master = k.pic.isr(k.pic.SLAVE, "slave"), k.pic.isr(k.pic.MASTER, "master")
    k.lines.down(14, 3)
    k.lines.up(14, 3)
    k.wait_for(MASTER + 3, ms=10)
    k.pic.MASTER.OCW2.write(0x20)
    k.stay_quiet()
    k.mark("EOI at the slave")
    k.trigger(k.pic.SLAVE.OCW2.write, 0x20)
    k.wait_for(SLAVE + 6, ms=10)

    run = yield

    assert (run[slave], run[master]) == (1 << 4, 0)
    assert run.sequence == [SLAVE + 4, MASTER + 3, "EOI at the slave", SLAVE + 6]


@probe(
    spec="Intel 8259A datasheet, Special Mask Mode; End of Interrupt (EOI)",
    covers=["pic8259.special-mask"],
    needs=["pc-testdev"],
    deviation=Deviation(targets="*", kind="bug", sees=r"Inputs 0x20: BITS=0x20", ref="pic8259-special-mask-eoi"),
)
def non_specific_eoi_skips_masked_levels_in_special_mask_mode(k: Kernel) -> ProbeBody:
    """In special mask mode an ISR bit whose level is masked is not cleared by a non-specific EOI: the next one is."""
    nest_in_service(k, 5, 3)
    k.pic.MASTER.OCW1.write(0xFF & ~(1 << 5))  # IR3, the higher one in service, is masked
    k.pic.MASTER.OCW3.write(0x68)
    k.trigger(k.pic.MASTER.OCW2.write, 0x20)
    isr = k.pic.isr(k.pic.MASTER, "isr")
    k.pic.MASTER.OCW3.write(0x48)

    run = yield

    assert run[isr] == 1 << 3


@probe(spec=CASCADE, needs=["pc-testdev"], covers=["pic8259.eoi-chip"])
def a_specific_eoi_concerns_its_own_chip(k: Kernel) -> ProbeBody:
    """Input 11 and master level 1 are in service: an EOI at the other chip that names the same level ends nothing."""
    k.deliver_8259(1, 11, serve=False)
    k.hold(k.pic.vector(1), k.pic.vector(11))
    k.sti()
    k.lines.up(11)
    k.wait_for(k.pic.vector(11))
    k.lines.up(1)
    k.wait_for(k.pic.vector(1))
    k.pic.MASTER.OCW2.write(0x63)
    k.pic.SLAVE.OCW2.write(0x61)
    before = k.pic.isr(k.pic.MASTER, "master_before"), k.pic.isr(k.pic.SLAVE, "slave_before")
    with k.trigger():
        k.pic.MASTER.OCW2.write(0x61)
        k.pic.SLAVE.OCW2.write(0x63)
    after = k.pic.isr(k.pic.MASTER, "master_after"), k.pic.isr(k.pic.SLAVE, "slave_after")

    run = yield

    assert [int(run[value]) for value in before] == [1 << 1 | 1 << 2, 1 << 3]
    assert [int(run[value]) for value in after] == [1 << 2, 0]
