"""Executors by target: each is used again, and the least recently used one is closed. No machine is started."""

from __future__ import annotations

import pytest

from harness.qemu.target import Target, target
from harness.run.executors import Executors
from harness.run.options import RunOptions

Q35, PC, MICROVM = target("q35-tcg"), target("pc-tcg"), target("microvm-tcg")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """The targets of the executors that were closed, in order."""
    found: list[Target] = []
    monkeypatch.setattr("harness.run.execute.Executor.close", lambda self: found.append(self.target))
    return found


def test_a_target_keeps_its_executor(closed: list[Target]) -> None:
    with Executors(RunOptions(cold=False)) as executors:
        first = executors.of(Q35)
        assert first.options == RunOptions(cold=False)
        assert executors.of(PC) is not first
        assert executors.of(Q35) is first
        assert closed == []
    assert sorted(found.name for found in closed) == ["pc-tcg", "q35-tcg"]


def test_the_least_recently_used_one_is_closed(closed: list[Target]) -> None:
    executors = Executors(RunOptions(), limit=2)
    first = executors.of(Q35)
    executors.of(PC)
    executors.of(Q35)
    executors.of(MICROVM)
    assert closed == [PC]
    assert executors.of(Q35) is first


def test_a_second_close_does_nothing(closed: list[Target]) -> None:
    executors = Executors(RunOptions())
    executors.of(Q35)
    executors.close()
    executors.close()
    assert closed == [Q35]
