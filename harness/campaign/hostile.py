"""Guest programs that write everything they can reach. Each attacks one part of the machine, which a reset must
restore.

A part can be split, because a guest that writes too much at once does not reach its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.hardware.platform import PCI_SLOTS, Platform

__all__ = ["Attack", "attacks"]

_PATTERNS = (0x5A5A5A5A, 0xA5A5A5A5)
_BAR_BYTES = 0x1000  # of each memory BAR
_GROUP = 64  # dwords of memory, or of configuration space, that one guest writes
_FIRST_BARS = 6


@dataclass(frozen=True)
class Attack:
    """What one guest writes: `items` of one `kind`, each a block of assembly with its name."""

    kind: str
    items: tuple[tuple[str, str], ...]
    pattern: int = 0

    @property
    def name(self) -> str:
        """`port 0x40 to port 0x43, pattern 0x5a5a5a5a`."""
        first, last = self.items[0][0], self.items[-1][0]
        span = first if first == last else f"{first} to {last}"
        return f"{span}, pattern {self.pattern:#x}" if self.pattern else span

    @property
    def texts(self) -> Iterator[str]:
        """The assembly, a block for each item."""
        for _, text in self.items:
            yield text

    def parts(self, allowed: Callable[[str], bool]) -> tuple[Attack, ...]:
        """The items for which `allowed` is true, and the others, as two attacks: a machine that is not used again hides
        leaks."""
        groups = [[item for item in self.items if allowed(item[1]) is wanted] for wanted in (True, False)]
        return tuple(Attack(self.kind, tuple(items), self.pattern) for items in groups if items)

    def halves(self) -> tuple[Attack, ...]:
        """Two attacks that together do the same; none where there is only one item."""
        middle = len(self.items) // 2
        parts = (self.items[:middle], self.items[middle:]) if middle else ()
        return tuple(Attack(self.kind, part, self.pattern) for part in parts)


def attacks(platform: Platform, devices: Sequence[str], ports: Iterable[int]) -> Iterator[Attack]:
    """Every attack on a machine with these devices. `ports`: the I/O ports that a device decodes."""
    ports = sorted(ports)
    for pattern in _PATTERNS:
        for start in range(0, len(ports), 4):
            items = tuple((f"port {port:#x}", _port(port, pattern & 0xFF)) for port in ports[start : start + 4])
            yield Attack("port", items, pattern)
        for region, base, size in _memory(platform, devices):
            yield from _groups(region, base, size, pattern)
        yield from _io_apic(pattern)
        if platform.has_pci:
            slots = [PCI_SLOTS[device] for device in devices if device in PCI_SLOTS]
            for slot, function in (*_CHIPSET[platform.name], *((slot, 0) for slot in slots)):
                yield from _configuration(slot, function, pattern)
            for slot in slots:
                yield from _bars(slot, pattern)
    yield from _msrs()
    yield Attack("processor", (("x87, SSE, debug and control registers", _PROCESSOR),))
    yield Attack("memory", (("RAM", _RAM),))


_CHIPSET = {
    "q35": ((0, 0), (0x1F, 0), (0x1F, 2), (0x1F, 3)),
    "pc": ((0, 0), (1, 0), (1, 1), (1, 3)),
    "microvm": (),
}


def _port(port: int, value: int) -> str:
    return f"mov dx, {port:#x}\nmov al, {value:#x}\nout dx, al"


def _memory(platform: Platform, devices: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    yield "local APIC", 0xFEE00000, 0x400
    if platform.has_hpet:
        yield "HPET", 0xFED00000, 0x400
    if "intel-iommu" in devices:
        yield "VT-d", 0xFED90000, 0x240
    if platform.name == "microvm":
        yield "virtio-mmio", 0xFEB00000, 0x1000


def _groups(name: str, base: int, size: int, pattern: int) -> Iterator[Attack]:
    for start in range(0, size, 4 * _GROUP):
        items = tuple(
            (f"{name} + {offset:#x}", f"mov rdi, {base + offset:#x}\nmov dword ptr [rdi], {pattern:#x}")
            for offset in range(start, min(start + 4 * _GROUP, size), 4)
        )
        yield Attack(name, items, pattern)


def _io_apic(pattern: int) -> Iterator[Attack]:
    items = tuple(
        (
            f"IO APIC register {index:#x}",
            f"mov rdi, 0xFEC00000\nmov dword ptr [rdi], {index:#x}\nmov dword ptr [rdi+0x10], {pattern:#x}",
        )
        for index in range(0x40)
    )
    yield Attack("IO APIC", items, pattern)


def _configuration(device: int, function: int, pattern: int) -> Iterator[Attack]:
    address = 0x80000000 | device << 11 | function << 8
    items = tuple(
        (
            f"{device:02x}.{function} configuration {offset:#x}",
            f"mov eax, {address + offset:#x}\nmov ecx, {pattern:#x}\ncall pci_write",
        )
        for offset in range(0, 0x100, 4)
    )
    yield Attack("PCI configuration", items, pattern)


def _bars(device: int, pattern: int) -> Iterator[Attack]:
    """Memory and I/O behind each BAR; pci_init of the runtime has given addresses to them."""
    address = 0x80000000 | device << 11
    for index in range(_FIRST_BARS):
        for start in range(0, _BAR_BYTES, 4 * _GROUP):
            items = []
            for offset in range(start, start + 4 * _GROUP, 4):
                name = f"{device:02x}.0 BAR {index} + {offset:#x}"
                items.append((name, _BAR.format(
                    command=f"{address + 4:#x}", bar=f"{address + 0x10 + 4 * index:#x}", offset=f"{offset:#x}",
                    pattern=f"{pattern:#x}",
                )))  # fmt: skip
            yield Attack("BAR", tuple(items), pattern)


_BAR = """
mov eax, {command}
mov ecx, 0x0003
call pci_write
mov eax, {bar}
call pci_read
test al, 1
jnz 1f
and eax, 0xFFFFFFF0
jz 2f
mov edi, eax
mov dword ptr [rdi+{offset}], {pattern}
jmp 2f
1:
and eax, 0xFFFC
jz 2f
mov edx, eax
add edx, {offset}
mov eax, {pattern}
out dx, eax
2:
"""


_MSRS = (
    *range(0x20),
    *(0x1B, 0x3A, 0x3B, 0x48, 0x79, 0x8B),
    *range(0xC1, 0xC9),
    *(0xE1, 0xE7, 0xE8, 0xFE, 0x122, 0x140, 0x174, 0x175, 0x176, 0x179, 0x17A, 0x17B),
    *range(0x186, 0x18E),
    *(0x199, 0x19A, 0x19B, 0x19C, 0x1A0, 0x1AD, 0x1C8, 0x1C9, 0x1D9, 0x1F2, 0x1F3),
    *range(0x200, 0x220),
    *(0x250, 0x258, 0x259, *range(0x268, 0x270), 0x277, 0x2FF),
    *(0x309, 0x30A, 0x30B, 0x345, 0x38D, 0x38E, 0x38F, 0x390),
    *range(0x400, 0x428),
    *(0x4D0, 0x560, 0x561, 0x570, 0x571, 0x572, 0x600, 0x6A0, 0x6A2, 0x6A4, 0x6A5, 0x6A6, 0x6A7, 0x6A8, 0x6E0, 0x6E1),
    *range(0x800, 0x840),
    *(0xC80, 0xD90, 0xDA0),
    *range(0x4B564D00, 0x4B564D09),
    *range(0x40000000, 0x40000008),
    *(0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000102, 0xC0000103, 0xC0000104),
    *(0xC0010010, 0xC0010015, 0xC001001F, 0xC0010114, 0xC0010115, 0xC0010117, 0xC001011F),
)


_CHANGES = (("inverted", "not eax\nnot edx"), ("low byte", "xor eax, 0x5A"), ("bit 12", "xor eax, 0x1000"))


def _msrs() -> Iterator[Attack]:
    """Each MSR with all writable bits inverted, together and one by one, as far as the processor accepts it."""
    items = []
    for msr in dict.fromkeys(_MSRS):
        for what, change in (
            ("inverted", "not eax\nnot edx"),
            ("low byte", "xor eax, 0x5A"),
            ("bit 12", "xor eax, 0x1000"),
        ):
            items.append((f"MSR {msr:#x} {what}", f"mov ecx, {msr:#x}\nrdmsr\n{change}\nmov ecx, {msr:#x}\nwrmsr"))
    for start in range(0, len(items), 12):
        yield Attack("MSR", tuple(items[start : start + 12]))


_PROCESSOR = """
fninit
fldpi
fld1
mov eax, 0x9FC0
push rax
ldmxcsr [rsp]
pop rax
mov rax, 0x123456789ABCDEF0
movq xmm0, rax
movq xmm15, rax
mov dr0, rax
mov dr1, rax
mov dr2, rax
mov dr3, rax
mov rax, cr4
or rax, 0x208
mov cr4, rax
mov rax, 0xA
mov cr8, rax
mov cr2, rax
"""

_RAM = """
mov rdi, 0x20000
mov ecx, 0x60000 / 8
mov rax, 0x5A5A5A5A5A5A5A5A
cld
rep stosq
mov rdi, 0x1000000
mov ecx, 0x400000 / 8
rep stosq
"""
