"""Comparisons of destinations that the local APIC makes: what differs in one bit only is not the same."""

from harness import DestinationMode, Kernel, ProbeBody, probe

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
