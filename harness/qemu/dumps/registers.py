"""`info registers -a`: the general, segment, control and debug registers of every CPU.

The format is that of QEMU's `x86_cpu_dump_state` (target/i386/cpu-dump.c).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from harness.qemu.errors import DumpError

__all__ = ["CpuRegisters", "DescriptorTable", "SegmentRegister", "parse_registers"]

_WHAT = "info registers"
_CPU = re.compile(r"CPU#([0-9]{1,5})")
_PAIR = re.compile(r"([A-Z]{1,4}[0-9]{0,2}) {0,4}=([0-9a-f]{1,16})(?![0-9a-f])")
_PAIRS = re.compile(r"(?:[A-Z]{1,4}[0-9]{0,2} {0,4}=[0-9a-f]{1,16}(?: {1,4}|$))+")
_STATE = re.compile(
    r"[RE]IP=([0-9a-f]{1,16}) (?:RFL|EFL)=([0-9a-f]{1,16}) \[[-DOSZAPC]{7}\]"
    r" CPL=([0-3]) II=([01]) A20=([01]) SMM=([01]) HLT=([01])"
)
_SEGMENT = re.compile(
    r"(ES|CS|SS|DS|FS|GS|LDT|TR) {0,4}=([0-9a-f]{4}) ([0-9a-f]{1,16}) ([0-9a-f]{8}) ([0-9a-f]{8})(?: DPL=[0-3] .+)?"
)
_TABLE = re.compile(r"(GDT|IDT)= {1,8}([0-9a-f]{1,16}) ([0-9a-f]{1,8})")
_FPU = re.compile(r"FCW=([0-9a-f]{1,8}) FSW=([0-9a-f]{1,8}) \[ST=[0-7]\] FTW=([0-9a-f]{1,8}) MXCSR=([0-9a-f]{1,8})")
_IGNORED = re.compile(
    r"FPR[0-9]=[0-9a-f]{16} [0-9a-f]{4} FPR[0-9]=[0-9a-f]{16} [0-9a-f]{4}"
    r"|XMM[0-9]{2}=[0-9a-f]{16} [0-9a-f]{16} XMM[0-9]{2}=[0-9a-f]{16} [0-9a-f]{16}"
    r"|YMM[0-9]{2}=[0-9a-f]{16}(?: [0-9a-f]{16}){3}|ZMM[0-9]{2}=[0-9a-f]{16}(?: [0-9a-f]{16}){7}"
    r"|Opmask[0-9]{2}=[0-9a-f]{16}(?: Opmask[0-9]{2}=[0-9a-f]{16}){0,7}"
    r"|CC[SDO]=\S+ CCD=\S+ CCO=\S+|Code=.*"
)
_GENERAL = frozenset(
    ["RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP"]
    + ["EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "EBP", "ESP"]
    + [f"R{n}" for n in range(8, 32)]
    + ["CR0", "CR2", "CR3", "CR4", "CR8", "DR0", "DR1", "DR2", "DR3", "DR6", "DR7", "EFER"]
)

_STATE_FIELDS = ("rip", "rflags", "cpl", "inhibit_interrupts", "a20", "smm", "halted")
_LINES = {"MXCSR": "a line FCW=…", "rip": "a line RIP=…"}
_ONLY_64 = [f"r{n}" for n in range(8, 16)]
_TABLES = ("ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR", "GDT", "IDT")
_CONTROL = ("CR0", "CR2", "CR3", "CR4", "EFER", "DR0", "DR1", "DR2", "DR3", "DR6", "DR7", "MXCSR")
_COMMON = {name: name for name in _STATE_FIELDS} | {name.lower(): name for name in _TABLES + _CONTROL}
_PAIRS_16 = ("AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP")
# Field → the name under which a dump of that mode shows it.
_SHOWN_64 = _COMMON | {f"r{name.lower()}": f"R{name}" for name in _PAIRS_16} | {name: name.upper() for name in _ONLY_64}
_SHOWN_32 = _COMMON | {f"r{name.lower()}": f"E{name}" for name in _PAIRS_16}


@dataclass(frozen=True)
class SegmentRegister:
    """Selector and hidden part. `flags` is the second dword of the descriptor, bits 8 to 23."""

    selector: int
    base: int
    limit: int
    flags: int


@dataclass(frozen=True)
class DescriptorTable:
    """GDTR or IDTR."""

    base: int
    limit: int


@dataclass(frozen=True)
class CpuRegisters:
    """One CPU. `r8` to `r15` are `None` outside 64-bit mode, where QEMU does not show them; so is the upper half of
    the others (it reads as 0). `bits64`: the CPU runs 64-bit code."""

    cpu: int
    bits64: bool
    rax: int
    rbx: int
    rcx: int
    rdx: int
    rsi: int
    rdi: int
    rbp: int
    rsp: int
    r8: int | None
    r9: int | None
    r10: int | None
    r11: int | None
    r12: int | None
    r13: int | None
    r14: int | None
    r15: int | None
    rip: int
    rflags: int
    cpl: int
    inhibit_interrupts: bool  # in the shadow of STI or MOV SS
    a20: bool
    smm: bool
    halted: bool
    es: SegmentRegister
    cs: SegmentRegister
    ss: SegmentRegister
    ds: SegmentRegister
    fs: SegmentRegister
    gs: SegmentRegister
    ldt: SegmentRegister
    tr: SegmentRegister
    gdt: DescriptorTable
    idt: DescriptorTable
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    cr8: int | None  # not in the dumps of QEMU up to 10.0: it is the local APIC's TPR[7:4]
    efer: int
    dr0: int
    dr1: int
    dr2: int
    dr3: int
    dr6: int
    dr7: int
    mxcsr: int

    @property
    def pc(self) -> int:
        """The linear address of the next instruction."""
        return self.rip if self.bits64 else (self.cs.base + self.rip) & 0xFFFF_FFFF


def parse_registers(text: str) -> tuple[CpuRegisters, ...]:
    """The CPUs of an `info registers -a` dump, in its order. Raises DumpError."""
    blocks: list[tuple[int, list[str]]] = []
    for line in text.replace("\r", "").splitlines():
        line = line.rstrip()
        if not line:
            continue
        if line.startswith("CPU#") and (start := _CPU.fullmatch(line)):
            blocks.append((int(start[1]), []))
        elif blocks:
            blocks[-1][1].append(line)
        else:
            raise DumpError(_WHAT, line, text, "CPU#0")
    if not blocks:
        raise DumpError(_WHAT, "", text, "CPU#0")
    return tuple(_parse_cpu(cpu, lines, text) for cpu, lines in blocks)


@lru_cache(maxsize=4096)
def _read(line: str) -> Mapping[str, Any] | None:
    """The registers of one line, `None` where it cannot be parsed. Most lines are those of the last dump again."""
    if match := _STATE.fullmatch(line):
        rip, rflags, cpl, *bits = match.groups()
        values = (int(rip, 16), int(rflags, 16), int(cpl), *(bit == "1" for bit in bits))
        return dict(zip(_STATE_FIELDS, values, strict=True))
    if match := _SEGMENT.fullmatch(line):
        selector, base, limit, flags = (int(group, 16) for group in match.groups()[1:])
        return {match[1]: SegmentRegister(selector, base, limit, flags)}
    if match := _TABLE.fullmatch(line):
        return {match[1]: DescriptorTable(int(match[2], 16), int(match[3], 16))}
    if match := _FPU.fullmatch(line):
        return {"MXCSR": int(match[4], 16)}
    if _IGNORED.fullmatch(line):
        return {}
    if _PAIRS.fullmatch(line) and all(name in _GENERAL for name, _ in _PAIR.findall(line)):
        return {name: int(value, 16) for name, value in _PAIR.findall(line)}
    return None


def _parse_cpu(cpu: int, lines: list[str], text: str) -> CpuRegisters:
    found: dict[str, Any] = {}
    for line in lines:
        found_here = _read(line)
        if found_here is None:
            raise DumpError(_WHAT, line, text)
        found |= found_here
    bits64 = "RAX" in found
    try:
        fields = {name: found[shown] for name, shown in (_SHOWN_64 if bits64 else _SHOWN_32).items()}
    except KeyError as missing:
        raise DumpError(_WHAT, "", text, f"{_LINES.get(missing.args[0], missing.args[0])} of CPU#{cpu}") from None
    if not bits64:
        fields |= dict.fromkeys(_ONLY_64)
    return CpuRegisters(cpu=cpu, bits64=bits64, cr8=found.get("CR8"), **fields)
