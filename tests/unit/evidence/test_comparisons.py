"""Every register that QEMU can show is compared with the guest's own copy, or listed with the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.evidence.comparisons import (
    NOT_COMPARED,
    compare_hpet,
    compare_ioapic,
    compare_lapic,
    compare_pic,
    compare_registers,
)
from harness.evidence.failures import WitnessDisagreement
from harness.evidence.snapshots import PicPairState
from harness.hardware.state import HPET_SIZE, HpetState, IoApicState, LapicState, PicState, RedirectionState
from harness.qemu.dumps import parse_registers

DUMPS = Path(__file__).parents[1] / "qemu" / "data"

LAPIC = LapicState(
    apic_id=0, version=None, tpr=0x20, ppr=0x40, svr=0x1FF, icr=0x0100_0000_0000_4050, esr=0x40,
    lvt={"TIMER": 0x1_0050, "LINT0": 0x1_0700, "LINT1": 0x400, "PERF": 0x1_0000, "THERMAL": 0x1_0000, "ERROR": 0xFE},
    divide=0xB, initial_count=1000, current_count=512, isr=frozenset([0x41]), irr=frozenset([0x30]),
    tmr=frozenset([0x30]), ldr=0x0100_0000, dfr=0xFFFF_FFFF,
)  # fmt: skip
ENTRIES = tuple(RedirectionState.decode(pin, 1 << 16) for pin in range(24))
IOAPIC = IoApicState(id=0, version=0x20, entries=ENTRIES, select=0x10)
PIC = PicState(irr=1, imr=0xFE, isr=2, elcr=0xC)
PICS = PicPairState(PIC, PIC)


def hpet(**words: int) -> HpetState:
    page = bytearray(HPET_SIZE)
    page[0:8] = (0x009896808086A201).to_bytes(8, "little")
    for at, value in words.items():
        offset = int(at.removeprefix("at_"), 16)
        page[offset : offset + 8] = value.to_bytes(8, "little")
    return HpetState.from_memory(bytes(page))


def disagrees(compare: Callable[..., None], frozen: object, dumped: object, **how: bool) -> bool:
    compare(frozen, frozen, **how)
    try:
        compare(frozen, dumped, **how)
    except WitnessDisagreement:
        return True
    return False


def other(value: Any) -> Any:
    match value:
        case frozenset():
            return value ^ {min(value)}
        case dict():
            return {**value, "ERROR": 0xFD}
        case tuple():
            return (RedirectionState.decode(0, 0x50), *value[1:])
        case None:
            return 0x99
        case _:
            return value ^ 0x10


@pytest.mark.parametrize("field", [field.name for field in fields(LapicState)])
def test_each_field_of_the_local_apic(field: str) -> None:
    changed = replace(LAPIC, **{field: other(getattr(LAPIC, field))})
    assert disagrees(compare_lapic, LAPIC, changed) is (f"lapic.{field}" not in NOT_COMPARED)


@pytest.mark.parametrize("field", ["ldr", "dfr"])
def test_what_x2apic_mode_does_not_have(field: str) -> None:
    changed = replace(LAPIC, **{field: other(getattr(LAPIC, field))})
    assert not disagrees(compare_lapic, LAPIC, changed, x2apic=True)
    assert f"lapic.{field} in x2APIC mode" in NOT_COMPARED


def test_what_time_may_do_to_a_local_apic() -> None:
    assert not disagrees(compare_lapic, LAPIC, replace(LAPIC, irr=LAPIC.irr | {0x50}, tmr=LAPIC.tmr | {0x50}))
    assert not disagrees(compare_lapic, LAPIC, replace(LAPIC, current_count=0))
    assert disagrees(compare_lapic, LAPIC, replace(LAPIC, current_count=513))
    assert not disagrees(compare_lapic, LAPIC, replace(LAPIC, current_count=1000), kvm=True)
    periodic = replace(LAPIC, lvt={**LAPIC.lvt, "TIMER": 0x2_0050})
    assert not disagrees(compare_lapic, periodic, replace(periodic, current_count=1000))
    assert disagrees(compare_lapic, periodic, replace(periodic, current_count=1001))
    assert not disagrees(compare_lapic, LAPIC, replace(LAPIC, icr=LAPIC.icr ^ 1 << 12))


@pytest.mark.parametrize("field", [field.name for field in fields(IoApicState)])
def test_each_field_of_the_io_apic(field: str) -> None:
    changed = replace(IOAPIC, **{field: other(getattr(IOAPIC, field))})
    assert disagrees(compare_ioapic, IOAPIC, changed) is (f"ioapic.{field}" not in NOT_COMPARED)


@pytest.mark.parametrize("chip", ["master", "slave"])
@pytest.mark.parametrize("field", ["irr", "imr", "isr", "elcr"])
def test_each_register_of_the_8259s(chip: str, field: str) -> None:
    value = 0 if field == "irr" else other(getattr(PIC, field))  # a request may have come, not gone
    changed: dict[str, Any] = {field: value}
    assert disagrees(compare_pic, PICS, replace(PICS, **{chip: replace(PIC, **changed)}))
    rest = {"irr", "imr", "isr", "elcr"} ^ {field.name for field in fields(PicState)}
    assert all(any(name in key for key in NOT_COMPARED if key.startswith("pic")) for name in rest)


@pytest.mark.parametrize(
    "at", ["at_000", "at_010", "at_0f0"] + [f"at_{0x100 + 0x20 * n + r:x}" for n in range(3) for r in (0, 8, 16)]
)
def test_each_register_of_the_hpet(at: str) -> None:
    assert disagrees(compare_hpet, hpet(), hpet(**{at: 0x10}))


def test_what_time_may_do_to_an_hpet() -> None:
    runs = {"at_010": 1, "at_0f0": 500, "at_100": 0xC, "at_108": 1000, "at_128": 1000}
    assert not disagrees(compare_hpet, hpet(**runs), hpet(**runs | {"at_0f0": 600, "at_108": 2000, "at_020": 2}))
    assert disagrees(compare_hpet, hpet(**runs), hpet(**runs | {"at_0f0": 499}))
    assert disagrees(compare_hpet, hpet(**runs), hpet(**runs | {"at_128": 1001}))
    assert disagrees(compare_hpet, hpet(**runs | {"at_020": 2}), hpet(**runs))


@pytest.mark.parametrize(
    "register",
    ["CR0", "CR2", "CR3", "CR4", "CR8", "EFER", "RFLAGS", "TR", "IDTR_BASE", "IDTR_LIMIT", "GDTR_BASE", "GDTR_LIMIT"],
)
def test_each_register_of_the_processor(register: str) -> None:
    cpu = replace(parse_registers((DUMPS / "registers-7.2-tcg.txt").read_text())[0], cr8=2)
    values = {
        "CR0": cpu.cr0, "CR2": cpu.cr2, "CR3": cpu.cr3, "CR4": cpu.cr4, "CR8": 2, "EFER": cpu.efer,
        "RFLAGS": cpu.rflags ^ 0x8D5, "TR": cpu.tr.selector, "IDTR_BASE": cpu.idt.base, "IDTR_LIMIT": cpu.idt.limit,
        "GDTR_BASE": cpu.gdt.base, "GDTR_LIMIT": cpu.gdt.limit,
    }  # fmt: skip
    frozen: Any = SimpleNamespace(read=values.__getitem__)
    compare_registers(frozen, cpu)
    values[register] ^= 0x200
    with pytest.raises(WitnessDisagreement, match="(?i)" + register.replace("_", " ")):
        compare_registers(frozen, cpu)
