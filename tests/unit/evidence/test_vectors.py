"""Vectors in failing comparisons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evidence.vectors import Vectors, explain_vectors


def test_exceptions_are_decimal_and_all_others_hexadecimal() -> None:
    assert repr(Vectors([0, 14, 31, 32, 0xFF])) == "[0, 14, 31, 0x20, 0xff]"
    assert repr(Vectors[int | str](["armed", 0x50])) == "['armed', 0x50]"
    assert repr(Vectors([])) == "[]"
    assert repr(Vectors([0x50, 0x60, 0x70])[1:]) == "[0x60, 0x70]"


def test_long_lists_are_abridged() -> None:
    assert repr(Vectors([0x50] * 101)) == "[0x50 × 101]"
    assert repr(Vectors([0x50, *[0x51] * 4, 3])) == "[0x50, 0x51, 0x51, 0x51, 0x51, 3]"
    shown = repr(Vectors(range(32, 232)))
    assert shown.startswith("[0x20, 0x21,")
    assert shown.endswith(", 0xe7]")
    assert shown.count(",") == 24
    assert "…" in shown


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ([0x50], [0x50, 0x51], "0x51 did not come"),
        ([0x50, 0x51], [0x50], "0x51 came after all that was expected"),
        ([0x50, 0x60, 0x51], [0x50, 0x51], "First difference at 1: 0x60 came, 0x51 was expected"),
        ([6], [1], "First difference at 0: 6 came, 1 was expected"),
        (["on", 0x40], [0x40, "on"], "First difference at 0: 'on' came, 0x40 was expected"),
    ],
)
def test_the_difference_is_named(left: list[int | str], right: list[int | str], said: str) -> None:
    explained = explain_vectors("==", Vectors(left), right)
    assert explained is not None
    assert explained[0] == f"{Vectors(left)!r} == {Vectors(right)!r}"
    assert explained[-1] == said


def test_everything_else_is_left_to_pytest() -> None:
    assert explain_vectors("==", [0x50], [0x51]) is None
    assert explain_vectors("!=", Vectors([0x50]), [0x50]) is None
    assert explain_vectors("==", Vectors([0x50]), (0x50,)) is None


@given(st.lists(st.integers(0, 255)), st.lists(st.integers(0, 255)))
def test_any_two_lists_are_explained(left: list[int], right: list[int]) -> None:
    if left != right:
        explained = explain_vectors("==", Vectors(left), right)
        assert explained is not None
        assert len(explained) == 3
