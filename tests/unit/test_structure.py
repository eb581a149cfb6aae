"""Structures at fixed offsets: both ways to read them agree, and what cannot be is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import abi
from harness.structure import Struct

LAYOUTS = [abi.PARAMETERS_STRUCT, abi.MAILBOX_STRUCT, abi.RECORD, abi.FRAME]


@given(st.sampled_from(LAYOUTS), st.binary(min_size=256, max_size=256), st.integers(0, 64))
def test_all_fields_at_once_are_the_fields_one_by_one(layout: Struct, data: bytes, base: int) -> None:
    fields = layout.read_all(data, base)
    assert fields == {name: layout.read(data, name, base) for name in layout.fields}


def test_fields_by_hand() -> None:
    layout = Struct("X", 16, LATER=(8, 4), FIRST=(1, 1), WORD=(2, 2))
    assert layout.read_all(bytes(range(16))) == {"FIRST": 0x01, "WORD": 0x0302, "LATER": 0x0B0A0908}


@pytest.mark.parametrize("fields", [{"A": (2, 4)}, {"A": (8, 8), "B": (12, 4)}, {"A": (0, 4), "B": (0, 4)}])
def test_what_cannot_be_is_refused(fields: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="misaligned"):
        Struct("X", 12, **fields)
