"""An interrupt at the end of what the engine runs."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from harness.qemu import engine


class InterruptedLock:
    """A lock: the first wait for one gets it, and then raises, as a signal does that comes at that moment."""

    interrupts = 1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0

    def acquire(self) -> None:
        assert self._lock.acquire(timeout=20), "it is never released"
        self._calls += 1
        if self._calls == 2 and InterruptedLock.interrupts:
            InterruptedLock.interrupts -= 1
            raise KeyboardInterrupt

    def release(self) -> None:
        self._lock.release()


def test_an_interrupt_that_comes_when_the_task_has_ended_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = SimpleNamespace(Lock=InterruptedLock, current_thread=threading.current_thread)
    running = engine.engine()
    monkeypatch.setattr(engine, "threading", ours)
    with pytest.raises(KeyboardInterrupt):
        running.run(asyncio.sleep(0))
    assert running.run(asyncio.sleep(0, "result")) == "result"
