from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.campaign.sharding import Shard, default_workers, shuffled

IDS = [f"timers/hpet.py::probe_{number}[pin{number}]" for number in range(300)]


@given(st.integers(1, 12), st.text())
def test_each_case_is_in_exactly_one_part(count: int, case: str) -> None:
    assert sum(Shard(index, count).holds(case) for index in range(1, count + 1)) == 1


def test_parts_are_of_like_size() -> None:
    sizes = [sum(Shard(index, 3).holds(case) for case in IDS) for index in (1, 2, 3)]
    assert min(sizes) > 70


def test_a_part_is_the_same_for_ever() -> None:
    """Other machines, versions and catalogues must agree, or a CI would lose cases."""
    assert [number for number in range(12) if Shard(2, 4).holds(IDS[number])] == [2, 9, 11]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="part"):
        Shard.parse(text)


def test_parse() -> None:
    assert Shard.parse("2/3") == Shard(2, 3)


@given(st.lists(st.integers()), st.integers())
def test_a_seed_is_an_order(items: list[int], seed: int) -> None:
    assert sorted(shuffled(items, seed)) == sorted(items)
    assert shuffled(items, seed) == shuffled(items, seed)
    assert shuffled(items, None) == items


def test_workers() -> None:
    assert default_workers(1) == 1
    assert default_workers(10_000) >= 1
