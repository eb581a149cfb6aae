"""Worker processes that share jobs. If a worker dies, finished results are not lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from harness.campaign.worker import Answer
from harness.qemu.errors import describe_exit

__all__ = ["Done", "Opener", "WorkerPool", "WorkerPoolError"]

J = TypeVar("J")
R = TypeVar("R")
Opener = Callable[[], AbstractContextManager[Callable[[J], R]]]

_AHEAD = 2  # jobs that a worker holds: the one at work and the next, so that it never waits for us
_ATTEMPTS = 2
_FAILED_STARTS = 3
_GRACE_S = 30.0  # for a worker to end its machines, after its last job

# The worker has the same sys.path, and does not run the main module again as multiprocessing's children do.
_BOOT = "import sys; sys.path[:] = {path!r}; from harness.campaign.worker import serve; serve({fd}, {parent})"


class WorkerPoolError(Exception):
    """Workers cannot be started at all."""


@dataclass(frozen=True)
class Done(Generic[R]):
    """The end of one job: its result, or why there is none."""

    number: int
    result: R | None = None
    lost: str = ""  # how the worker ended, or the exception of the job's code
    attempts: int = 1


@dataclass
class _Task(Generic[J]):
    number: int
    group: int
    job: J
    attempts: int = 0


class _Worker(Generic[J]):
    """One process and its jobs."""

    def __init__(self, opener: Opener[J, Any]) -> None:
        ours, theirs = Pipe(duplex=True)
        boot = _BOOT.format(path=sys.path, fd=theirs.fileno(), parent=os.getpid())
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", boot],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C reaches only the parent, which ends the workers in order
            )
        finally:
            theirs.close()
        self.connection: Connection[Any, Any] = ours
        self.given: deque[_Task[J]] = deque()
        self.group = -1
        self.ready = False
        try:
            ours.send(opener)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended; the next read reports it

    def give(self, task: _Task[J]) -> None:
        self.given.append(task)
        self.group = task.group
        try:
            self.connection.send((task.number, task.job))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the next read reports it

    def end(self, grace: float) -> int:
        """Close its socket, wait up to `grace` seconds for it to end in order, else kill it."""
        self.connection.close()
        try:
            return self.process.wait(grace) if grace else self._kill()
        except subprocess.TimeoutExpired:
            return self._kill()

    def _kill(self) -> int:
        self.process.kill()
        return self.process.wait()


class WorkerPool(Generic[J, R]):
    """Up to `size` workers. A context manager: leaving it ends them, by SIGKILL where an exception leaves it.

    `opener` runs in each worker and must be picklable, as jobs and results must: it returns a context manager around
    the function from job to result.
    """

    def __init__(self, size: int, opener: Opener[J, R]) -> None:
        self._size = size
        self._opener = opener
        self._workers: list[_Worker[J]] = []
        self._groups: list[deque[_Task[J]]] = []
        self._failed_starts = 0

    def run(self, groups: Sequence[Sequence[tuple[int, J]]]) -> Iterator[Done[R]]:
        """The results as they come. Numbered jobs of one group go to the same worker where that costs nothing.

        A job whose worker died is given to another one, once. Raises WorkerPoolError.
        """
        self._groups = [deque(_Task(number, index, job) for number, job in group) for index, group in enumerate(groups)]
        size = min(self._size, sum(map(len, groups)))
        while any(self._groups) or any(worker.given for worker in self._workers):
            while len(self._workers) < size and any(self._groups):
                self._workers.append(_Worker(self._opener))
                self._fill(self._workers[-1])
            by_connection = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(by_connection)):
                worker = by_connection[connection]  # type: ignore[index]
                try:
                    answer: Answer = worker.connection.recv()
                except (EOFError, OSError):
                    yield from self._bury(worker)
                    continue
                if answer.number < 0:
                    worker.ready = True
                    continue
                task = worker.given.popleft()
                assert task.number == answer.number
                self._fill(worker)
                yield Done(task.number, answer.result, answer.broke, task.attempts + 1)

    def _fill(self, worker: _Worker[J]) -> None:
        """Give it a job, and one ahead if there are enough for all workers."""
        while len(worker.given) < _AHEAD:
            if worker.given and sum(map(len, self._groups)) < self._size:
                return
            task = self._take(worker)
            if task is None:
                return
            worker.give(task)

    def _take(self, worker: _Worker[J]) -> _Task[J] | None:
        """The next job: of the worker's own group, of one that no worker has, of the longest."""
        if worker.group >= 0 and self._groups[worker.group]:
            return self._groups[worker.group].popleft()
        busy = {other.group for other in self._workers if other is not worker}
        waiting = [index for index, group in enumerate(self._groups) if group]
        if not waiting:
            return None
        chosen = max(waiting, key=lambda index: (index not in busy, len(self._groups[index])))
        return self._groups[chosen].popleft()

    def _bury(self, worker: _Worker[J]) -> Iterator[Done[R]]:
        """Take a dead worker's jobs back; only the first of them can have ended it."""
        self._workers.remove(worker)
        returncode = worker.end(grace=_GRACE_S)
        ending = f"the worker process {describe_exit(returncode)}"
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise WorkerPoolError(
                    f"{ending} before it could begin, {self._failed_starts} times; its message is above"
                )
        elif worker.given:
            task = worker.given.popleft()
            task.attempts += 1
            if task.attempts < _ATTEMPTS:
                self._groups[task.group].appendleft(task)
            else:
                yield Done(task.number, None, f"{ending}, {task.attempts} times in this run", task.attempts)
        while worker.given:
            task = worker.given.pop()
            self._groups[task.group].appendleft(task)

    def close(self, *, by_force: bool = False) -> None:
        """End all workers: after their current job, or at once (`by_force`)."""
        workers, self._workers = self._workers, []
        for worker in workers:
            if by_force:
                worker.process.kill()
            worker.connection.close()
        for worker in workers:
            worker.end(0.0 if by_force else _GRACE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(by_force=kind is not None)
