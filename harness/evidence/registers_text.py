"""Registers and controller state as text."""

from __future__ import annotations

from harness.hardware.cpu import Cr0, Cr4, Rflags
from harness.hardware.ioapic import RedirectionEntry
from harness.hardware.lapic import Svr
from harness.hardware.lapic_lvt import LvtError, LvtLint, LvtMonitor, LvtTimer
from harness.hardware.register import Register
from harness.hardware.state import IoApicState, LapicState, PicState
from harness.image.image import Image
from harness.qemu.dumps import CpuRegisters

__all__ = ["ioapic_text", "lapic_text", "pic_text", "registers_text"]

_GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
_EXTENDED = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")


def _set_bits(register: Register) -> str:
    """The value and the names of the fields that are not zero."""
    fields = sorted(register.FIELDS.values(), key=lambda field: -field.high)
    names = [f.name if f.width == 1 else f.describe(int(register)) for f in fields if int(register) & f.mask]
    return f"{int(register):#x}" + (f" ({' '.join(names)})" if names else "")


def registers_text(cpu: CpuRegisters, image: Image) -> str:
    """General, segment and control registers of one processor, RIP symbolised."""
    names = _GENERAL + (_EXTENDED if cpu.bits64 else ())
    cells = [f"{name.upper():>4} {getattr(cpu, name) or 0:016x}" for name in names]
    rows = ["  ".join(cells[i : i + 4]) for i in range(0, len(cells), 4)]
    state = f"CPU {cpu.cpu}: CPL {cpu.cpl}, {'64-bit code' if cpu.bits64 else 'not 64-bit code'}"
    if cpu.halted:
        state += ", halted"
    return "\n".join(
        [
            state,
            f" RIP {cpu.pc:016x}  {image.symbolise(cpu.pc)}",
            *rows,
            f"  CS {cpu.cs.selector:04x}  SS {cpu.ss.selector:04x}  DS {cpu.ds.selector:04x}  ES {cpu.es.selector:04x}"
            f"  TR {cpu.tr.selector:04x}",
            f" IDT {cpu.idt.base:016x} limit {cpu.idt.limit:x}   GDT {cpu.gdt.base:016x} limit {cpu.gdt.limit:x}",
            f" CR2 {cpu.cr2:016x}   CR3 {cpu.cr3:016x}",
            f" RFLAGS {_set_bits(Rflags(cpu.rflags))}",
            f" CR0 {_set_bits(Cr0(cpu.cr0))}",
            f" CR4 {_set_bits(Cr4(cpu.cr4))}",
        ]
    )


_LVT: dict[str, type[Register]] = {"TIMER": LvtTimer, "LINT0": LvtLint, "LINT1": LvtLint, "ERROR": LvtError}


def _vectors(vectors: frozenset[int]) -> str:
    return " ".join(f"{vector:02x}" for vector in sorted(vectors)) or "none"


def lapic_text(state: LapicState) -> str:
    """One local APIC: what is requested and in service, priorities, and the LVT entries that are not masked."""
    rows = [
        f"IRR {_vectors(state.irr)}   ISR {_vectors(state.isr)}   TPR {state.tpr:#04x}   PPR {state.ppr:#04x}"
        f"   ESR {state.esr:#x}",
        str(Svr(state.svr)),
    ]
    if state.initial_count or state.current_count:
        rows.append(f"timer: initial count {state.initial_count}, current count {state.current_count}")
    for name, raw in state.lvt.items():
        entry = _LVT.get(name, LvtMonitor)(raw)
        if not raw >> 16 & 1:
            rows.append(f"LVT {name}: {entry}")
    return "\n".join(rows)


def ioapic_text(state: IoApicState) -> str:
    """The IO APIC's entries that are not in their reset state."""
    changed = [f"pin {entry.pin}: {RedirectionEntry(entry.raw)}" for entry in state.entries if entry.raw != 0x1_0000]
    return "\n".join(changed) or "IO APIC: all entries masked and zero"


def pic_text(master: PicState, slave: PicState) -> str:
    """Both 8259s in a line each."""
    return "\n".join(
        f"8259 {name}: IRR {chip.irr:08b}  IMR {chip.imr:08b}  ISR {chip.isr:08b}"
        + ("" if chip.elcr is None else f"  ELCR {chip.elcr:08b}")
        for name, chip in (("master", master), ("slave", slave))
    )
