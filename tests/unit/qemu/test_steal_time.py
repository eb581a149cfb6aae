"""Time that a hypervisor took from this host's processors is time in which QEMU did not run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.qemu import scheduling
from harness.qemu.scheduling import Allowance, Deprivation, Scheduling
from harness.run.held_up import held_up
from harness.run.outcome import Outcome
from harness.run.record import Verdict

LINE = "{name} 100 0 100 1000 0 0 0 {steal} 0 0\n"


class Host:
    """A /proc/stat of two processors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steal(0, 0)

    def steal(self, first: int, second: int) -> None:
        """Ticks stolen since the start."""
        rows = [("cpu ", first + second), ("cpu0", first), ("cpu1", second)]
        self.path.write_text("".join(LINE.format(name=name, steal=ticks) for name, ticks in rows) + "intr 1 2 3\n")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path / "stat")
    monkeypatch.setattr(scheduling, "_STAT", made.path)
    return made


def test_steal_of_the_processor_that_lost_most_counts(host: Host) -> None:
    host.steal(3, 5)
    before = scheduling.stolen_ms()
    host.steal(4, 9)
    assert scheduling.most_stolen(before, scheduling.stolen_ms()) == 4 * 1e3 / os.sysconf("SC_CLK_TCK")


def test_a_processor_that_came_or_an_unreadable_file_counts_as_nothing(host: Host) -> None:
    assert scheduling.most_stolen([0.0], scheduling.stolen_ms()) == 0
    host.path.unlink()
    assert scheduling.stolen_ms() == [] and scheduling.most_stolen([0.0, 0.0], scheduling.stolen_ms()) == 0


@pytest.mark.parametrize("counts", [True, False])
def test_a_run_in_real_time_reads_it(host: Host, counts: bool) -> None:
    times = Scheduling(os.getpid())
    times.counts_steal = counts
    times.begin()
    host.steal(0, 7)
    times.end()
    host.steal(0, 99)  # after the guest has stopped
    assert times.so_far().stolen_ms == (70 if counts else 0)
    times.clear()
    assert times.so_far().stolen_ms == 0


def test_a_fail_under_steal_is_an_error_that_names_it() -> None:
    judged = held_up(Outcome(Verdict.FAIL, "1 came"), Deprivation(stolen_ms=20), paced_only=False)
    assert judged.verdict is Verdict.ERROR
    assert "steal time" in judged.reason and "20 ms" in judged.reason and "1 came" in judged.reason
    assert held_up(Outcome(Verdict.FAIL, "1 came"), Deprivation(), paced_only=False).verdict is Verdict.FAIL


def test_an_allowance_is_not_used_up_while_the_hypervisor_runs_others(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    allowance = Allowance(Scheduling(os.getpid()), 0.5)
    for tick in range(1, 41):  # ten seconds, all of them stolen after the first slice
        now[0] = tick * 0.25
        if tick > 1:
            host.steal(25 * (tick - 1), 0)
        assert allowance.count() is True, tick
    assert allowance.used == pytest.approx(0.25)
    assert allowance.deprivation.waiting_ms == pytest.approx(39 * 250)
