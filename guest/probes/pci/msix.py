"""MSI-X: table, pending bits, masks. On the virtio entropy device, which sends one message for each request."""

from harness import MSI_ADDRESS_BASE, DeliveryMode, Kernel, ProbeBody, probe
from harness.devices import VIRTIO_NO_VECTOR, EntropyDevice

VECTOR = 0x64
OTHER = 0x65
INTX = 0x66
ENTRY = 1

MASKING = "PCI Local Bus Specification 3.0, Per-vector Masking and Function Masking"
STRUCTURE = "PCI Local Bus Specification 3.0, MSI-X Capability & Table Structures"
CONFIGURATION = "PCI Local Bus Specification 3.0, MSI-X Configuration"
LOGICAL = "SDM vol. 3A, Message Address Register Format; SDM vol. 3A, Logical Destination Mode"
OPERATION = "PCI Local Bus Specification 3.0, MSI and MSI-X Operation"
RNG = ["virtio-rng"]
DEVICES = ["virtio-rng", "virtio-blk", "virtio-net", "virtio-serial", "virtio-console", "nvme", "e1000e", "xhci"]


def _begin(k: Kernel) -> EntropyDevice:
    """The device with MSI-X on; its queue uses table entry 1."""
    rng = EntropyDevice(k, entry=ENTRY)
    rng.msix.enable({ENTRY: VECTOR})
    rng.begin()
    k.sti()
    return rng


@probe(spec=STRUCTURE, needs=RNG, covers=["msix.reset"])
def every_entry_is_masked_after_reset(k: Kernel) -> ProbeBody:
    """After reset MSI-X Enable and Function Mask are 0, and Vector Control's mask bit is 1 in every entry."""
    rng = EntropyDevice(k)
    control = k.trigger(rng.msix.capability.CONTROL.read, "control")
    masks = [rng.msix.table.ENTRY[index].CONTROL.read(f"vector_control_{index}") for index in (0, 1)]
    pending = rng.msix.pba.PENDING[0].read("pending")

    run = yield

    assert (run[control].ENABLE, run[control].FUNCTION_MASK) == (0, 0)
    assert run[control].TABLE_SIZE >= 1, "the table has both entries"
    assert [run[mask].MASK for mask in masks] == [1, 1]
    assert run[pending] == 0


@probe(spec=STRUCTURE, needs=RNG, covers=["msix.location"])
def table_and_pending_bits_lie_where_the_capability_says(k: Kernel) -> ProbeBody:
    """Table and PBA are in implemented BARs, qword-aligned, apart from each other; entries read back as written."""
    rng = EntropyDevice(k)
    table = k.trigger(rng.msix.capability.TABLE.read, "table")
    pba = rng.msix.capability.PBA.read("pba")
    rng.msix.entry(1, 0xAB, destination=0x5A, masked=True)
    entry = rng.msix.table.ENTRY[1]
    address, upper, data = entry.ADDRESS.read("address"), entry.ADDRESS_UPPER.read("upper"), entry.DATA.read("data")

    run = yield

    size, start, bits = 2 * 16, run[table].offset, run[pba].offset
    assert run[table].BIR <= 5 and run[pba].BIR <= 5
    assert run[table].BIR != run[pba].BIR or bits >= start + size or bits + 8 <= start
    assert (int(run[address]), int(run[upper]), int(run[data])) == (0xFEE5_A000, 0, 0xAB)


@probe.each(device=DEVICES)
@probe(spec=STRUCTURE, needs=DEVICES, covers=["msix.location"])
def the_table_is_as_large_as_probes_take_it_to_be(k: Kernel, device: str) -> ProbeBody:
    """Table Size is the number of entries minus 1: as many as `Msix.entry` lets a probe write on that device."""
    msix = k.pci.device(device).msix()
    control = k.trigger(msix.capability.CONTROL.read, "control")

    run = yield

    assert msix.entries == run[control].TABLE_SIZE + 1


@probe(spec=CONFIGURATION, needs=RNG, covers=["msix.rewrite"])
def each_vector_that_an_entry_names_arrives(k: Kernel) -> ProbeBody:
    """Rewriting an entry's vector under its mask retargets the next message: 16, 32, 64, 128, 254 in turn."""
    rng = _begin(k)
    vectors = [254, 16, 128, 32, 64]
    k.expect(16)
    for vector in vectors:
        rng.msix.entry(ENTRY, vector, masked=True)
        rng.msix.table.ENTRY[ENTRY].CONTROL.write(MASK=0)
        k.trigger(rng.request)
        k.wait_for(vector)

    run = yield

    assert run.vectors == vectors


@probe(spec=OPERATION, needs=RNG, covers=["msix.silences-intx"])
def enabling_msix_silences_intx(k: Kernel) -> ProbeBody:
    """While MSI-X is enabled the function must not use INTx#, not even for a queue that has no vector."""
    rng = EntropyDevice(k, entry=VIRTIO_NO_VECTOR)
    k.ioapic.redirect_pci(rng.function.pin, INTX)
    rng.msix.enable({0: VECTOR, 1: OTHER})
    rng.begin()
    k.sti()
    k.trigger(rng.request)
    rng.wait_answered()
    k.stay_quiet()

    run = yield

    assert rng.queue.used(run.memory(rng.queue.buffer)).index == 1
    assert run.vectors == []


@probe(spec=OPERATION, needs=RNG, covers=["msix.memory-write"])
def an_entrys_message_is_a_doubleword_memory_write(k: Kernel) -> ProbeBody:
    """The message writes the entry's 32 data bits to its 64-bit address, be that memory instead of a local APIC."""
    memory = k.buffer("memory", 16, fill=0xA5)
    rng = _begin(k)
    entry = rng.msix.table.ENTRY[ENTRY]
    entry.ADDRESS.write(memory.address + 8)
    entry.DATA.write(0x1234_5678)
    k.trigger(rng.request)
    rng.wait_answered()
    k.stay_quiet()

    run = yield

    assert run.memory(memory).hex(" ", 4) == "a5a5a5a5 a5a5a5a5 78563412 a5a5a5a5"
    assert run.vectors == []


@probe(spec="SDM vol. 3A, Message Data Register Format", needs=RNG, covers=["msix.delivery-mode"])
def an_entry_can_send_nmi(k: Kernel) -> ProbeBody:
    """An entry with delivery mode NMI arrives as vector 2."""
    rng = EntropyDevice(k, entry=ENTRY)
    rng.msix.entry(ENTRY, VECTOR, DELIVERY_MODE=DeliveryMode.NMI)
    rng.msix.enable()
    rng.begin()
    k.expect(2)
    k.trigger(rng.request)
    k.wait_for(2, quiet_ms=1)

    run = yield

    assert run.vectors == [2]


@probe.each(set_=[1, 2, 3])
@probe(spec=LOGICAL, needs=RNG, cpus=2, covers=["msix.logical"])
def lowest_priority_picks_one_of_a_logical_set(k: Kernel, set_: int) -> ProbeBody:
    """A lowest-priority message to a logical set (flat model) interrupts exactly one processor of the set."""
    rng = EntropyDevice(k, entry=ENTRY)
    rng.msix.entry(ENTRY, VECTOR, DELIVERY_MODE=DeliveryMode.LOWEST_PRIORITY)
    entry = rng.msix.table.ENTRY[ENTRY]
    entry.ADDRESS.write(MSI_ADDRESS_BASE, DESTINATION_ID=set_, DESTINATION_MODE=1, REDIRECTION_HINT=1)
    rng.msix.enable()
    rng.begin()
    with k.smp.listening():
        k.trigger(rng.request)
        k.wait_for(VECTOR, ms=2000, quiet_ms=1)

    run = yield

    counts = [run.count(VECTOR, cpu=number) for number in (0, 1)]
    assert sum(counts) == 1
    assert set_ >> counts.index(1) & 1
