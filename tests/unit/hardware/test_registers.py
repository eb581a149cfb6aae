"""What must hold for every register of every map."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.hardware.lapic import Svr
from harness.hardware.lapic_lvt import LvtTimer
from harness.hardware.register import Field, FieldError, Register

from .introspection import modules, registers

REGISTERS = registers()
WITH_FIELDS = [r for r in REGISTERS if r.FIELDS]


def raw_values(register: type[Register]) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << register.WIDTH) - 1)


def test_the_maps_are_found() -> None:
    assert len(REGISTERS) > 100
    assert Svr in REGISTERS


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: f"{r.__module__.rpartition('.')[2]}.{r.__name__}")
def test_fields_lie_apart_and_inside(register: type[Register]) -> None:
    used = 0
    for field in register.FIELDS.values():
        assert not used & field.mask, f"{field.name} overlaps"
        assert field.high < register.WIDTH
        used |= field.mask
    assert register.WIDTH in (8, 16, 32, 64, 128, 256)


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.__name__)
def test_named_encodings_fit_their_field(register: type[Register]) -> None:
    for field in register.FIELDS.values():
        for member in field.values or ():
            assert 0 <= member < 1 << field.width, f"{field.name} {member!r}"
            assert getattr(register.of(**{field.name: member}), field.name) is member


@pytest.mark.parametrize("register", WITH_FIELDS, ids=lambda r: r.__name__)
@settings(max_examples=8)
@given(data=st.data())
def test_round_trip(register: type[Register], data: st.DataObject) -> None:
    contents = {n: data.draw(st.integers(0, (1 << f.width) - 1), n) for n, f in register.FIELDS.items()}
    value = register.of(**contents)
    assert {name: getattr(value, name) for name in register.FIELDS} == contents
    assert register(int(value)) == value
    assert int(value) & ~register.mask_of(*register.FIELDS) == 0


@pytest.mark.parametrize("register", WITH_FIELDS, ids=lambda r: r.__name__)
@settings(max_examples=8)
@given(data=st.data())
def test_of_changes_only_the_named_field(register: type[Register], data: st.DataObject) -> None:
    before = data.draw(raw_values(register))
    name = data.draw(st.sampled_from(sorted(register.FIELDS)))
    content = data.draw(st.integers(0, (1 << register.FIELDS[name].width) - 1))
    after = register.of(before, **{name: content})
    assert getattr(after, name) == content
    assert (int(after) ^ before) & ~register.mask_of(name) == 0


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.__name__)
@settings(max_examples=4)
@given(data=st.data())
def test_str_names_every_field_and_the_value(register: type[Register], data: st.DataObject) -> None:
    value = register(data.draw(raw_values(register)))
    text = str(value)
    assert text.startswith(f"{register.__name__} {int(value):#0{register.WIDTH // 4 + 2}x}")
    for name in register.FIELDS:
        assert f" {name}=" in text


@pytest.mark.parametrize("register", WITH_FIELDS, ids=lambda r: r.__name__)
def test_oversized_is_refused_by_name(register: type[Register]) -> None:
    for name, field in register.FIELDS.items():
        for content in (1 << field.width, -1):
            with pytest.raises(FieldError, match=rf"{register.__name__}\.{name} is {field.width} bit"):
                register.of(**{name: content})
    for value in (1 << register.WIDTH, -1):
        with pytest.raises(FieldError, match=f"does not fit {register.WIDTH} bits"):
            register(value)


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.__name__)
def test_unknown_field_is_refused_with_the_known_ones(register: type[Register]) -> None:
    with pytest.raises(FieldError) as caught:
        register.of(NO_SUCH_FIELD=1)
    for name in register.FIELDS:
        assert name in str(caught.value)


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.__name__)
def test_every_register_has_a_docstring(register: type[Register]) -> None:
    assert "__doc__" in vars(register) and register.__doc__


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.__name__.rpartition(".")[2])
def test_modules_export_what_they_define(module: ModuleType) -> None:
    defined = {n for n, i in vars(module).items() if isinstance(i, type) and i.__module__ == module.__name__}
    assert {name for name in defined if not name.startswith("_")} <= set(module.__all__)


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.__name__.rpartition(".")[2])
def test_maps_stand_on_nothing_but_the_maps(module: ModuleType) -> None:
    source = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module or "")
    foreign = {n for n in imported if n.partition(".")[0] not in sys.stdlib_module_names}
    assert all(name.startswith("harness.hardware.") for name in foreign), foreign


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(FieldError, match=r"LvtTimer has no field MASKED; did you mean MASK\? Its fields are: VECTOR"):
        LvtTimer.of(MASKED=1)  # type: ignore[call-arg]


def test_a_named_encoding_is_printed_by_name() -> None:
    assert str(LvtTimer.of(VECTOR=0x40, TIMER_MODE=1)) == (
        "LvtTimer 0x00020040: TIMER_MODE=PERIODIC MASK=0 DELIVERY_STATUS=IDLE VECTOR=0x40"
    )


def test_an_encoding_without_a_name_is_a_number() -> None:
    assert LvtTimer.of(TIMER_MODE=3).TIMER_MODE == 3
    assert "TIMER_MODE=3" in str(LvtTimer.of(TIMER_MODE=3))


def test_overlapping_fields_are_refused_at_definition() -> None:
    with pytest.raises(FieldError, match=r"Broken\.B: overlaps"):
        type("Broken", (Register,), {"A": Field(3, 0), "B": Field(3)})


def test_a_field_outside_the_register_is_refused_at_definition() -> None:
    with pytest.raises(FieldError, match="bit 32 is outside 32 bits"):
        type("Broken", (Register,), {"A": Field(32)})


def test_format_takes_a_specification() -> None:
    assert f"{Svr(0x1FF):x}" == "1ff"
    assert f"{Svr(0x1FF)}" == str(Svr(0x1FF))
    assert repr(Svr(0)) == f"<{Svr(0)}>"
