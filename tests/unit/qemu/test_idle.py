"""When a halted guest can never run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.hardware.state import RedirectionState
from harness.qemu.dumps import parse_ioapics, parse_lapic, parse_registers
from harness.qemu.idle import asleep_for_good

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> str:
    return (DATA / f"{name}-7.2-tcg.txt").read_text(encoding="ascii")


CPU = replace(parse_registers(recorded("registers"))[0], halted=True, rflags=2)
LAPIC = parse_lapic(recorded("lapic"))
IOAPIC = parse_ioapics(recorded("pic"))[0]


def test_halted_with_interrupts_off_on_all_processors() -> None:
    assert asleep_for_good([CPU], [LAPIC], [IOAPIC])
    assert asleep_for_good([CPU, CPU], [LAPIC, LAPIC], [])
    assert not asleep_for_good([CPU, replace(CPU, halted=False)], [LAPIC], [IOAPIC])
    assert not asleep_for_good([CPU, replace(CPU, rflags=0x202)], [LAPIC], [IOAPIC])
    assert not asleep_for_good([replace(CPU, smm=True)], [LAPIC], [IOAPIC])


@pytest.mark.parametrize(
    ("raw", "expected"), [(0x400, False), (0x200, False), (0x500, False), (0x10400, True), (0x700, True)]
)
def test_an_lvt_entry_that_delivers_what_if_does_not_hold_back(raw: int, expected: bool) -> None:
    assert asleep_for_good([CPU], [replace(LAPIC, lvt={**LAPIC.lvt, "LINT0": raw})], [IOAPIC]) is expected


def test_lint1_is_pulsed_by_the_host_only() -> None:
    assert LAPIC.lvt["LINT1"] == 0x400


@pytest.mark.parametrize(
    ("raw", "expected"), [(0x400, False), (0x200, False), (0x500, False), (0x10400, True), (0x51, True)]
)
def test_an_io_apic_entry_that_delivers_what_if_does_not_hold_back(raw: int, expected: bool) -> None:
    entries = (*IOAPIC.entries[:5], RedirectionState.decode(5, raw), *IOAPIC.entries[6:])
    assert asleep_for_good([CPU], [LAPIC], [replace(IOAPIC, entries=entries)]) is expected
