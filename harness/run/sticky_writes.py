"""Finds programs that may write state which survives `system_reset`: their machine serves no further run.

The check reads the text of the program, so it costs microseconds. It allows I/O ports, registers of PCI configuration
space and MSRs by name; a register that is not listed, or cannot be resolved, counts as one that survives. `make leaks`
tests what is allowed here on every machine type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

__all__ = ["reads_clock", "sticky_write"]

_WRITES = re.compile(
    r"^[ \t]*(?:[\w.]+:[ \t]*)?(?:rep[a-z]*[ \t]+)?"
    r"(?:(?P<out>outs?[bwd]?)\b[ \t]*(?P<port>[^,\n#]*)|(?P<msr>wrmsrn?s?)\b|call[ \t]+(?P<call>pci_write)\b)",
    re.MULTILINE,
)
_HIDDEN = re.compile(
    # Data directives whose text has the opcode of OUT, OUTS (SDM vol. 2B: E6, E7, EE, EF, 6E, 6F) or WRMSR (0F 30).
    r"\.(?:byte|word|short|long|int|quad|octa)\b[^\n]*(?:e[67ef]|6[ef]|0x30|300f|\b48\b)",
)
_ECAM = re.compile(r"0xb[0-9a-f]{7}(?![0-9a-f])|ecam_base")  # q35: configuration space in memory
_ECAM_HINTS = ("0xb", "ecam_base")
_CLOCK = re.compile(r"\b(?:0x0*7[01]|11[23])\b")
_WRITE_HINTS = ("out", "wrmsr", "pci_write")
_PORT_INSTRUCTION = re.compile(r"\b(?:in|out|mov\s+[er]?dx)\b")
_CLOCK_HINTS = ("0x70", "0x71", "112", "113")
_CHANGES = {
    "dx": re.compile(
        r"\b[er]?dx\b|\bd[lh]\b|^\s*(?:call|mul|div|imul|idiv|rdtsc|cpuid|rdmsr|cdq|cqo|rdtscp)\b|:\s*$"
    ),
    "cx": re.compile(r"\b[er]?cx\b|\bc[lh]\b|^\s*(?:call|rep\w*|cpuid|loop\w*|syscall|rdtscp)\b|:\s*$"),
    "ax": re.compile(r"\b[er]?ax\b|\ba[lh]\b|^\s*(?:call|mul|div|imul|idiv|rdtsc|cpuid|rdmsr|rdtscp|cbw|cwde|cdqe|"
                     r"lods\w*)\b|:\s*$"),
}  # fmt: skip
_ONLY_READS = {
    "dx": re.compile(r"\s*(?:in|out)\b"),
    "cx": re.compile(r"\s*(?:rdmsr|wrmsr)\b"),
    "ax": re.compile(r"\s*out\b"),
}
_SET = {
    register: re.compile(rf"mov\s+e?{register}\s*,\s*(0x[0-9a-f]+|[0-9]+)\s*(?:#.*)?")
    for register in ("dx", "cx", "ax")
}
_LOOK_BACK = 600  # characters in which the register of the write must be set

# Ports whose device has a reset method in QEMU that restores them all, or that guest/runtime/start.asm writes at each
# start.
_PORTS = frozenset(
    (
        *(0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1),  # 8259, ELCR
        *(0x40, 0x41, 0x42, 0x43, 0x61),  # 8254, port B: the runtime
        0x60,  # 8042, but for commands: a half-written one survives (docs/deviations/boot-8042-command-kept.md)
        *(0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B, 0x8F),  # 8237, page registers: the runtime
        *(0xF0, 0xF1),  # FERR#
        *range(0x170, 0x178),
        *range(0x1F0, 0x1F8),
        *range(0x376, 0x377),
        *(0x3F0, 0x3F1, 0x3F2),  # floppy, but for TDR and DSR
        *(0x3F5, 0x3F6, *range(0x3F8, 0x400)),  # floppy, but for CCR; IDE, COM1
        0x505,  # pvpanic
        *range(0x600, 0x606),  # ACPI PM1 event and control
        *range(0xCF8, 0xCFC),  # PCI configuration address (the runtime), reset control
        *range(0x2000, 0x2018),  # interrupt lines of pc-testdev
    )
)
_CONFIGURATION_DATA = range(0xCFC, 0xD00)

_HEADER = range(0x40)  # PCI Local Bus Specification 3.0, "Configuration Space Organization"
# Registers of the chipset behind the header that QEMU restores: machine type → address for port CF8h → offsets.
_CHIPSET: Mapping[str, Mapping[int, Sequence[range]]] = MappingProxyType(
    {
        "q35": {
            0x8000_0000: (range(0x60, 0x68), range(0x9D, 0x9F)),  # PCIEXBAR, SMRAM, ESMRAMC
            0x8000_F800: (range(0x40, 0x45), range(0x60, 0x64), range(0x68, 0x6C), range(0xF0, 0xF4)),  # PMBASE, PIRQ
        },
        "pc": {
            0x8000_0800: (range(0x60, 0x64),),  # PIRQ
            0x8000_0B00: (range(0x40, 0x41), range(0x58, 0x5C), range(0x80, 0x81)),  # PMBASE, PMREGMISC
        },
    }
)
# Capabilities that pci_device_reset() of QEMU clears, and their longest form in bytes.
_CAPABILITIES = MappingProxyType({0x05: 0x18, 0x11: 0x0C})
_FIND = re.compile(r"^mov esi, (0x[0-9a-f]+)\ncall pci_capability\nmov qword ptr \[(0x[0-9a-f]+)\], rax$", re.MULTILINE)
_SLOT = re.compile(r"mov rax, qword ptr \[(0x[0-9a-f]+)\]")
_ADD = re.compile(r"add eax, (0x[0-9a-f]+)")

_MSRS = frozenset(
    (
        *(0x10, 0x1B, 0x3A, 0x3B, 0x174, 0x175, 0x176, 0x1A0, 0x1D9, 0x277, 0x2FF, 0x6E0),
        *range(0x200, 0x220),  # variable MTRRs
        *(0x250, 0x258, 0x259, *range(0x268, 0x270)),  # fixed MTRRs
        *range(0x800, 0x840),  # x2APIC
        *range(0xC000_0080, 0xC000_0085),
        *range(0xC000_0100, 0xC000_0104),
    )
)
"""MSRs that a reset of the processor restores in QEMU. Those of the machine-check banks keep what was written."""


def reads_clock(texts: Iterable[str]) -> bool:
    """Whether a program may read the RTC or CMOS, whose time continues from run to run: it needs a fresh machine."""
    text = "\n".join(texts)
    if not any(hint in text for hint in _CLOCK_HINTS):
        return False
    lines = text.lower().split("\n")
    return any(_CLOCK.search(line) and _PORT_INSTRUCTION.search(line) for line in lines)


def sticky_write(texts: Iterable[str], machine: str) -> str | None:
    """Why a program with these statements may leave state that survives a reset; `None` where it cannot.

    `machine`: the machine type, as in `Target.machine`.
    """
    text = "\n".join(texts).lower()
    if found := _HIDDEN.search(text):
        return f"data that may be an OUT or WRMSR instruction: {found.group().strip()}"
    if machine == "q35" and any(hint in text for hint in _ECAM_HINTS) and (found := _ECAM.search(text)):
        return f"PCI configuration space in memory: {found.group()}"
    if not any(hint in text for hint in _WRITE_HINTS):
        return None
    capabilities = _Capabilities(text)
    for found in _WRITES.finditer(text):
        before = _lines_before(text, found)
        if found["msr"]:
            problem = _msr(before)
        elif found["call"]:
            problem = _configuration(capabilities, before, None, machine)
        else:
            problem = _port(capabilities, before, found, machine)
        if problem:
            return problem
    return None


class _Capabilities:
    """The slots in which the program stores the addresses of capabilities that it has found."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for identifier, slot in _FIND.findall(self._text):
            size = _CAPABILITIES.get(int(identifier, 0), 0)
            sizes[slot] = min(size, sizes.get(slot, size))
        return sizes

    def restored_bytes(self, slot: str) -> int:
        """How many bytes of the capability whose address is in the slot a reset restores."""
        return self._sizes.get(slot, 0)


def _lines_before(text: str, found: re.Match[str]) -> list[str]:
    start = max(0, found.start() - _LOOK_BACK)
    lines = text[start : found.start()].split("\n")
    return lines[1:-1] if start else lines[:-1]  # the first one may be cut, the last one is empty


def _constant(register: str, before: Sequence[str]) -> int | None:
    """The content of DX, CX or AX after these lines, where it is a constant."""
    for line in reversed(before):
        if written := _SET[register].fullmatch(line.strip()):
            return int(written.group(1), 0)
        if _CHANGES[register].search(line) and not _ONLY_READS[register].match(line):
            return None
    return None


def _msr(before: Sequence[str]) -> str | None:
    number = _constant("cx", before)
    if number is None:
        return "WRMSR to an MSR that is not a constant"
    return None if number in _MSRS else f"WRMSR to MSR {number:#x}, which a reset does not restore"


def _port(capabilities: _Capabilities, before: Sequence[str], found: re.Match[str], machine: str) -> str | None:
    operand = found["port"].strip()
    if operand == "dx":
        port = _constant("dx", before)
    else:
        try:
            port = int(operand, 0)
        except ValueError:
            port = None
    if port is None or found["out"].startswith("outs"):
        return f"OUT to a port that is not a constant: {found.group().strip()}"
    if port in _CONFIGURATION_DATA:
        return _configuration(capabilities, before, port - _CONFIGURATION_DATA.start, machine)
    return None if port in _PORTS else f"OUT to port {port:#x}, which a reset does not restore"


def _configuration(capabilities: _Capabilities, before: Sequence[str], byte: int | None, machine: str) -> str | None:
    """The same for a register of configuration space: through port CFCh + `byte`, or through pci_write (`None`)."""
    lines = [line.strip() for line in before]
    if byte is not None:  # as harness/kernel/bus.py writes it
        if lines[-4:-1] != ["mov edx, 0xcf8", "out dx, eax", "mov rax, rcx"]:
            return "PCI configuration space at an address that is not known to be restored by a reset"
        lines = lines[:-4]
    else:
        while lines and _SET["cx"].fullmatch(lines[-1]):
            lines.pop()
    address = _constant("ax", lines)
    if address is not None:
        offset = (address & 0xFC) + (byte or 0)
        spans = (_HEADER, *_CHIPSET.get(machine, {}).get(address & 0xFFFF_FF00, ()))
        if any(offset in span and (offset | 3 if byte is None else offset) in span for span in spans):
            return None
        return f"PCI configuration register {offset:#x} of {address & 0xFFFF_FF00:#x}, which a reset does not restore"
    added = _ADD.fullmatch(lines[-1]) if lines else None
    slot = _SLOT.fullmatch(lines[-2 if added else -1]) if len(lines) >= (2 if added else 1) else None
    if slot is not None:
        offset = int(added.group(1), 0) if added else 0
        if offset < capabilities.restored_bytes(slot.group(1)):
            return None
    return "PCI configuration space at an address that is not known to be restored by a reset"
