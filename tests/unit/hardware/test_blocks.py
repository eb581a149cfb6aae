"""What must hold for every block, and how a bound register behaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from harness.hardware.block import At, Block, Place, PlaceholderError, Space, Value
from harness.hardware.hpet import Hpet, TimerConfiguration
from harness.hardware.ioapic import IoApic, RedirectionEntry
from harness.hardware.lapic import LocalApic, Svr, X2Apic
from harness.hardware.register import FieldError

from .introspection import blocks, layout

BLOCKS = blocks()
BY_NUMBER = {Space.MSR, Space.IOAPIC, Space.CMOS, Space.CONTROL, Space.DEBUG}  # offsets count registers, not bytes


def extent(space: Space, width: int) -> int:
    """How many offsets a register takes."""
    if space is Space.IOAPIC:
        return width // 32
    return 1 if space in BY_NUMBER else width // 8


def directions(access: str) -> tuple[str, ...]:
    return {"ro": ("read",), "rc": ("read",), "wo": ("write",)}.get(access, ("read", "write"))


def ids(block: type[Block]) -> str:
    return f"{block.__module__.rpartition('.')[2]}.{block.__name__}"


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_registers_do_not_overlap_unless_declared_alias(block: type[Block]) -> None:
    covered: dict[tuple[str, int], str] = {}
    aliases: list[tuple[str, int, int, str]] = []
    for name, offset, at in layout(block):
        size = extent(block.SPACE, at.register.WIDTH)
        for direction in directions(at.access):
            if at.alias:
                aliases.append((name, offset, size, direction))
                continue
            for cell in range(offset, offset + size):
                other = covered.setdefault((direction, cell), name)
                assert other == name, f"{name} and {other} both {direction} offset {cell:#x}"
    everything = {cell for _, cell in covered}
    for name, offset, size, _ in aliases:
        assert everything & set(range(offset, offset + size)), f"{name} is an alias of nothing"


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_memory_registers_are_naturally_aligned(block: type[Block]) -> None:
    if block.SPACE in BY_NUMBER or block.SPACE is Space.PORT:
        return
    for name, offset, at in layout(block):
        size = min(at.register.WIDTH // 8, 8 if block.SPACE is Space.MMIO else 4)
        assert offset % size == 0, f"{name} at {offset:#x} is {size} bytes wide"


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_a_nested_block_is_in_the_same_space(block: type[Block]) -> None:
    for name, item in vars(block).items():
        nested = getattr(item, "block", None)
        if isinstance(nested, type) and issubclass(nested, Block):
            assert nested.SPACE is block.SPACE, name


class RecordingBus:
    """Notes every access."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def read(self, place: Place[Any], name: str | None) -> Value[Any]:
        self.log.append(("read", place))
        return Value(name or place.name, len(self.log), place.register)

    def write(self, place: Place[Any], value: int | Value[Any]) -> None:
        self.log.append(("write", place, value))

    def update(self, place: Place[Any], clear: int, value: int) -> None:
        self.log.append(("update", place, clear, value))


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


def test_a_write_encodes_the_named_fields(bus: RecordingBus) -> None:
    IoApic(bus).REDIRECTION[5].ENTRY.write(VECTOR=0x40, MASK=1)
    [(kind, place, value)] = bus.log
    assert kind == "write"
    assert (place.space, place.base, place.offset, place.width) == (Space.IOAPIC, 0xFEC0_0000, 0x1A, 64)
    assert place.name == "ioapic.REDIRECTION[5].ENTRY"
    assert value == RedirectionEntry(0x1_0040)


def test_halves_of_an_entry_are_neighbours(bus: RecordingBus) -> None:
    pin = IoApic(bus).REDIRECTION[23]
    assert (pin.LOW.place.offset, pin.HIGH.place.offset) == (0x3E, 0x3F)


def test_an_update_names_the_bits_it_clears(bus: RecordingBus) -> None:
    LocalApic(bus).SVR.update(ENABLE=0, VECTOR=0xF0)
    assert bus.log == [("update", LocalApic(bus).SVR.place, 0x1FF, 0xF0)]


def test_nested_arrays_give_addresses(bus: RecordingBus) -> None:
    hpet = Hpet(bus)
    assert hpet.TIMER[2].COMPARATOR.place.address == 0xFED0_0148
    assert hpet.TIMER[2].CONFIG.place.register is TimerConfiguration
    assert len(hpet.TIMER) == 32 and len(list(hpet.TIMER)) == 32
    with pytest.raises(FieldError, match=r"hpet\.TIMER\[32\]: there are 32, from 0"):
        hpet.TIMER[32]


def test_register_arrays_give_addresses(bus: RecordingBus) -> None:
    lapic = LocalApic(bus)
    assert lapic.ISR[7].place.address == 0xFEE0_0170
    assert lapic.IRR[0].place.name == "lapic.IRR[0]"
    assert [b.place.offset for b in lapic.TMR] == list(range(0x180, 0x200, 0x10))
    assert len(lapic.ISR) == 8
    with pytest.raises(FieldError, match=r"lapic\.ISR\[8\]: there are 8, from 0"):
        lapic.ISR[8]
    with pytest.raises(FieldError):
        lapic.ISR[-1]


def test_x2apic_registers_are_msrs_by_offset(bus: RecordingBus) -> None:
    x2, x1 = X2Apic(bus), LocalApic(bus)
    assert x2.SELF_IPI.place.address == 0x83F
    for name, at in X2Apic.registers().items():
        if name in LocalApic.registers():
            assert 0x800 + getattr(x1, name).place.offset // 16 == 0x800 + at.offset


def test_read_only_and_write_only_are_refused(bus: RecordingBus) -> None:
    lapic = LocalApic(bus)
    with pytest.raises(FieldError, match=r"lapic\.PPR is read-only"):
        lapic.PPR.write(0)
    with pytest.raises(FieldError, match=r"lapic\.PPR is read-only"):
        lapic.PPR.update(PRIORITY_CLASS=1)
    with pytest.raises(FieldError, match=r"lapic\.EOI is write-only"):
        lapic.EOI.read()
    assert bus.log == []


def test_a_bad_write_names_the_register(bus: RecordingBus) -> None:
    with pytest.raises(FieldError, match=r"lapic\.SVR: Svr has no field ENABLED; did you mean ENABLE\?"):
        LocalApic(bus).SVR.write(ENABLED=1)  # type: ignore[call-arg]
    with pytest.raises(FieldError, match=r"lapic\.SVR: Svr\.VECTOR is 8 bit wide \(0 to 0xff\), got 0x100"):
        LocalApic(bus).SVR.write(VECTOR=0x100)
    with pytest.raises(FieldError, match=r"lapic\.SVR\.write\(\) needs a value or fields"):
        LocalApic(bus).SVR.write()
    with pytest.raises(FieldError, match=r"lapic\.SVR\.update\(\) needs fields"):
        LocalApic(bus).SVR.update()
    assert bus.log == []


def test_a_whole_value_with_fields_on_top(bus: RecordingBus) -> None:
    LocalApic(bus).SVR.write(0x1FF, VECTOR=0xE0)
    assert bus.log[0][2] == Svr(0x1E0)


def test_a_guest_value_can_be_a_base_and_a_content(bus: RecordingBus) -> None:
    base: Value[Any] = Value("bar", 0, int)
    register = LocalApic(bus, base).SVR
    register.write(base)
    assert bus.log[0][1].base is base and bus.log[0][2] is base
    with pytest.raises(PlaceholderError, match="'bar'"):
        _ = register.place.address
    with pytest.raises(FieldError, match="cannot be combined"):
        register.write(base, VECTOR=1)


def test_a_value_above_the_yield_refuses_to_be_judged() -> None:
    value: Value[Any] = Value("seen", 0, int)
    judges: list[Callable[[], object]] = [
        lambda: bool(value),
        lambda: value == 1,
        lambda: value < 1,
        lambda: int(value),
    ]
    for judge in judges:
        with pytest.raises(PlaceholderError, match=r"run\[seen\]"):
            judge()


def test_declarations_are_reachable_through_the_class() -> None:
    assert isinstance(LocalApic.SVR, At)
    assert LocalApic.SVR.offset == 0xF0
    by_offset = defaultdict(list)
    for name, at in LocalApic.registers().items():
        by_offset[at.offset].append(name)
    assert by_offset[0x300] == ["ICR_LOW"]
