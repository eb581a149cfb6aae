"""Comparisons of destinations that the local APIC makes: what differs in one bit only is not the same."""

from harness import DestinationMode, Kernel, ProbeBody, X2Apic, probe

SEARCHED, HIT = 0x5A, 0x6B  # the vector of the near misses, and that of the message that must come
DESTINATION = "SDM vol. 3A, Determining IPI Destination"
CASES = {  # LDR and DFR, destination mode, near misses, a hit
    "physical": (0x01, 0xF, 0, [1 << bit for bit in range(8)], 0x00),
    "flat": (0x10, 0xF, 1, [0x01, 0x02, 0x04, 0x08, 0x20, 0x40, 0x80, 0xEF], 0x30),
    "cluster": (0x24, 0x0, 1, [0x21, 0x22, 0x28, 0x2B, 0x34, 0x04, 0x64, 0xA4, 0xDB], 0x2C),
}


@probe.each(model=CASES)
@probe(spec=DESTINATION, covers=["lapic.near-destinations"])
def a_near_destination_is_another_one(k: Kernel, model: str) -> ProbeBody:
    """A message to an ID that differs in one bit, in the cluster alone or in the member alone is not taken."""
    logical, form, mode, misses, hit = CASES[model]
    identity = k.lapic.ID.read("identity")
    k.lapic.LDR.write(LOGICAL_APIC_ID=logical)
    k.lapic.DFR.write(0x0FFF_FFFF | form << 28)
    k.sti()
    for destination in misses:
        k.lapic.send(destination=destination, VECTOR=SEARCHED, DESTINATION_MODE=DestinationMode(mode), LEVEL=1)
    k.settle()
    k.trigger(k.lapic.send, destination=hit, VECTOR=HIT, DESTINATION_MODE=DestinationMode(mode), LEVEL=1)
    k.wait_for(HIT, quiet_ms=1)

    run = yield

    assert run[identity].APIC_ID == 0
    assert run.vectors == [HIT]


X2APIC = {  # destination mode, near misses, a hit: the processor's ID is 0, its logical ID 1 in cluster 0
    "physical": (0, [1 << bit for bit in (0, 7, 8, 15, 16, 24, 31)], 0x0000_0000),
    "logical": (1, [0x0000_0002, 0x0000_8000, 0x0001_0001, 0x0100_0001, 0x8000_0001, 0x0001_0000], 0x0000_0005),
}


@probe.each(model=X2APIC)
@probe(
    spec="SDM vol. 3A, Extended XAPIC (x2APIC): Interrupt Command Register; Logical Destination Mode in x2APIC Mode",
    covers=["lapic.near-destinations"],
)
def a_near_destination_of_32_bits_is_another_one(k: Kernel, model: str) -> ProbeBody:
    """In x2APIC mode all 32 bits of the destination count: the same low bits with another cluster are not taken."""
    mode, misses, hit = X2APIC[model]
    k.require_cpuid(1, "ecx", 21, "x2APIC")
    k.msr.APIC_BASE.update(EXTD=1)
    x2 = X2Apic(k.bus)
    k.sti()
    for destination in misses:
        x2.ICR.write(VECTOR=SEARCHED, DESTINATION=destination, DESTINATION_MODE=mode, LEVEL=1)
    k.trigger(x2.ICR.write, VECTOR=HIT, DESTINATION=hit, DESTINATION_MODE=mode, LEVEL=1)
    k.stay_quiet(real_ms=20)  # no time-out here: see docs/deviations/lapic-x2apic-icount.md
    k.cli()
    k.msr.APIC_BASE.update(EN=0, EXTD=0)
    k.msr.APIC_BASE.update(EN=1)

    run = yield

    assert run.vectors == [HIT]
