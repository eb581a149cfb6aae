"""`RemappingUnit`: VT-d programmed by the guest: tables for DMA and interrupts, invalidation, fault records.

Intel Virtualization Technology for Directed I/O, "DMA Remapping", "Interrupt Remapping", "Invalidation of Translation
Caches", "Remapping Hardware Software View".
"""

from __future__ import annotations

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Register
from harness.hardware.vtd import VtdUnit
from harness.hardware.vtd_structures import (
    ContextCacheInvalidate,
    ContextEntry,
    DescriptorType,
    FaultRecord,
    Granularity,
    InterruptEntryCacheInvalidate,
    IotlbInvalidateDescriptor,
    Irte,
    RootEntry,
    SecondStageEntry,
    TranslationType,
    WaitDescriptor,
)
from harness.kernel.builder import Kernel
from harness.kernel.poll import wait_register
from harness.kernel.program import Buffer
from harness.kernel.window import PAGE

__all__ = ["Domain", "RemappingUnit"]

ENTRIES = 256  # of the interrupt remapping table


class _Half(Register, width=64):
    """One half of a 128-bit register."""


class _FaultRecording(Block):
    """Fault recording register 0 of QEMU's unit: CAP.FRO is 22h (asserted by the probes)."""

    SPACE = Space.MMIO

    LOW = At(0x220, _Half)
    HIGH = At(0x228, _Half)


class Domain:
    """A second-stage page table of three levels (39 bits) with 4 KiB pages; nothing is mapped at first."""

    def __init__(self, k: Kernel, number: int) -> None:
        self.k = k
        self.number = number
        self.top = k.buffer(f"domain{number}", PAGE, align=PAGE)
        self._tables: dict[tuple[int, ...], Buffer] = {(): self.top}

    def map(self, address: int, to: int, *, read: bool = True, write: bool = True) -> None:
        """Translate one page; neither `read` nor `write`: unmap it. What is cached stays until it is invalidated."""
        path = (address >> 30 & 0x1FF, address >> 21 & 0x1FF)
        for depth in (1, 2):
            if path[:depth] not in self._tables:
                name = f"domain{self.number}_" + "_".join(map(str, path[:depth]))
                table = self.k.buffer(name, PAGE, align=PAGE)
                self._tables[path[:depth]] = table
                entry = SecondStageEntry.of(R=1, W=1, ADDRESS=table.address >> 12)
                _put64(self.k, self._tables[path[: depth - 1]].address + 8 * path[depth - 1], int(entry))
        leaf = SecondStageEntry.of(R=int(read), W=int(write), ADDRESS=to >> 12)
        _put64(self.k, self._tables[path].address + 8 * (address >> 12 & 0x1FF), int(leaf) if read or write else 0)

    def identity(self, buffer: Buffer) -> None:
        """Map every page of a buffer to itself."""
        for page in range(buffer.address & -PAGE, buffer.address + buffer.size, PAGE):
            self.map(page, page)


class RemappingUnit(VtdUnit):
    """The unit at its default address, with root and context table, invalidation queue and interrupt table."""

    def __init__(self, k: Kernel) -> None:
        super().__init__(k.bus)
        self.k = k
        self.root = k.buffer("vtd_root", PAGE, align=PAGE)
        self.context = k.buffer("vtd_context", PAGE, align=PAGE)
        self.table = k.buffer("vtd_irt", 16 * ENTRIES, align=PAGE)
        self.queue = k.buffer("vtd_queue", PAGE, align=PAGE)
        self.flag = k.buffer("vtd_flag", 8, align=PAGE)
        self._tail = 0
        self._enabled: dict[str, int] = {}
        self._waits = 0
        self.fault = _FaultRecording(k.bus, self.base, name="vtd_fault")
        _put128(k, self.root.address, RootEntry.of(P=1, CTP=self.context.address >> 12))
        self.IQA.write(IQA=self.queue.address >> 12)
        self._command(QIE=1, _status="QIES")

    # --- switches ---

    def _command(self, *, _status: str, _keep: bool = True, **bit: int) -> None:
        """One bit of GCMD, the others as they are; wait until GSTS shows it."""
        self.GCMD.write(**{**self._enabled, **bit})
        wait_register(self.k, self.GSTS, **{_status: next(iter(bit.values()))})
        if _keep:
            self._enabled.update(bit)

    def translate(self, on: bool = True) -> None:
        """Set the root table and enable (or disable) DMA remapping."""
        if on:
            self.RTADDR.write(RTA=self.root.address >> 12)
            self._command(SRTP=1, _status="RTPS", _keep=False)
            self.invalidate_contexts()
            self.invalidate_translations()
        self._command(TE=int(on), _status="TES")

    def remap_interrupts(self) -> None:
        """Set the interrupt remapping table (256 entries) and enable interrupt remapping."""
        self.IRTA.write(S=7, IRTA=self.table.address >> 12)
        self._command(SIRTP=1, _status="IRTPS", _keep=False)
        self.invalidate_interrupts()
        self._command(IRE=1, _status="IRES")

    def pass_compatibility(self, on: bool) -> None:
        """Let interrupts in compatibility format pass, or block them. Does not wait: not every unit has the bit."""
        self.GCMD.write(**{**self._enabled, "CFI": int(on)})

    # --- tables ---

    def attach(self, requester: int, domain: Domain) -> None:
        """Context entry of a function of bus 0: its DMA goes through the domain's tables."""
        entry = ContextEntry.of(
            P=1, T=TranslationType.UNTRANSLATED, SSPTPTR=domain.top.address >> 12, AW=1, DID=domain.number
        )
        _put128(self.k, self.context.address + 16 * requester, entry)

    def pass_through(self, requester: int) -> None:
        """Context entry of a function of bus 0 whose requests are not translated. Needs ECAP.PT."""
        entry = ContextEntry.of(P=1, T=TranslationType.PASS_THROUGH, AW=1, DID=0xFFFF)
        _put128(self.k, self.context.address + 16 * requester, entry)

    def route(self, index: int, vector: int, *, destination: int = 0, **fields: int) -> None:
        """An interrupt remapping table entry: present, fixed, edge, physical, unless `fields` of `Irte` change it."""
        entry = Irte.of(**{"P": 1, "V": vector, "DST": destination << 8, **fields})
        _put128(self.k, self.table.address + 16 * index, entry)

    # --- invalidation ---

    def invalidate_contexts(self) -> None:
        """Global context-cache invalidation."""
        self._invalidate(ContextCacheInvalidate.of(TYPE=DescriptorType.CONTEXT_CACHE, G=Granularity.GLOBAL))

    def invalidate_translations(self, domain: int | None = None, page: int | None = None) -> None:
        """IOTLB invalidation: all, a domain's, or one page of a domain."""
        kind = Granularity.GLOBAL if domain is None else Granularity.DOMAIN if page is None else Granularity.SELECTIVE
        self._invalidate(
            IotlbInvalidateDescriptor.of(TYPE=DescriptorType.IOTLB, G=kind, DID=domain or 0, ADDRESS=(page or 0) >> 12)
        )

    def invalidate_interrupts(self) -> None:
        """Global interrupt entry cache invalidation."""
        self._invalidate(InterruptEntryCacheInvalidate.of(TYPE=DescriptorType.INTERRUPT_ENTRY_CACHE, G=0))

    def _invalidate(self, descriptor: Register) -> None:
        """Queue a descriptor and a wait descriptor, and wait until the latter has written its status."""
        self._waits += 1
        done = WaitDescriptor.of(
            TYPE=DescriptorType.WAIT, SW=1, STATUS_DATA=self._waits, STATUS_ADDRESS=self.flag.address >> 2
        )
        for each in (descriptor, done):
            _put128(self.k, self.queue.address + 16 * self._tail, each)
            self._tail = (self._tail + 1) % (PAGE // 16)
        self.IQT.write(OFFSET=self._tail)
        self.k.wait_until(self.flag, self._waits, mask=0xFFFF_FFFF)

    @staticmethod
    def fault_record(low: int, high: int) -> FaultRecord:
        """The two halves of a fault recording register as one."""
        return FaultRecord(high << 64 | low)


def _put64(k: Kernel, address: int, value: int) -> None:
    k.program.step(f"table entry at {address:#x}", f"movabs rax, {value:#x}", f"mov qword ptr [{address:#x}], rax")


def _put128(k: Kernel, address: int, value: Register) -> None:
    low, high = int(value) & (1 << 64) - 1, int(value) >> 64
    k.program.step(
        f"table entry at {address:#x}",
        f"movabs rax, {high:#x}",
        f"mov qword ptr [{address + 8:#x}], rax",  # the half with Present last
        f"movabs rax, {low:#x}",
        f"mov qword ptr [{address:#x}], rax",
    )
