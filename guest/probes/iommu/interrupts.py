"""VT-d interrupt remapping: edu's MSI and an IO APIC pin through the interrupt remapping table."""

from harness import MSI_ADDRESS_BASE, Deviation, Kernel, ProbeBody, RemappableEntry, RemappableMessageAddress, probe
from harness.devices import EduDevice, FaultReason, RemappingUnit, SourceValidation

NEEDS = ["intel-iommu", "edu"]
VECTOR, PLAIN = 0x7A, 0x7B
CAUSE = 1
INDEX = 9
VTD = "Intel VT-d specification"
NO_FAULT, FAULTS, FORMAT = "no fault was recorded", "iommu-interrupt-faults", "iommu-compatibility-format"


def _begin(k: Kernel) -> tuple[EduDevice, RemappingUnit]:
    """edu's message refers to entry `INDEX`; interrupt remapping is on, the table is empty."""
    edu, unit = EduDevice(k), RemappingUnit(k)
    msi = edu.enable_msi(PLAIN)
    msi.ADDRESS.write(int(RemappableMessageAddress.to(INDEX)))
    msi.DATA.write(0)
    unit.remap_interrupts()
    k.sti()
    return edu, unit


@probe(spec=f"{VTD}, Interrupt Requests in Remappable Format", needs=NEEDS, covers=["iommu.msi"])
def a_message_gets_the_vector_of_its_entry(k: Kernel) -> ProbeBody:
    """A message in remappable format arrives at the vector in the table entry that its handle names."""
    edu, unit = _begin(k)
    unit.route(INDEX, VECTOR)
    unit.invalidate_interrupts()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]


@probe(spec=f"{VTD}, Interrupt Requests in Remappable Format", needs=NEEDS, covers=["iommu.subhandle"])
def a_valid_subhandle_is_added_to_the_handle(k: Kernel) -> ProbeBody:
    """With SHV set the entry's index is the handle plus Message Data bits 15:0."""
    edu, unit = _begin(k)
    msi = edu.enable_msi(PLAIN)
    msi.ADDRESS.write(int(RemappableMessageAddress.to(INDEX, subhandle_valid=True)))
    msi.DATA.write(3)
    unit.route(INDEX, PLAIN)
    unit.route(INDEX + 3, VECTOR)
    unit.invalidate_interrupts()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]


@probe(spec=f"{VTD}, Interrupt Remapping Table Entry", needs=NEEDS, cpus=2, covers=["iommu.retarget"])
def an_entry_can_be_retargeted(k: Kernel) -> ProbeBody:
    """After the entry changed and was invalidated, the same message goes to another vector on another processor."""
    edu, unit = _begin(k)
    unit.route(INDEX, VECTOR)
    unit.invalidate_interrupts()
    k.smp.start()
    edu.INTERRUPT_RAISE.write(CAUSE)
    k.wait_for(VECTOR)
    unit.route(INDEX, PLAIN, destination=1)
    unit.invalidate_interrupts()
    with k.smp.on(1):
        k.sti()
        k.wait_for(PLAIN, ms=1000)
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.smp.join(1, ms=2000)

    run = yield

    assert run.fields("vector", "cpu") == [(VECTOR, 0), (PLAIN, 1)]


@probe.each(kind=["not_present", "source", "compatibility"])
@probe(
    spec=f"{VTD}, Interrupt Remapping Fault Conditions; {VTD}, Fault Recording Registers",
    needs=NEEDS,
    covers=["iommu.blocked-interrupt"],
    deviation=[
        Deviation(targets="*", cases=cases, versions=since, kind="unimplemented", sees=sees, ref=ref)
        for cases, since, ref, *sees in (
            ("not_present", "<8.2", FAULTS, NO_FAULT, r": 34>, 128\) == \(0, 0, 0\)", r"\(0 >> 36\) == 9"),
            ("source", "<8.2", FAULTS, NO_FAULT, r": 38>, 128\) == \(0, 0, 0\)", r"\(0 >> 36\) == 9"),
            ("compatibility", "*", FORMAT, "was not blocked", NO_FAULT, r": 37>, 128\) == \(0, 0, 0\)"),
        )
    ],
)
def a_blocked_message_is_recorded(k: Kernel, kind: str) -> ProbeBody:
    """Entry not present, wrong source, or compatibility format while that is blocked: no interrupt, a fault record."""
    edu, unit = _begin(k)
    if kind == "source":
        unit.route(INDEX, VECTOR, SVT=SourceValidation.SID, SID=edu.function.requester ^ 1)
    if kind == "compatibility":
        msi = edu.enable_msi(PLAIN)
        msi.ADDRESS.write(MSI_ADDRESS_BASE)
    unit.invalidate_interrupts()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()
    pending = edu.INTERRUPT_STATUS.read("pending")
    status = unit.FSTS.read("status")
    low, high = unit.fault.LOW.read("low"), unit.fault.HIGH.read("high")

    run = yield

    assert run[pending] == CAUSE
    assert run.vectors == [], "the interrupt was not blocked"
    assert run[status].PPF == 1, NO_FAULT
    record = unit.fault_record(run[low], run[high])
    expected = {
        "not_present": FaultReason.IRTE_NOT_PRESENT,
        "source": FaultReason.SOURCE_ID,
        "compatibility": FaultReason.COMPATIBILITY_FORMAT_BLOCKED,
    }[kind]
    assert (1, expected, edu.function.requester) == (record.F, record.FR, record.SID)
    if kind != "compatibility":
        assert record.FI >> 36 == INDEX


@probe(spec=f"{VTD}, Interrupt Remapping Table Entry", needs=NEEDS, covers=["iommu.source"])
def the_right_source_passes_validation(k: Kernel) -> ProbeBody:
    """An entry that validates the source lets the requester through that it names."""
    edu, unit = _begin(k)
    unit.route(INDEX, VECTOR, SVT=SourceValidation.SID, SID=edu.function.requester)
    unit.invalidate_interrupts()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR)

    run = yield

    assert run.vectors == [VECTOR]


@probe(
    spec=f"{VTD}, Interrupt Requests in Compatibility Format",
    needs=NEEDS,
    covers=["iommu.compatibility"],
    deviation=Deviation(targets="*", kind="unimplemented", sees="CFIS stays 0", ref=FORMAT),
)
def compatibility_format_passes_where_it_is_allowed(k: Kernel) -> ProbeBody:
    """With CFI set a message in compatibility format bypasses remapping."""
    edu, unit = _begin(k)
    unit.pass_compatibility(True)
    msi = edu.enable_msi(PLAIN)
    msi.ADDRESS.write(MSI_ADDRESS_BASE)
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(PLAIN)
    status = unit.GSTS.read("status")

    run = yield

    assert run.vectors == [PLAIN]
    assert run[status].CFIS == 1, "CFIS stays 0"


@probe(spec=f"{VTD}, I/OxAPIC Programming", needs=NEEDS, covers=["iommu.ioapic"])
def io_apic_entries_go_through_the_table(k: Kernel) -> ProbeBody:
    """A redirection entry in remappable format names a table entry, whose vector arrives; EOI clears remote IRR."""
    edu, unit = EduDevice(k), RemappingUnit(k)
    k.handler(VECTOR).do(edu.INTERRUPT_ACKNOWLEDGE.write, CAUSE)
    unit.route(INDEX, VECTOR, TM=1)
    unit.remap_interrupts()
    fields = {"VECTOR": VECTOR, "INTERRUPT_INDEX_14_0": INDEX, "TRIGGER_MODE": 1, "POLARITY": 1}
    k.ioapic.REDIRECTION[edu.pin].ENTRY.write(int(RemappableEntry.of(INTERRUPT_FORMAT=1, **fields)))
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR]
    assert run.ioapic[edu.pin].remote_irr == 0
