from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from harness.campaign.worker_pool import Done, WorkerPool, WorkerPoolError

sys.path.insert(0, str(Path(__file__).parent))  # workers find what we find
import worker_pool_jobs
from worker_pool_jobs import Job


def run(size: int, groups: Sequence[Sequence[tuple[int, Job]]], tmp_path: Path) -> dict[int, Done[str]]:
    with WorkerPool[Job, str](size, partial(worker_pool_jobs.opened, str(tmp_path / "log"))) as pool:
        found = list(pool.run(groups))
    assert len(found) == len({done.number for done in found})
    return {done.number: done for done in found}


def log(tmp_path: Path, word: str) -> list[int]:
    return [int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines() if line.startswith(word)]


def assert_gone(pid: int) -> None:
    """Whether a process that is no child of ours has ended: its pidfd becomes readable then."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 20)[0], f"process {pid} is still there"
    finally:
        os.close(descriptor)


def test_every_job_is_answered_once(tmp_path: Path) -> None:
    groups = [[(number, ("echo", str(number))) for number in range(start, 60, 3)] for start in range(3)]
    found = run(2, groups, tmp_path)
    assert {number: done.result for number, done in found.items()} == {n: str(n) for n in range(60)}
    assert {done.attempts for done in found.values()} == {1}
    assert sorted(log(tmp_path, "closed")) == sorted(log(tmp_path, "open"))
    assert len(log(tmp_path, "open")) == 2


def test_no_more_workers_than_jobs(tmp_path: Path) -> None:
    run(8, [[(0, ("pid", ""))]], tmp_path)
    assert len(log(tmp_path, "open")) == 1


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    jobs: list[tuple[int, Job]] = [(number, ("echo", str(number))) for number in range(20)]
    jobs[5] = 5, ("die", str(tmp_path / "marker"))
    found = run(2, [jobs], tmp_path)
    assert sorted(found) == list(range(20))
    assert found[5] == Done(5, "alive", "", attempts=2)
    assert {done.attempts for number, done in found.items() if number != 5} == {1}
    assert len(log(tmp_path, "open")) == 3


def test_twice_killed_is_an_end(tmp_path: Path) -> None:
    jobs: list[tuple[int, Job]] = [(0, ("echo", "a")), (1, ("always_die", "")), (2, ("echo", "b"))]
    found = run(1, [jobs], tmp_path)
    assert (found[0].result, found[2].result) == ("a", "b")
    assert found[1].result is None and found[1].attempts == 2
    assert "SIGKILL" in found[1].lost


def test_a_job_that_raises_is_reported_and_the_worker_continues(tmp_path: Path) -> None:
    found = run(1, [[(0, ("break", "of a kind")), (1, ("echo", "b"))]], tmp_path)
    assert found[0].lost.rstrip().endswith("ValueError: of a kind")
    assert found[1].result == "b"
    assert len(log(tmp_path, "open")) == 1


def test_workers_that_cannot_begin(capfd: pytest.CaptureFixture[str]) -> None:
    pool = WorkerPool[Job, str](2, worker_pool_jobs.cannot_open)
    with pytest.raises(WorkerPoolError, match="before it could begin, 3 times"), pool:
        list(pool.run([[(number, ("echo", "")) for number in range(9)]]))
    assert "no machine today" in capfd.readouterr().err


def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    log_file = tmp_path / "log"
    groups: list[list[tuple[int, Job]]] = [[(0, ("pid", ""))], [(1, ("wait", str(fifo)))]]
    begun = False
    with (
        contextlib.suppress(KeyboardInterrupt),
        WorkerPool[Job, str](2, partial(worker_pool_jobs.opened, str(log_file))) as pool,
    ):
        for _ in pool.run(groups):
            begun = True
            raise KeyboardInterrupt
    assert begun
    for pid in log(tmp_path, "open"):
        assert_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from worker_pool_jobs import *; wait_for_ever({str(tmp_path / 'log')!r}, {str(fifo)!r})",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()), int(parent.stdout.readline())]
    os.kill(parent.pid, number)
    parent.communicate(timeout=60)
    for pid in workers:
        assert_gone(pid)
