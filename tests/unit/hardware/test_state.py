"""A frozen copy of the registers becomes decoded state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.hardware.ioapic import RedirectionEntry
from harness.hardware.lapic import SNAPSHOT_OFFSETS, LocalApic
from harness.hardware.platform import PLATFORMS
from harness.hardware.state import IoApicState, LapicState, RedirectionState, vectors_set

DWORD = st.integers(0, 0xFFFF_FFFF)


def lapic_words(**at: int) -> list[int]:
    """64 dwords with the given ones set: `w02=…` is dword 2."""
    words = [0] * 64
    words[0x03] = 0x0005_0014
    for name, value in at.items():
        words[int(name[1:], 16)] = value
    return words


def test_each_register_is_taken_from_its_dword() -> None:
    state = LapicState.from_registers(
        lapic_words(
            w02=0x0300_0000, w08=0x20, w0A=0x40, w0D=0x0800_0000, w0E=0xFFFF_FFFF, w0F=0x1FF, w28=0x80,
            w30=0xC_4500, w31=0x0200_0000, w32=0x1_0020, w33=0x1_0001, w34=0x1_0002, w35=0x8700, w36=0x400,
            w37=0x1_00FE, w38=100_000, w39=99_999, w3E=0xB, w12=1 << 1, w1A=1 << 31, w27=1 << 31,
        )
    )  # fmt: skip
    assert (state.apic_id, state.version, state.tpr, state.ppr) == (3, 0x0005_0014, 0x20, 0x40)
    assert (state.ldr, state.dfr, state.svr, state.esr) == (0x0800_0000, 0xFFFF_FFFF, 0x1FF, 0x80)
    assert state.icr == 0x0200_0000_000C_4500
    assert state.lvt == {
        "TIMER": 0x1_0020, "THERMAL": 0x1_0001, "PERF": 0x1_0002, "LINT0": 0x8700, "LINT1": 0x400, "ERROR": 0x1_00FE,
    }  # fmt: skip
    assert (state.initial_count, state.current_count, state.divide) == (100_000, 99_999, 0xB)
    assert (set(state.isr), set(state.tmr), set(state.irr)) == ({65}, {95}, {255})


@pytest.mark.parametrize(("max_lvt", "names"), [(3, 4), (4, 5), (5, 6), (6, 7)])
def test_only_announced_lvt_entries_are_there(max_lvt: int, names: int) -> None:
    assert len(LapicState.from_registers(lapic_words(w03=max_lvt << 16 | 0x14)).lvt) == names


def test_a_short_copy_is_refused() -> None:
    with pytest.raises(ValueError, match="64 dwords, got 63"):
        LapicState.from_registers([0] * 63)
    with pytest.raises(ValueError, match="50 dwords, got 10"):
        IoApicState.from_registers([0, 0x0017_0020] + [0] * 8)


@given(st.sets(st.integers(0, 255)))
def test_vector_sets_round_trip(vectors: set[int]) -> None:
    slices = [sum(1 << (v & 31) for v in vectors if v >> 5 == i) for i in range(8)]
    assert vectors_set(slices) == vectors


def test_the_snapshot_reads_only_readable_registers() -> None:
    readable = {at.offset for at in LocalApic.registers().values() if at.access != "wo"}
    for array in (LocalApic.ISR, LocalApic.TMR, LocalApic.IRR):
        readable |= {array.offset + i * array.stride for i in range(array.count)}
    assert set(SNAPSHOT_OFFSETS) <= readable
    assert readable - set(SNAPSHOT_OFFSETS) == {LocalApic.LVT_CMCI.offset, LocalApic.RRD.offset}


@given(st.lists(st.tuples(DWORD, DWORD), min_size=24, max_size=24))
def test_io_apic_entries_round_trip(halves: list[tuple[int, int]]) -> None:
    words = [0x0500_0000, 0x0017_0020, *(word for pair in halves for word in pair)]
    state = IoApicState.from_registers(words)
    assert (state.id, state.version, len(state)) == (5, 0x20, 24)
    for pin, (low, high) in enumerate(halves):
        entry = state[pin]
        assert (entry.pin, entry.raw) == (pin, high << 32 | low)
        assert RedirectionEntry.of(
            VECTOR=entry.vector,
            DELIVERY_MODE=entry.delivery_mode,
            DESTINATION_MODE=entry.logical,
            DELIVERY_STATUS=entry.pending,
            POLARITY=entry.active_low,
            REMOTE_IRR=entry.remote_irr,
            TRIGGER_MODE=entry.level,
            MASK=entry.masked,
            DESTINATION=entry.destination,
        ) == entry.raw & RedirectionEntry.mask_of(*RedirectionEntry.FIELDS)


def test_a_decoded_entry_speaks_plainly() -> None:
    entry = RedirectionState.decode(11, 0x0200_0000_0000_E931)
    assert (entry.vector, entry.delivery_mode, entry.destination) == (0x31, 1, 2)
    assert entry.logical and entry.active_low and entry.level and entry.remote_irr == 1
    assert not entry.masked and not entry.pending


def test_platforms_are_consistent() -> None:
    for name, platform in PLATFORMS.items():
        assert platform.name == name
        assert (platform.hpet_base is not None) == platform.has_hpet == bool(platform.hpet_pins)
        assert platform.hpet_pin is None or platform.hpet_pin in platform.hpet_pins
        assert platform.has_pci == (platform.pm is not None) == bool(platform.pirq_offsets)


def test_intx_routing() -> None:
    q35, pc, microvm = PLATFORMS["q35"], PLATFORMS["pc"], PLATFORMS["microvm"]
    assert [q35.intx_pin(device, 1) for device in (0, 1, 2, 3, 4)] == [20, 21, 22, 23, 20]
    assert q35.intx_pin(4, 2) == 21
    assert q35.intx_pin(31, 1) == 16 and q35.intx_pin(30, 1) == 20
    assert q35.hpet_pin not in {q35.intx_pin(device, pin) for device in range(25) for pin in range(1, 5)}
    assert [pc.pirq_of(device, 1) for device in (1, 2, 3, 4, 5)] == [0, 1, 2, 3, 0]
    assert pc.intx_pin(4, 1) is None
    with pytest.raises(ValueError, match="microvm has no PIRQs"):
        microvm.pirq_of(1, 1)
    with pytest.raises(ValueError, match="interrupt pin 0"):
        q35.pirq_of(1, 0)
