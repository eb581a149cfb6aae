"""VT-d fault events and pass-through, with an NVMe controller behind the unit."""

from harness import PAGE, Kernel, ProbeBody, Window, probe, wait_register
from harness.devices import Domain, FaultReason, NvmeController, NvmeQueue, RemappingUnit

NEEDS = ["intel-iommu", "nvme"]
BLOCK = 512
IOVA = 0x0800_0000  # above RAM: nothing but a table entry makes memory of it
EVENT = 0x7E
VTD = "Intel VT-d specification"


def _begin(k: Kernel) -> tuple[NvmeQueue, RemappingUnit, Domain]:
    """An I/O queue whose controller reaches its queues only; fault events are sent to `EVENT` once unmasked."""
    nvme = NvmeController(k)
    queue = nvme.queue(1, 8)
    domain = Domain(k, 1)
    for buffer in (nvme.admin.submission, nvme.admin.completion, queue.submission, queue.completion):
        domain.identity(buffer)
    unit = RemappingUnit(k)
    unit.attach(nvme.function.requester, domain)
    unit.translate()
    unit.FEDATA.write(VECTOR=EVENT)
    unit.FEADDR.write(0xFEE0_0000)
    return queue, unit, domain


def _read(queue: NvmeQueue, number: int, address: int) -> None:
    """Read block `number` to an address of the device's, and wait for the completion."""
    queue.read(address, number, cid=number)
    queue.ring()
    queue.wait(queue.submitted)
    queue.consume(queue.submitted)


@probe(spec=f"{VTD}, Fault Event; {VTD}, Fault Event Control Register", needs=NEEDS, covers=["iommu.fault-event"])
def a_masked_fault_event_is_sent_when_unmasked(k: Kernel) -> ProbeBody:
    """While FECTL.IM is set a fault makes IP pending and sends nothing; clearing IM sends the event and clears IP."""
    queue, unit, _ = _begin(k)
    k.sti()
    k.trigger(_read, queue, 1, IOVA)
    wait_register(k, unit.FSTS, PPF=1)
    k.stay_quiet()
    held = unit.FECTL.read("held")
    k.mark("unmask")
    unit.FECTL.write(IM=0)
    k.wait_for(EVENT, quiet_ms=1)
    sent = unit.FECTL.read("sent")

    run = yield

    assert (run[held].IM, run[held].IP) == (1, 1)
    assert run.sequence == ["unmask", EVENT]
    assert (run[sent].IM, run[sent].IP) == (0, 0)


@probe(
    spec=f"{VTD}, Fault Recording Registers; {VTD}, Fault Status Register",
    needs=NEEDS,
    covers=["iommu.fault-record", "iommu.fault-event"],
)
def a_cleared_record_takes_the_next_fault(k: Kernel) -> ProbeBody:
    """Writing 1 to F frees the record and PPF; the next fault is recorded with its own address and sends an event."""
    queue, unit, _ = _begin(k)
    unit.FECTL.write(IM=0)
    k.sti()
    _read(queue, 1, IOVA)
    k.wait_for(EVENT, 1)
    first = unit.fault.LOW.read("first")
    unit.fault.HIGH.write(1 << 63)
    unit.FSTS.write(PFO=1)
    cleared = unit.FSTS.read("cleared")
    k.trigger(_read, queue, 2, IOVA + 5 * PAGE)
    k.wait_for(EVENT, 2)
    low, high = unit.fault.LOW.read("low"), unit.fault.HIGH.read("high")
    k.stay_quiet()

    run = yield

    assert (run[cleared].PPF, run[cleared].PFO) == (0, 0)
    assert int(run[first]) >> 12 == IOVA >> 12
    record = unit.fault_record(run[low], run[high])
    assert (record.F, record.FR, record.FI) == (1, FaultReason.WRITE, (IOVA >> 12) + 5)
    assert run.vectors == [EVENT, EVENT]


@probe(
    spec=f"{VTD}, Context Entry (Translation Type); {VTD}, Extended Capability Register",
    needs=NEEDS,
    covers=["iommu.pass-through"],
)
def pass_through_is_not_translated(k: Kernel) -> ProbeBody:
    """With translation type 10b a function's addresses are memory's: what its tables do not map is reached."""
    window = Window.make(k, "data", BLOCK)
    queue, unit, _ = _begin(k)
    capability = unit.ECAP.read("capability")
    k.checkpoint("disk")
    _read(queue, 1, window.address)
    wait_register(k, unit.FSTS, PPF=1)
    k.checkpoint("translated")
    k.trigger(unit.pass_through, queue.controller.function.requester)
    unit.invalidate_contexts()
    unit.invalidate_translations()
    _read(queue, 2, window.address)

    run = yield

    content = run.fill_disk("nvme")
    with run.stopped_at("translated"):
        if run[capability].PT == 0:
            run.unsupported("the unit has no pass-through (ECAP.PT is 0)")
        assert window.untouched(run)
    assert window.read(run) == content[2 * BLOCK : 3 * BLOCK]
