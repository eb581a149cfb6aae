"""The access kinds of the remapping unit's register bits, bit by bit as the register map states them."""

from harness import AccessProof, ApartProof, Kernel, ProbeBody, probe, provable, provable_names, wait_register
from harness.devices import RemappingUnit, VtdUnit

REGISTERS = provable(VtdUnit)
SPEC = "Intel VT-d specification, Register Descriptions"


@probe.each(register=REGISTERS)
@probe(spec=SPEC, needs=["intel-iommu"], covers=["iommu.access-kinds"])
def bits_behave(k: Kernel, register: str) -> ProbeBody:
    """With every function off each bit holds 0 and 1 for itself, or keeps its value, as the specification states."""
    bits = k.trigger(AccessProof, k, VtdUnit(k.bus), *REGISTERS[register])

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(spec=SPEC, needs=["intel-iommu"], covers=["iommu.access-kinds"])
def registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    everything = provable_names(VtdUnit)
    with k.trigger():
        whole = ApartProof(k, VtdUnit(k.bus), *everything)
        halves = ApartProof(k, VtdUnit(k.bus), *everything, doublewords=True)

    run = yield

    differences = whole.differences(run) or halves.differences(run)
    assert not differences, differences


@probe(spec=f"{SPEC}: Fault Status Register", needs=["intel-iommu"], covers=["iommu.acknowledge"])
def an_invalidation_queue_error_is_acknowledged_alone(k: Kernel) -> ProbeBody:
    """After an invalid descriptor FSTS.IQE is set: a write of 0 and of every other bit leaves it, its own clears it."""
    unit = RemappingUnit(k)
    k.asm(f"mov qword ptr [{unit.queue.address:#x}], 0xF\nmov qword ptr [{unit.queue.address + 8:#x}], 0")
    unit.FECTL.write(IM=1)
    unit.IQT.write(OFFSET=1)
    wait_register(k, unit.FSTS, IQE=1)
    values = []
    with k.trigger():
        for written in (0, 0xFFFF_FFEF, 0x10):
            unit.FSTS.write(written)
            values.append(unit.FSTS.read())

    run = yield

    assert [run[value].IQE for value in values] == [1, 1, 0]
