"""The access kinds of the local APIC's register bits, bit by bit as the register map states them."""

from harness import AccessProof, ApartProof, Deviation, Kernel, LocalApic, ProbeBody, probe, provable, provable_names

REGISTERS = provable(LocalApic)
SPEC = "SDM vol. 3A, Local APIC Register Address Map"
SUB_CLASS = "lapic-kvm-tpr-sub-class"
READ_ONLY_KEPT = (
    r"(?m)^lapic\.LVT_\w+ bit 12 \(DELIVERY_STATUS, ro\): 1 where 0 is expected, first after a write of 0x11000"
    r"(; lapic\.LVT_LINT[01] bit 14 \(REMOTE_IRR, ro\): 1 where 0 is expected, first after a write of 0x14000)?$"
)


@probe.each(register=REGISTERS)
@probe(
    spec=SPEC,
    covers=["lapic.access-kinds"],
    deviation=[
        Deviation(targets="*-tcg*", cases="LVT_*", kind="bug", sees=READ_ONLY_KEPT, ref="lapic-lvt-reserved"),
        Deviation(targets="*-kvm", cases="LVT_*", kind="bug", sees=READ_ONLY_KEPT, ref="lapic-kvm-lvt"),
        Deviation(
            targets="*-kvm",
            vendor="AuthenticAMD",
            cases="TPR",
            kind="bug",
            sees=r"(?m)^lapic\.TPR bits 3:0 \(PRIORITY_SUB_CLASS, rw\): 0 where 1 is expected, first after a write of "
            r"0x1$",
            ref=SUB_CLASS,
        ),
    ],
)
def bits_behave(k: Kernel, register: str) -> ProbeBody:
    """Each bit of a register holds 0 and 1 for itself, or keeps its value whatever is written, as the manual states."""
    k.cli()
    bits = k.trigger(AccessProof, k, k.lapic, *REGISTERS[register], MASK=1)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(
    spec=SPEC,
    covers=["lapic.access-kinds"],
    deviation=Deviation(
        targets="*-kvm",
        vendor="AuthenticAMD",
        kind="bug",
        sees=r"(?m)^lapic\.TPR: 0x0 where 0x5 was written$",
        ref=SUB_CLASS,
    ),
)
def registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    k.cli()
    everything = [name for name in provable_names(LocalApic) if name != "INITIAL_COUNT"]
    registers = k.trigger(ApartProof, k, k.lapic, *everything, MASK=1)

    run = yield

    differences = registers.differences(run)
    assert not differences, differences
