"""Destinations of MSI messages and of IO APIC entries: an identifier that differs in one bit is another processor."""

from harness import Kernel, MessageAddress, ProbeBody, probe
from harness.devices import EduDevice

MISS, HIT = 0x53, 0xAC
CAUSE = 0x200
MODELS = {  # destination mode, LDR, near misses, a hit; in physical mode the processor's ID is 0
    "physical": (0, 0x01, [1 << bit for bit in range(8)], 0),
    "flat": (1, 0x08, [1 << bit for bit in range(8) if bit != 3], 0x48),
}


@probe.each(model=MODELS)
@probe(
    spec="SDM vol. 3A, Message Address Register Format: Destination ID", needs=["edu"], covers=["msi.near-destinations"]
)
def a_message_to_a_near_destination_is_not_taken(k: Kernel, model: str) -> ProbeBody:
    """Eight messages whose destination differs from the processor's in one bit are not delivered; the right one is."""
    mode, logical, misses, hit = MODELS[model]
    k.lapic.LDR.write(LOGICAL_APIC_ID=logical)
    k.lapic.DFR.write(0xFFFF_FFFF)
    edu = EduDevice(k)
    msi = edu.enable_msi(MISS)
    k.sti()
    for destination in misses:
        msi.ADDRESS.write(int(MessageAddress.to(destination)) | mode << 2)
        edu.INTERRUPT_RAISE.write(CAUSE)
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
    k.settle()
    msi.DATA.write(VECTOR=HIT)
    msi.ADDRESS.write(int(MessageAddress.to(hit)) | mode << 2)
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(HIT, quiet_ms=1)

    run = yield

    assert run.vectors == [HIT]


@probe.each(model=MODELS)
@probe(
    spec="82093AA, I/O Redirection Table Registers: Destination Field, Destination Mode",
    needs=["pc-testdev"],
    covers=["ioapic.near-destinations"],
)
def an_entry_for_a_near_destination_is_not_taken(k: Kernel, model: str) -> ProbeBody:
    """Edges of entries whose destination differs in one bit from the processor's are lost; the right one is taken."""
    mode, logical, misses, hit = MODELS[model]
    k.lapic.LDR.write(LOGICAL_APIC_ID=logical)
    k.lapic.DFR.write(0xFFFF_FFFF)
    k.sti()
    for destination in misses:
        k.ioapic.redirect(pin=7, vector=MISS, DESTINATION=destination, DESTINATION_MODE=mode)
        k.lines.pulse(7)
    k.settle()
    k.ioapic.redirect(pin=7, vector=HIT, DESTINATION=hit, DESTINATION_MODE=mode)
    k.trigger(k.lines.pulse, 7)
    k.wait_for(HIT, quiet_ms=1)

    run = yield

    assert run.vectors == [HIT]


@probe.each(data=[0x4110, 0x5555, 0xAAAA])
@probe(
    spec="PCI Local Bus Specification 3.0, Message Data for MSI; Message Address for MSI",
    needs=["edu"],
    covers=["msi.each-data-bit"],
)
def each_bit_of_message_data_is_written(k: Kernel, data: int) -> ProbeBody:
    """A message to memory is Message Data as it is, whichever bits are 1, at that doubleword and nowhere else."""
    memory = k.buffer("memory", 32, fill=0x5A)
    edu = EduDevice(k)
    msi = edu.enable_msi(MISS)
    msi.ADDRESS.write(memory.address + 8)
    msi.DATA.write(data)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()

    run = yield

    assert run.memory(memory) == b"\x5a" * 8 + data.to_bytes(4, "little") + b"\x5a" * 20
    assert run.vectors == []
