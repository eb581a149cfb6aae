"""What the workers of test_crew.py do; a module of its own, because workers import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.campaign.worker_pool import WorkerPool

Job = tuple[str, str]


@contextmanager
def opened(log: str) -> Iterator[Callable[[Job], str]]:
    """Workers that write down their process id and whether they were closed in order."""
    with Path(log).open("a") as file:
        print(f"open {os.getpid()}", file=file, flush=True)
        yield work
        print(f"closed {os.getpid()}", file=file, flush=True)


def work(job: Job) -> str:
    """`echo X`; `die FILE`: be killed at the first try; `always_die`; `break`; `wait FIFO`; `pid`."""
    what, argument = job
    match what:
        case "echo":
            return argument
        case "pid":
            return str(os.getpid())
        case "die":
            marker = Path(argument)
            if marker.exists():
                return "alive"
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case "always_die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "break":
            raise ValueError(argument)
        case "wait":
            with Path(argument).open():  # blocks until the other end is opened
                return "woken"
    raise AssertionError(job)


@contextmanager
def cannot_open() -> Iterator[Callable[[Job], str]]:
    """A worker that never gets ready."""
    raise RuntimeError("no machine today")
    yield work


def wait_for_ever(log: str, fifo: str) -> None:
    """A parent of two workers, for the test that kills it: prints their process ids, then waits without end."""
    with WorkerPool[Job, str](2, partial(opened, log)) as pool:
        for done in pool.run([[(0, ("pid", "")), (2, ("wait", fifo))], [(1, ("pid", "")), (3, ("wait", fifo))]]):
            print(done.result, flush=True)
