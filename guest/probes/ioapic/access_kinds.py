"""The access kinds of the IO APIC's register bits, bit by bit as the register map states them."""

from harness import AccessProof, ApartProof, IoApic, Kernel, ProbeBody, probe, provable, provable_names

REGISTERS = provable(IoApic)
LEFT_OUT = [f"REDIRECTION[{pin}].ENTRY" for pin in range(24) if pin not in (0, 1, 2, 5, 10, 15, 16, 23)]
SPEC = "82093AA, I/O APIC Registers"


@probe.each(register=REGISTERS)
@probe(spec=SPEC, covers=["ioapic.access-kinds"])
def bits_behave(k: Kernel, register: str) -> ProbeBody:
    """Each bit of a register holds 0 and 1 for itself, or keeps its value whatever is written, as the manual states."""
    k.cli()
    bits = k.trigger(AccessProof, k, k.ioapic, *REGISTERS[register], MASK=1)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(spec=SPEC, covers=["ioapic.access-kinds"])
def registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    k.cli()
    everything = [name for name in provable_names(IoApic) if name not in LEFT_OUT]
    registers = k.trigger(ApartProof, k, k.ioapic, *everything, MASK=1)

    run = yield

    differences = registers.differences(run)
    assert not differences, differences
