"""VT-d domains: an NVMe controller and an AHCI disk at work at the same time, each behind its own tables."""

from collections.abc import Iterable
from random import Random

from harness import GUARD, PAGE, Buffer, Kernel, ProbeBody, Run, Window, probe, wait_register
from harness.devices import AhciDisk, AtaCommand, Domain, FaultReason, NvmeController, NvmeQueue, RemappingUnit

NEEDS = ["intel-iommu", "nvme", "ahci"]
BLOCK = 512
IOVA = 0x0800_0000  # above RAM: nothing but a table entry makes memory of it
VTD = "Intel VT-d specification"


def _disks(k: Kernel) -> tuple[NvmeQueue, AhciDisk]:
    """Both controllers with their queues, not yet behind the unit."""
    nvme = NvmeController(k)
    return nvme.queue(1, 8), AhciDisk(k)


def _own(domain: Domain, buffers: Iterable[Buffer]) -> None:
    """A domain's device reaches its own queues and tables where they are."""
    for buffer in buffers:
        domain.identity(buffer)


def _behind(
    k: Kernel, queue: NvmeQueue, disk: AhciDisk, tables: Iterable[Buffer], *, nvme: Domain, ahci: Domain
) -> RemappingUnit:
    """Give each disk its domain and switch translation on; the AHCI port finds its structures anew."""
    admin = queue.controller.admin
    _own(nvme, [admin.submission, admin.completion, queue.submission, queue.completion])
    _own(ahci, [disk.list, disk.received, *tables])
    unit = RemappingUnit(k)
    unit.attach(queue.controller.function.requester, nvme)
    unit.attach(disk.function.requester, ahci)
    unit.translate()
    disk.begin()
    return unit


def _fill(run: Run) -> tuple[bytes, bytes]:
    """Different random bytes on the two disks, while the guest waits at `disk`."""
    with run.stopped_at("disk"):
        random = Random(71)
        contents = random.randbytes(16 * BLOCK), random.randbytes(16 * BLOCK)
        for name, content in zip(("nvme", "ahci"), contents, strict=True):
            run.backing(name)[: len(content)] = content
    return contents


@probe(spec=f"{VTD}, Domains and Address Translation", needs=NEEDS, covers=["iommu.two-domains"])
def two_devices_use_one_address_at_the_same_time(k: Kernel) -> ProbeBody:
    """The same device address is two pages of memory, for two devices whose transfers are under way together."""
    mine, other = Window.make(k, "mine", BLOCK), Window.make(k, "other", BLOCK)
    queue, disk = _disks(k)
    one, two = Domain(k, 1), Domain(k, 2)
    one.map(IOVA, mine.address)
    two.map(IOVA, other.address)
    queue.read(IOVA, 3, cid=1)
    table = disk.prepare(AtaCommand.READ_DMA_EXT, 3, 1, [(IOVA, BLOCK)])
    unit = _behind(k, queue, disk, [table], nvme=one, ahci=two)
    k.checkpoint("disk")
    with k.trigger():
        queue.ring()
        disk.issue()
    queue.wait(1)
    disk.wait_done()
    faults = unit.FSTS.read("faults")

    run = yield

    nvme_content, ahci_content = _fill(run)
    assert run[faults].PPF == 0
    for window, content in ((mine, nvme_content), (other, ahci_content)):
        assert window.read(run) == content[3 * BLOCK : 4 * BLOCK]


@probe.each(blocked=["nvme", "ahci"])
@probe(
    spec=f"{VTD}, Domains and Address Translation; {VTD}, Remapping Faults",
    needs=NEEDS,
    covers=["iommu.two-domains", "iommu.blocked", "iommu.fault-record"],
)
def one_domains_mapping_does_not_serve_the_other(k: Kernel, blocked: str) -> ProbeBody:
    """A page that one device may write is closed to the other: that one is blocked and recorded, the first is not."""
    window = Window.make(k, "data", 2 * PAGE)
    queue, disk = _disks(k)
    one, two = Domain(k, 1), Domain(k, 2)
    working = two if blocked == "nvme" else one
    working.map(IOVA, window.address)
    working.map(IOVA + PAGE, window.address + PAGE)
    # The device that works reads into the first page, the other one tries the second.
    nvme_at, ahci_at = (IOVA + PAGE, IOVA) if blocked == "nvme" else (IOVA, IOVA + PAGE)
    queue.read(nvme_at, 3, cid=1)
    table = disk.prepare(AtaCommand.READ_DMA_EXT, 3, 1, [(ahci_at, BLOCK)])
    unit = _behind(k, queue, disk, [table], nvme=one, ahci=two)
    k.checkpoint("disk")
    with k.trigger():
        queue.ring()
        disk.issue()
    if blocked == "nvme":
        disk.wait_done()
        queue.wait(1)
    else:
        queue.wait(1)
        wait_register(k, unit.FSTS, PPF=1, ms=k.device_ms)
    status = unit.FSTS.read("status")
    low, high = unit.fault.LOW.read("low"), unit.fault.HIGH.read("high")

    run = yield

    contents = dict(zip(("nvme", "ahci"), _fill(run), strict=True))
    working_content = contents["ahci" if blocked == "nvme" else "nvme"]
    memory = window.read(run)
    assert memory[:BLOCK] == working_content[3 * BLOCK : 4 * BLOCK]
    assert set(memory[BLOCK:]) == {GUARD}
    assert run[status].PPF == 1
    record = unit.fault_record(run[low], run[high])
    requester = queue.controller.function.requester if blocked == "nvme" else disk.function.requester
    assert (1, requester, FaultReason.WRITE) == (record.F, record.SID, record.FR)
    assert record.FI << 12 == IOVA + PAGE


@probe(spec=f"{VTD}, Context-cache Invalidate", needs=NEEDS, covers=["iommu.two-domains", "iommu.invalidation"])
def devices_change_places(k: Kernel) -> ProbeBody:
    """When two devices have exchanged their domains, each reaches what the other reached before."""
    first, second = Window.make(k, "first", BLOCK), Window.make(k, "second", BLOCK)
    queue, disk = _disks(k)
    one, two = Domain(k, 1), Domain(k, 2)
    one.map(IOVA, first.address)
    two.map(IOVA, second.address)
    admin = queue.controller.admin
    queue.read(IOVA, 3, cid=1)
    queue.read(IOVA, 4, cid=2)
    tables = [disk.prepare(AtaCommand.READ_DMA_EXT, 3 + slot, 1, [(IOVA, BLOCK)], slot=slot) for slot in (0, 1)]
    unit = _behind(k, queue, disk, tables, nvme=one, ahci=two)
    # What each device needs of its own, in the other domain too.
    _own(two, [admin.submission, admin.completion, queue.submission, queue.completion])
    _own(one, [disk.list, disk.received, *tables])
    unit.invalidate_translations()
    k.checkpoint("disk")
    queue.ring(tail=1)
    disk.issue(0)
    queue.wait(1)
    disk.wait_done()
    k.checkpoint("before")
    unit.attach(queue.controller.function.requester, two)
    unit.attach(disk.function.requester, one)
    unit.invalidate_contexts()
    unit.invalidate_translations()
    with k.trigger():
        queue.ring()
        disk.issue(1)
    queue.wait(2)
    disk.wait_done()
    faults = unit.FSTS.read("faults")

    run = yield

    nvme_content, ahci_content = _fill(run)
    with run.stopped_at("before"):
        assert first.read(run) == nvme_content[3 * BLOCK : 4 * BLOCK]
        assert second.read(run) == ahci_content[3 * BLOCK : 4 * BLOCK]
    assert second.read(run) == nvme_content[4 * BLOCK : 5 * BLOCK]
    assert first.read(run) == ahci_content[4 * BLOCK : 5 * BLOCK]
    assert run[faults].PPF == 0
