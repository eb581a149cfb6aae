"""The host's time asleep, as two clocks show it that cannot be read at once."""

from __future__ import annotations

import time

import pytest

from harness.qemu import scheduling


def test_a_wait_for_a_processor_between_two_readings_is_no_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    waits = iter([0.0, 0.0217, 0.0, 0.0, 0.03])  # seconds before each reading

    def read(clock: int) -> float:
        nonlocal now
        now += next(waits, 0.0)
        return now + 5 if clock == time.CLOCK_BOOTTIME else now

    monkeypatch.setattr("harness.qemu.scheduling.time.clock_gettime", read)
    assert [round(scheduling._asleep(), 6) for _ in range(3)] == [5.0, 5.0, 5.0]
