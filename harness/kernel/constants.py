"""Register maps as assembler constants: `LAPIC_EOI` is FEE000B0h, `PIT_CONTROL_WORD` port 43h, `MSR_…` a number."""

from __future__ import annotations

from functools import cache

from harness.hardware.block import Array, AtArray, Block, Space
from harness.hardware.hpet import Hpet
from harness.hardware.ioapic import IoApicWindow
from harness.hardware.lapic import LocalApic, X2Apic
from harness.hardware.msr import Msr
from harness.hardware.pic8259 import PicMaster, PicSlave
from harness.hardware.pit8254 import Pit8254
from harness.hardware.rtc import CmosPorts

__all__ = ["register_constants"]

_BLOCKS: tuple[tuple[str, type[Block]], ...] = (
    ("LAPIC", LocalApic),
    ("X2APIC", X2Apic),
    ("IOAPIC", IoApicWindow),
    ("HPET", Hpet),
    ("PIC_MASTER", PicMaster),
    ("PIC_SLAVE", PicSlave),
    ("PIT", Pit8254),
    ("CMOS", CmosPorts),
    ("MSR", Msr),
)


@cache
def register_constants() -> dict[str, int]:
    """Name → address, port or MSR number. Elements of arrays are numbered: `LAPIC_ISR_0`, `HPET_TIMER_0_CONFIG`."""
    found: dict[str, int] = {}
    for prefix, block in _BLOCKS:
        _collect(found, prefix, block, block.BASE)
    return found


def _collect(found: dict[str, int], prefix: str, block: type[Block], base: int) -> None:
    for name, at in block.registers().items():
        found[f"{prefix}_{name}"] = base + at.offset
    for cls in reversed(block.__mro__):
        for name, item in vars(cls).items():
            if isinstance(item, AtArray):
                for index in range(item.count):
                    found[f"{prefix}_{name}_{index}"] = base + item.offset + index * item.stride
            elif isinstance(item, Array) and block.SPACE is not Space.IOAPIC:
                for index in range(min(item.count, 8)):
                    _collect(found, f"{prefix}_{name}_{index}", item.block, base + item.offset + index * item.stride)
