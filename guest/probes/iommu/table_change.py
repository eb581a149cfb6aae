"""A second interrupt remapping table."""

from harness import PAGE, Kernel, ProbeBody, RemappableMessageAddress, probe, wait_register
from harness.devices import EduDevice, RemappingUnit

INDEX = 11
FIRST, SECOND, PLAIN = 0x7C, 0x8D, 0x9E
CAUSE = 0x8


@probe(
    spec="Intel VT-d specification, Setting Up the Interrupt Remapping Table; Set Interrupt Remap Table Pointer",
    needs=["intel-iommu", "edu"],
    covers=["iommu.second-table"],
)
def a_second_table_takes_effect(k: Kernel) -> ProbeBody:
    """IRTA is only used with the next Set Interrupt Remap Table Pointer; from then on the new table's entries count."""
    edu, unit = EduDevice(k), RemappingUnit(k)
    msi = edu.enable_msi(PLAIN)
    msi.ADDRESS.write(int(RemappableMessageAddress.to(INDEX)))
    msi.DATA.write(0)
    unit.route(INDEX, FIRST)
    unit.remap_interrupts()
    old = unit.table
    unit.table = k.buffer("second_table", 16 * 256, align=PAGE)
    unit.route(INDEX, SECOND)
    k.sti()
    edu.INTERRUPT_RAISE.write(CAUSE)
    k.wait_for(FIRST)
    unit.IRTA.write(S=7, IRTA=unit.table.address >> 12)
    k.mark("IRTA")
    edu.INTERRUPT_RAISE.write(CAUSE)
    k.wait_for(FIRST, 2)
    k.mark("SIRTP")
    k.trigger(unit.GCMD.write, QIE=1, IRE=1, SIRTP=1)
    wait_register(k, unit.GSTS, IRTPS=1, IRES=1)
    unit.invalidate_interrupts()
    edu.INTERRUPT_RAISE.write(CAUSE)
    k.wait_for(SECOND, quiet_ms=1)

    run = yield

    assert old.address != unit.table.address
    assert run.sequence == [FIRST, "IRTA", FIRST, "SIRTP", SECOND]
