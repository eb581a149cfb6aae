"""Scenes of waits, from dumps as QEMU prints them."""

from __future__ import annotations

from harness.evidence.why import GateState, Processor, Scene
from harness.hardware.state import LapicState
from harness.qemu.dumps import parse_lapic, parse_pics

__all__ = ["lapic", "pic_text", "scene"]

LAPIC = """dumping local APIC state for CPU 0

LVT0\t 0x00010700 active-hi edge  masked                      ExtINT (vec 0)
LVT1\t 0x00000400 active-hi edge                              NMI
LVTPC\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)
LVTERR\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)
LVTTHMR\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)
LVTT\t 0x{timer:08x} active-hi edge                 one-shot     Fixed  (vec 65)
Timer\t DCR=0xb (divide by 1) initial_count = {initial} current_count = {current}
SPIV\t 0x{svr:08x} APIC enabled, focus=off, spurious vec 255
ICR\t 0x00044061 physical edge assert self
ICR2\t 0x00000000
ESR\t 0x00000000
ISR\t {isr}
IRR\t {irr}

APR 0x00 TPR 0x{tpr:02x} DFR 0x0f LDR 0x02 PPR 0x60
"""
PIN = "  pin {pin:<2} 0x{raw:016x} dest={dest:x} vec={vector:<3} active-hi {mode} {masked:6} fixed  physical\n"


def lapic(**given: object) -> LapicState:
    defaults = {"timer": 0x10000, "initial": 0, "current": 0, "svr": 0x1FF, "isr": "(none)", "irr": "(none)", "tpr": 0}
    return parse_lapic(LAPIC.format(**(defaults | given)))


def pic_text(entries: dict[int, int] | None = None, master: str = "irr=00 imr=ff isr=00") -> str:
    text = "ioapic0: ver=0x20 id=0x00 sel=0x00\n"
    for pin in range(24):
        raw = (entries or {}).get(pin, 0x10000)
        mode, masked = ("level" if raw >> 15 & 1 else "edge "), ("masked" if raw >> 16 & 1 else "")
        text += PIN.format(pin=pin, raw=raw, dest=raw >> 56, vector=raw & 0xFF, mode=mode, masked=masked)
    remote = [pin for pin, raw in (entries or {}).items() if raw >> 14 & 1 and raw >> 15 & 1]
    text += f"  IRR      (none)\n  Remote IRR {' '.join(map(str, remote)) or '(none)'}\n"
    text += "pic1: irr=00 imr=ff isr=00 hprio=0 irq_base=28 rr_sel=0 elcr=00 fnm=0\n"
    return text + f"pic0: {master} hprio=0 irq_base=20 rr_sel=0 elcr=00 fnm=0\n"


def scene(vector: int, state: LapicState | None, pics: str = "", *, interrupts_on: bool = True) -> Scene:
    ioapic, master, slave = parse_pics(pics or pic_text())
    return Scene(vector, (Processor(0, interrupts_on, state, GateState(), waits=True),), {}, ioapic, (master, slave))
