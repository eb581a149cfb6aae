"""The 8259's priority rotation: automatic, specific, by set-priority, and in automatic EOI mode."""

from harness import Kernel, ProbeBody, probe

MASTER, SLAVE = 0x50, 0x70
SPECIFIC = "Intel 8259A datasheet, Specific Rotation (Specific Priority)"
AUTOMATIC = "Intel 8259A datasheet, Automatic Rotation (Equal Priority Devices)"


def lowest_is(level: int) -> list[int]:
    """The order of a chip's levels, highest first, when `level` is the bottom priority."""
    return [(level + 1 + place) % 8 for place in range(8)]


def all_pending_on_the_slave(k: Kernel, last: int, count: int = 1) -> None:
    """Every input of the slave requests; each handler ends with a non-specific EOI, which rotates nothing."""
    k.trigger(k.lines.up, *range(8, 16))
    k.pic.unmask(*range(8, 16))
    k.sti()
    k.wait_for(SLAVE + last, count=count, quiet_ms=1)


@probe.each(level=range(8))
@probe(spec=SPECIFIC, covers=["pic8259.rotation"], needs=["pc-testdev"])
def set_priority_makes_a_level_the_lowest(k: Kernel, level: int) -> ProbeBody:
    """The set-priority command makes the level that it names the lowest, and the next one the highest."""
    k.deliver_8259(*range(8, 16), unmask=False)
    k.pic.SLAVE.OCW2.write(0xC0 | level)
    all_pending_on_the_slave(k, last=level)

    run = yield

    assert run.vectors == [SLAVE + ir for ir in lowest_is(level)]


@probe.each(level=[0, 1, 3, 4, 5, 6, 7])
@probe(spec=f"{SPECIFIC}; Cascade Mode", covers=["pic8259.rotation"], needs=["pc-testdev"])
def set_priority_moves_the_cascade_along(k: Kernel, level: int) -> ProbeBody:
    """At the master the slave's place in the rotated order is that of IR2."""
    irqs = {0: 0, 1: 1, 2: 8, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7}  # the master's input → an IRQ that comes by it
    k.deliver_8259(*irqs.values(), unmask=False)
    k.pic.MASTER.OCW2.write(0xC0 | level)
    k.trigger(k.lines.up, *irqs.values())
    k.pic.unmask(*irqs.values())
    k.sti()
    k.wait_for(MASTER + level, quiet_ms=1)

    run = yield

    assert run.vectors == [SLAVE if ir == 2 else MASTER + ir for ir in lowest_is(level)]


@probe.each(level=range(8))
@probe(spec=AUTOMATIC, covers=["pic8259.rotation"], needs=["pc-testdev"])
def rotate_on_non_specific_eoi(k: Kernel, level: int) -> ProbeBody:
    """Rotate on non-specific EOI ends the level in service and makes it the lowest."""
    k.deliver_8259(*range(8, 16), unmask=False)
    with k.handler(SLAVE + level, replace=True):
        k.pic.SLAVE.OCW2.write(0xA0)
        k.pic.MASTER.OCW2.write(0x20)
        k.pic.SLAVE.OCW1.write(0xFF)
    k.pic.unmask(level + 8)
    k.sti()
    k.lines.up(level + 8)
    k.wait_for(SLAVE + level, ms=10)
    k.cli()
    isr = k.pic.isr(k.pic.SLAVE, "isr")
    k.serve_8259(level + 8, replace=True)
    k.lines.down(level + 8)
    all_pending_on_the_slave(k, last=level, count=2)

    run = yield

    assert run[isr] == 0
    assert run.vectors == [SLAVE + level, *(SLAVE + ir for ir in lowest_is(level))]


@probe.each(level=range(8))
@probe(spec=SPECIFIC, covers=["pic8259.rotation"], needs=["pc-testdev"])
def rotate_on_specific_eoi(k: Kernel, level: int) -> ProbeBody:
    """Rotate on specific EOI ends the level that it names and makes that one the lowest, though another is higher."""
    other = (level + 7) % 8 if level else 1
    low, high = max(level, other), min(level, other)  # nested by their fixed priorities
    k.deliver_8259(*range(8, 16), unmask=False)
    for ir in (low, high):
        k.handler(SLAVE + ir, replace=True).do(k.pic.MASTER.OCW2.write, 0x20)  # the slave's bit stays
    k.pic.unmask(low + 8, high + 8)
    k.sti()
    for ir in (low, high):
        k.lines.up(ir + 8)
        k.wait_for(SLAVE + ir, ms=10)
    k.cli()
    k.pic.SLAVE.OCW2.write(0xE0 | level)
    isr = k.pic.isr(k.pic.SLAVE, "isr")
    k.pic.SLAVE.OCW2.write(0x60 | other)
    k.serve_8259(low + 8, high + 8, replace=True)
    k.lines.down(low + 8, high + 8)
    all_pending_on_the_slave(k, last=level, count=2)

    run = yield

    assert run[isr] == 1 << other
    assert run.vectors[2:] == [SLAVE + ir for ir in lowest_is(level)]


@probe(spec=AUTOMATIC, covers=["pic8259.rotation"], needs=["pc-testdev"])
def equal_devices_take_turns(k: Kernel) -> ProbeBody:
    """With rotation on each EOI, two inputs that request again at once are served in turn."""
    k.deliver_8259(*range(8, 16), unmask=False)
    served = k.value("served", 0)
    for irq in (9, 11):
        with k.handler(SLAVE + irq - 8, replace=True):
            k.count(served)
            k.lines.down(irq)
            k.asm(f"cmp qword ptr [served], 4\nja no_more_of_{irq}")
            k.lines.up(irq)
            k.asm(f"no_more_of_{irq}:")
            k.pic.SLAVE.OCW2.write(0xA0)
            k.pic.MASTER.OCW2.write(0x20)
    k.pic.unmask(9, 11)
    k.trigger(k.lines.up, 9, 11)
    k.sti()
    k.wait_for(SLAVE + 3, count=3, quiet_ms=1)

    run = yield

    assert run.vectors == [SLAVE + 1, SLAVE + 3] * 3


@probe.each(rotate=[True, False])
@probe(
    spec=f"{AUTOMATIC}; Automatic End of Interrupt (AEOI) Mode", covers=["pic8259.rotation-aeoi"], needs=["pc-testdev"]
)
def rotation_in_automatic_eoi_mode(k: Kernel, rotate: bool) -> ProbeBody:
    """In AEOI mode INTA makes a level the lowest while "rotate in automatic EOI" is set, and not once cleared."""
    k.deliver_8259(3, 5, serve=False, unmask=False, AEOI=1)
    k.pic.MASTER.OCW2.write(0x80)
    if not rotate:
        k.pic.MASTER.OCW2.write(0x00)
    with k.handler(MASTER + 3), k.first_time():
        k.lines.down(3)
        k.lines.up(3)
    k.pic.unmask(3, 5)
    k.trigger(k.lines.up, 3, 5)
    k.sti()
    k.wait_for(MASTER + 5)
    k.wait_for(MASTER + 3, count=2, quiet_ms=1)

    run = yield

    first, other = MASTER + 3, MASTER + 5
    assert run.vectors == ([first, other, first] if rotate else [first, first, other])
