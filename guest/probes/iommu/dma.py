"""VT-d DMA remapping: edu's transfers through second-stage tables."""

from random import Random

from harness import GUARD, PAGE, Kernel, ProbeBody, Window, probe
from harness.devices import EDU_DMA_INTERRUPT, Domain, EduDevice, FaultReason, RemappingUnit

NEEDS = ["intel-iommu", "edu"]
FAULT = 0x79
IOVA = 0x0800_0000  # below edu's 28 bits, above RAM
VTD = "Intel VT-d specification"


def _data(seed: int, length: int = 256) -> bytes:
    return Random(seed).randbytes(length)


def _to(edu: EduDevice, address: int, count: int) -> None:
    """Memory to the device, to the end of the transfer, whose interrupt is taken away."""
    edu.to_device(address, count)
    _finish(edu)


def _from(edu: EduDevice, address: int, count: int) -> None:
    """The same from the device to memory."""
    edu.from_device(address, count)
    _finish(edu)


def _finish(edu: EduDevice) -> None:
    edu.wait_done()
    edu.INTERRUPT_ACKNOWLEDGE.write(EDU_DMA_INTERRUPT)


@probe(spec=f"{VTD}, DMA Remapping, Second-Stage Translation", needs=NEEDS, covers=["iommu.translation"])
def a_transfer_goes_where_the_tables_say(k: Kernel) -> ProbeBody:
    """Mapped addresses are translated page by page, in both directions; the page of the same number stays untouched."""
    data = _data(1)
    source, target = Window.make(k, "source", 256, content=data), Window.make(k, "target", 256)
    edu, unit, domain = EduDevice(k), RemappingUnit(k), Domain(k, 1)
    domain.map(IOVA, source.address & -PAGE, write=False)
    domain.map(IOVA + PAGE, target.address & -PAGE)
    unit.attach(edu.function.requester, domain)
    unit.translate()
    _to(edu, IOVA + source.offset % PAGE, 256)
    k.trigger(_from, edu, IOVA + PAGE + target.offset % PAGE, 256)
    faults = unit.FSTS.read("faults")

    run = yield

    assert target.read(run) == data
    assert run[faults].PPF == 0


@probe.each(count=[2048])
@probe(spec=f"{VTD}, DMA Remapping, Second-Stage Translation", needs=NEEDS, covers=["iommu.scatter"])
def neighbouring_pages_may_lie_anywhere(k: Kernel, count: int) -> ProbeBody:
    """One transfer across a page boundary of the device's addresses lands in two pages that lie apart."""
    data = _data(2, count)
    source = Window.make(k, "source", count, content=data)
    high, low = Window.make(k, "high", count // 2), Window.make(k, "low", count // 2, offset=PAGE - count // 2)
    edu, unit, domain = EduDevice(k), RemappingUnit(k), Domain(k, 1)
    domain.identity(source.buffer)
    domain.map(IOVA, low.address & -PAGE)
    domain.map(IOVA + PAGE, high.address & -PAGE)
    unit.attach(edu.function.requester, domain)
    unit.translate()
    _to(edu, source.address, count)
    k.trigger(_from, edu, IOVA + PAGE - count // 2, count)

    run = yield

    assert low.read(run) + high.read(run) == data


@probe.each(kind=["unmapped", "read_only", "no_context"])
@probe(
    spec=f"{VTD}, Remapping Faults; {VTD}, Fault Recording Registers",
    needs=NEEDS,
    covers=["iommu.blocked", "iommu.fault-record", "iommu.fault-event"],
)
def a_blocked_transfer_is_recorded(k: Kernel, kind: str) -> ProbeBody:
    """A write that the tables forbid changes no memory; source, address and reason are recorded, an event sent."""
    data = _data(3)
    source, target = Window.make(k, "source", 256, content=data), Window.make(k, "target", 256)
    edu, unit, domain = EduDevice(k), RemappingUnit(k), Domain(k, 1)
    domain.identity(source.buffer)
    if kind == "read_only":
        domain.map(target.address & -PAGE, target.address & -PAGE, write=False)
    unit.attach(edu.function.requester, domain)
    unit.translate()
    _to(edu, source.address, 256)
    if kind == "no_context":
        k.poke(unit.context.address + 16 * edu.function.requester, 0)
        unit.invalidate_contexts()
        unit.invalidate_translations()
    unit.FEDATA.write(VECTOR=FAULT)
    unit.FEADDR.write(0xFEE0_0000)
    unit.FECTL.write(IM=0)
    k.sti()
    k.trigger(_from, edu, target.address, 256)
    k.wait_for(FAULT)
    status = unit.FSTS.read("status")
    low, high = unit.fault.LOW.read("low"), unit.fault.HIGH.read("high")
    capability = unit.CAP.read("capability")

    run = yield

    assert target.untouched(run)
    assert run[capability].FRO == 0x22
    assert (run[status].PPF, run[status].FRI) == (1, 0)
    record = unit.fault_record(run[low], run[high])
    reason = FaultReason.CONTEXT_ENTRY_NOT_PRESENT if kind == "no_context" else FaultReason.WRITE
    assert (1, reason, edu.function.requester) == (record.F, record.FR, record.SID)
    assert target.address & -PAGE == record.FI << 12
    assert record.T1 == 0, "a write"
    assert run.count(FAULT) == 1


@probe(spec=f"{VTD}, Remapping Faults", needs=NEEDS, covers=["iommu.fault-record"])
def a_blocked_read_says_so(k: Kernel) -> ProbeBody:
    """A read of an unmapped page faults with the reason for reads, and the type bit is that of a read."""
    edu, unit, domain = EduDevice(k), RemappingUnit(k), Domain(k, 1)
    unit.attach(edu.function.requester, domain)
    unit.translate()
    k.trigger(_to, edu, IOVA, 16)
    low, high = unit.fault.LOW.read("low"), unit.fault.HIGH.read("high")

    run = yield

    record = unit.fault_record(run[low], run[high])
    assert (record.F, record.FR, record.T1) == (1, FaultReason.READ, 1)
    assert (edu.function.requester, IOVA) == (record.SID, record.FI << 12)


@probe.each(scope=["global", "domain", "page"])
@probe(spec=f"{VTD}, IOTLB Invalidate", needs=NEEDS, covers=["iommu.invalidation"])
def after_invalidation_the_new_translation_holds(k: Kernel, scope: str) -> ProbeBody:
    """A changed entry takes effect at the latest with the invalidation of its domain or page."""
    data = _data(4)
    source = Window.make(k, "source", 256, content=data)
    first, second = Window.make(k, "first", 256), Window.make(k, "second", 256)
    edu, unit, domain = EduDevice(k), RemappingUnit(k), Domain(k, 5)
    domain.identity(source.buffer)
    domain.map(IOVA, first.address & -PAGE)
    unit.attach(edu.function.requester, domain)
    unit.translate()
    _to(edu, source.address, 256)
    _from(edu, IOVA, 128)
    domain.map(IOVA, second.address & -PAGE)
    unit.invalidate_translations(*{"global": (), "domain": (5,), "page": (5, IOVA)}[scope])
    k.trigger(_from, edu, IOVA, 256)

    run = yield

    assert first.read(run) == data[:128] + bytes([GUARD]) * 128
    assert second.read(run) == data


@probe(spec=f"{VTD}, Invalidation of Translation Caches", needs=NEEDS, covers=["iommu.stale"])
def before_invalidation_the_old_or_the_new_translation_holds(k: Kernel) -> ProbeBody:
    """A present entry that changed without invalidation is used as it was or as it is, never as a mixture."""
    data = _data(6)
    source = Window.make(k, "source", 256, content=data)
    first, second = Window.make(k, "first", 256), Window.make(k, "second", 256)
    edu, unit, domain = EduDevice(k), RemappingUnit(k), Domain(k, 1)
    domain.identity(source.buffer)
    domain.map(IOVA, first.address & -PAGE)
    unit.attach(edu.function.requester, domain)
    unit.translate()
    _to(edu, source.address, 256)
    _from(edu, IOVA, 16)
    domain.map(IOVA, second.address & -PAGE)
    k.trigger(_from, edu, IOVA, 256)
    faults = unit.FSTS.read("faults")

    run = yield

    old, new = (window.read(run) for window in (first, second))
    untouched = bytes([GUARD]) * 256
    assert (old, new) in ((data, untouched), (data[:16] + untouched[16:], data))
    assert run[faults].PPF == 0


@probe(spec=f"{VTD}, Domains and Address Translation", needs=[*NEEDS, "virtio-rng"], covers=["iommu.two-domains"])
def each_device_has_its_own_domain(k: Kernel) -> ProbeBody:
    """The same device address means different memory to devices in different domains."""
    data = _data(5)
    source = Window.make(k, "source", 256, content=data)
    mine, other = Window.make(k, "mine", 256), Window.make(k, "other", 256)
    edu, unit = EduDevice(k), RemappingUnit(k)
    one, two = Domain(k, 1), Domain(k, 2)
    one.identity(source.buffer)
    one.map(IOVA, mine.address & -PAGE)
    two.map(IOVA, other.address & -PAGE)
    unit.attach(edu.function.requester, two)
    unit.attach(k.pci.device("virtio-rng").requester, one)
    unit.translate()
    k.mark("moved to the other domain")
    unit.attach(edu.function.requester, one)
    unit.invalidate_contexts()
    unit.invalidate_translations()
    _to(edu, source.address, 256)
    unit.attach(edu.function.requester, two)
    unit.invalidate_contexts()
    unit.invalidate_translations()
    k.trigger(_from, edu, IOVA, 256)

    run = yield

    assert other.read(run) == data
    assert mine.untouched(run)
