"""A frozen copy that the host cannot decode is a failure of the target that names the difference."""

from __future__ import annotations

import pytest

from harness.abi import SNAPSHOT
from harness.evidence.failures import RunFailure
from harness.evidence.snapshots import Snapshot

RUN = 7


def frozen(**dwords: int) -> Snapshot:
    """A snapshot with these 32-bit words: the field's name, or the field's name and a word's number."""
    ram = bytearray(SNAPSHOT.size)
    for name, value in {**dwords, "VALID": RUN << 32 | 1}.items():
        field, _, number = name.partition("__")
        at = SNAPSHOT.offset(field) + 4 * int(number or 0)
        size = 8 if field == "VALID" else 4
        ram[at : at + size] = value.to_bytes(size, "little")
    return Snapshot(memoryview(ram), 0, RUN, 0, "the end of the run")


def test_an_io_apic_of_24_pins_is_decoded() -> None:
    assert len(frozen(IOAPIC__1=0x0017_0011).ioapic.entries) == 24


@pytest.mark.parametrize("last", [0, 15, 22, 24, 119, 255])
def test_another_number_of_pins_is_a_failure(last: int) -> None:
    with pytest.raises(RunFailure) as caught:
        _ = frozen(IOAPIC__1=last << 16 | 0x11).ioapic
    assert f"announces {last + 1} redirection entries. Expected: 24" in caught.value.reason
    assert "IO APIC's snapshot at the end of the run" in caught.value.reason


@pytest.mark.parametrize("value", [0, 0xFFFF_FFFF, 0x700, 0x300, 0xA5A5_A5A5])
@pytest.mark.parametrize(
    ("name", "read", "count"),
    [("IOAPIC", "ioapic", 50), ("LAPIC", "lapic", 64), ("HPET", "hpet", 26), ("PIC", "pic", 2), ("PIT", "pit", 3)],
)
def test_no_content_breaks_the_harness(name: str, read: str, count: int, value: int) -> None:
    for word in range(count):
        words = {"IOAPIC__1": 0x0017_0011, "APIC_MODE": 1} | {f"{name}__{word}": value}
        try:
            getattr(frozen(**words), read)
        except RunFailure:
            pass
