"""One event loop for all QEMU processes of this process, in one thread that lives to the end.

QEMU is forked from that thread: PR_SET_PDEATHSIG follows the forking *thread* (prctl(2), PR_SET_PDEATHSIG), so a
short-lived one would take its machines with it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

__all__ = ["Engine", "engine"]

T = TypeVar("T")


class Engine:
    """An asyncio loop in a daemon thread, and the entry from synchronous code."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._spawned: set[asyncio.Task[object]] = set()
        self._thread = threading.Thread(target=self._serve, name="trapgate-qemu", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the loop's thread and return its result.

        An interrupt cancels the coroutine, and is raised when that has ended and released its resources.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("the synchronous face of harness.qemu cannot be used from its own event loop")
        tasks: list[asyncio.Task[T]] = []
        ended = threading.Lock()  # free again at the end; an Event would be the same, at some times the cost
        ended.acquire()

        def begin() -> None:
            tasks.append(self.loop.create_task(coroutine))
            tasks[0].add_done_callback(lambda _: ended.release())

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
                tasks[0].add_done_callback(lambda _: cancelled.release())
            else:  # the interrupt came first
                coroutine.close()
                cancelled.release()

        try:
            self.loop.call_soon_threadsafe(begin)
            ended.acquire()
        except BaseException:  # `ended` may be taken already: an interrupt is raised after the call that it interrupts
            cancelled = threading.Lock()
            cancelled.acquire()
            self.loop.call_soon_threadsafe(cancel)
            cancelled.acquire()
            if tasks and not tasks[0].cancelled():
                tasks[0].exception()  # marks it as retrieved
            raise
        return tasks[0].result()

    def post(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the loop's thread, soon; do not wait for it."""
        self.loop.call_soon_threadsafe(callback)

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run `coroutine` in the loop's thread; do not wait for it."""
        self.post(lambda: self._keep(self.loop.create_task(coroutine)))

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._spawned.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._spawned.discard)


_engine: Engine | None = None
_lock = threading.Lock()


def engine() -> Engine:
    """The engine of this process; started at the first call."""
    global _engine
    if _engine is None:
        with _lock:
            if _engine is None:
                _engine = Engine()
    return _engine


def _forget() -> None:
    # A forked child has the object but not the thread: it must start its own.
    global _engine, _lock
    _engine = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)
