"""The access kinds of register bits: every map states them, and a proof notices each fault of one bit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.hardware.access import (
    BitKinds,
    access_proof_writes,
    distinct_values,
    named_register,
    provable,
    register_differences,
)
from harness.hardware.block import Block, Place, Space, Value
from harness.hardware.hpet import Hpet
from harness.hardware.ioapic import IoApic
from harness.hardware.lapic import LocalApic
from harness.hardware.register import Field, Register

from .introspection import blocks, layout

# The first element stands for its array.
PLACES = {
    f"{block.__module__.rpartition('.')[2]}.{block.__name__}.{name}": Place(
        block.SPACE, 0, offset, at.register, name, at.access, at.effect, at.volatile
    )
    for block in blocks()
    for name, offset, at in layout(block)
    if "[" not in name or "[0]" in name
}
PROVABLE = {
    f"{block.__module__.rpartition('.')[2]}.{block.__name__}.{name}": PLACES[
        f"{block.__module__.rpartition('.')[2]}.{block.__name__}.{name}"
    ]
    for block in blocks()
    for names in provable(block).values()
    for name in names
    if "[" not in name or name.count("[0]") == name.count("[")
}


BLOCKS = sorted({".".join(name.split(".", 2)[:2]) for name in PLACES})
PROVABLE_BLOCKS = sorted({".".join(name.split(".", 2)[:2]) for name in PROVABLE})


def of(block: str, places: Mapping[str, Place[Any]]) -> list[tuple[str, Place[Any]]]:
    """The registers of one block, by name."""
    return [(name, place) for name, place in places.items() if name.startswith(f"{block}.")]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_register_states_what_its_reserved_bits_read(block: str) -> None:
    for name, place in of(block, PLACES):
        register = place.register
        covered = register.mask_of(*register.FIELDS)
        if register.FIELDS and covered != (1 << register.WIDTH) - 1:
            assert register.RESERVED is not None, f"{name}: {register.__name__} has bits that no field covers"


@pytest.mark.parametrize("block", BLOCKS)
def test_the_kinds_of_a_register_do_not_overlap(block: str) -> None:
    for name, place in of(block, PLACES):
        kinds = BitKinds.of(place)
        used = 0
        for mask in (kinds.rw, kinds.ro, kinds.w1c, kinds.w1s, kinds.rc, kinds.zero, kinds.ones):
            assert not used & mask, name
            used |= mask
        assert kinds.compared == used < 1 << kinds.width, name
        assert len(kinds.labels) == kinds.width, name


@pytest.mark.parametrize("block", BLOCKS)
def test_a_field_says_no_more_than_its_register(block: str) -> None:
    for name, place in of(block, PLACES):
        for field in place.register.FIELDS.values():
            if place.access in ("ro", "rc"):
                assert field.access in ("ro", "rc", "rw"), (name, field.name)
                assert not field.effect, f"{name}: {field.name} cannot be changed"
            if place.access == "wo":
                assert field.access in ("wo", "rw"), (name, field.name)


def simulate(
    kinds: BitKinds, first: int, rest: int, device: Callable[[int, int], int], reading: int = 0
) -> tuple[tuple[int, ...], list[int]]:
    """What a guest would read of a device: `device(state, write)` is its next state; it loses `reading` by a read."""
    writes = access_proof_writes(kinds, rest)
    state, reads = first & ~reading, []
    for write in writes:
        state = device(state, write & ~kinds.kept | first & kinds.kept)
        reads.append(state)
        state &= ~reading
    return writes, reads


def start(kinds: BitKinds) -> int:
    """A content that tells 0 from 1 in the bits that software cannot set."""
    return kinds.ro & 0x5A5A_A5A5_5A5A_A5A5 | kinds.w1c | kinds.ones


@pytest.mark.parametrize("block", PROVABLE_BLOCKS)
def test_a_correct_register_passes(block: str) -> None:
    for name, place in of(block, PROVABLE):
        kinds = BitKinds.of(place)
        writes, reads = simulate(kinds, start(kinds), 0, kinds.after, kinds.rc)
        assert register_differences(name, kinds, start(kinds), writes, reads) == []


@dataclass(frozen=True)
class Faulty:
    """A device with one fault: what becomes of one bit at a write, beside what should."""

    kinds: BitKinds
    bit: int
    fault: str
    other: int = 0

    def __str__(self) -> str:
        return f"{self.fault}: {self.bit:#x} {self.other:#x}"

    def __call__(self, state: int, write: int) -> int:
        bit = self.bit
        if self.fault == "follows another":
            return self.kinds.after(state, write & ~bit | (bit if write & self.other else 0))
        if self.fault == "is not cleared":
            return self.kinds.after(state, write & ~bit)
        good = self.kinds.after(state, write)
        if self.fault == "stuck at 0" or self.fault == "any write clears":
            return good & ~bit
        if self.fault == "stuck at 1":
            return good | bit
        if self.fault == "writable":
            return good & ~bit | write & bit
        assert self.fault == "any write of 1 clears"
        return good & ~bit if write & self.kinds.w1c else good


def faults(kinds: BitKinds) -> Iterator[Faulty]:
    """Each fault of each bit that begins or ends a field."""
    judged = kinds.compared & ~kinds.kept & ~kinds.optional
    for mask, _ in kinds.encodings:
        judged &= ~mask  # few encodings may be written at all: a fault of one bit may not show
    writable = (1 << kinds.width) - 1 & ~kinds.kept
    labels = ("", *kinds.labels, "")
    edges = [n for n in range(kinds.width) if labels[n] != labels[n + 1] or labels[n + 1] != labels[n + 2]]
    for bit in (1 << number for number in edges):
        if not judged & bit:
            continue
        if not (kinds.w1c | kinds.rc | kinds.zero) & bit:  # of what was never set 0 is right
            yield Faulty(kinds, bit, "stuck at 0")
        if not (kinds.ones | kinds.w1s) & bit:
            yield Faulty(kinds, bit, "stuck at 1")
        if (kinds.ro | kinds.zero | kinds.ones | kinds.w1c) & bit:
            yield Faulty(kinds, bit, "writable")
        for other in (bit << 1, bit >> 1, bit << 8, bit >> 8):
            if kinds.rw & bit and other & writable:
                yield Faulty(kinds, bit, "follows another", other)
        if kinds.w1c & bit:
            yield Faulty(kinds, bit, "any write clears")
            yield Faulty(kinds, bit, "is not cleared")
            if kinds.w1c & bit - 1:  # the lowest is cleared first
                yield Faulty(kinds, bit, "any write of 1 clears")


@pytest.mark.parametrize("block", PROVABLE_BLOCKS)
def test_a_fault_of_one_bit_is_noticed(block: str) -> None:
    noticed: dict[str, bool] = {}
    for name, place in of(block, PROVABLE):
        kinds = BitKinds.of(place)
        for first in (start(kinds), start(kinds) ^ kinds.ro):
            for device in faults(kinds):
                writes, reads = simulate(kinds, first, 0, device, kinds.rc)
                found = register_differences("r", kinds, first, writes, reads)
                fault = f"{name} {device}"
                noticed[fault] = noticed.get(fault, False) or bool(found)
    assert all(noticed.values()), [fault for fault, seen in noticed.items() if not seen]


class Example(Register, width=16, reserved="zero"):
    """One field of each kind."""

    LOW = Field(3, 0)
    FIXED = Field(4, access="ro")
    EVENT = Field(5, access="w1c")
    RUN = Field(6, effect="starts")
    COUNT = Field(8, access="ro", volatile=True)
    COMMAND = Field(9, access="wo")
    PULSE = Field(10, access="wz")


EXAMPLE: Place[Example] = Place(Space.MMIO, 0, 0, Example, "example")


def test_a_difference_names_register_bits_kind_and_contents() -> None:
    kinds = BitKinds.of(EXAMPLE)
    writes, reads = simulate(kinds, 0x30, 0, lambda state, write: kinds.after(state, write) | write & 0xC000)
    assert register_differences("dev.EXAMPLE", kinds, 0x30, writes, reads) == [
        "dev.EXAMPLE bits 15:14 (reserved, zero): 1 where 0 is expected, first after a write of 0x4000"
    ]


def test_a_field_with_an_effect_keeps_what_it_had() -> None:
    kinds = BitKinds.of(EXAMPLE)
    assert kinds.kept == 0x40
    assert not any(write & 0x40 for write in access_proof_writes(kinds, 0))


def test_what_the_manual_does_not_state_is_not_compared() -> None:
    assert BitKinds.of(EXAMPLE).compared == 0xFFFF & ~0x340 | 0x40


def test_an_optional_field_holds_or_is_constant() -> None:
    class Optional(Register, width=8, reserved="zero"):
        """One field that may be absent."""

        A = Field(3, 0, optional=True)

    kinds = BitKinds.of(Place(Space.MMIO, 0, 0, Optional, "optional"))
    for present in (0, 0x7, 0xE):
        writes, reads = simulate(kinds, 0, 0, partial(lambda mask, state, write: write & mask, present))
        assert register_differences("r", kinds, 0, writes, reads) == []
    writes, reads = simulate(kinds, 0, 0, lambda state, write: write & 7 | (8 if write & 1 else 0))
    assert register_differences("r", kinds, 0, writes, reads)


def test_fields_that_stay_one_while_others_are_tried() -> None:
    kinds = BitKinds.of(Place(Space.MMIO, 0, 0, LocalApic.LVT_ERROR.register, "lvt"))
    writes = access_proof_writes(kinds, 1 << 16)
    assert [write for write in writes if not write >> 16 & 1] == [0, 0xFFFE_FFFF]


def test_values_of_several_registers_differ() -> None:
    kinds = [BitKinds.of(place) for place in [PLACES["ioapic.Redirection.ENTRY"]] * 24]
    values = distinct_values(kinds, [0] * 24)
    assert len(set(values)) == 24
    assert all((a ^ b).bit_count() > 1 for a in values for b in values if a != b)


class NoBus:
    """A bus that nothing may use."""

    def read(self, place: Place[Any], name: str | None) -> Value[Any]:
        raise AssertionError

    def write(self, place: Place[Any], value: int | Value[Any]) -> None:
        raise AssertionError

    def update(self, place: Place[Any], clear: int, value: int) -> None:
        raise AssertionError


@pytest.mark.parametrize(("block", "counts"), [(LocalApic, {}), (Hpet, {"TIMER": 3}), (IoApic, {})])
def test_names_lead_to_their_registers(block: type[Block], counts: dict[str, int]) -> None:
    for member, names in provable(block, **counts).items():
        for name in names:
            place = named_register(block(NoBus()), name).place
            assert name.startswith(member) and place.name == f"{block.NAME}.{name}"
    with pytest.raises(AttributeError):
        named_register(block(NoBus()), "NO_SUCH_REGISTER")


def effects() -> Iterator[str]:
    """Each register and each field that no proof writes, with its reason."""
    for name, place in PLACES.items():
        if place.effect:
            yield f"{name}: {place.effect}"
        for field in place.register.FIELDS.values():
            if field.effect:
                yield f"{name}.{field.name}: {field.effect}"


def test_what_no_proof_writes_is_listed() -> None:
    listed = (Path(__file__).parent / "access_effects.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(effects()) == listed, "write the new list into access_effects.txt after a review of each line"


@pytest.mark.parametrize("module", sorted({block.__module__ for block in blocks()}))
def test_a_map_cites_where_its_access_kinds_are_stated(module: str) -> None:
    assert "\nAccess kinds: " in (sys.modules[module].__doc__ or "")
