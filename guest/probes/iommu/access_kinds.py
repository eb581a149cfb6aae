"""The access kinds of the remapping unit's register bits, bit by bit as the register map states them."""

from harness import AccessProof, ApartProof, Kernel, ProbeBody, probe, provable
from harness.devices import VtdUnit

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
    registers = k.trigger(ApartProof, k, VtdUnit(k.bus), *(name for names in REGISTERS.values() for name in names))

    run = yield

    differences = registers.differences(run)
    assert not differences, differences
