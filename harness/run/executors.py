"""Executors by target: the machines of the targets that were used last stay up."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from harness.qemu.target import Target
from harness.run.execute import Executor
from harness.run.options import RunOptions

__all__ = ["Executors"]


class Executors:
    """Makes an executor for each target at its first use. Close it, or use it as a context manager.

    At most `limit` executors are open at once; the least recently used one is closed first.
    """

    def __init__(self, options: RunOptions, limit: int = 2) -> None:
        self._options = options
        self._limit = limit
        self._open: dict[Target, Executor] = {}

    def of(self, target: Target) -> Executor:
        """The executor of the target."""
        found = self._open.pop(target, None) or Executor(target, self._options)
        self._open[target] = found
        while len(self._open) > self._limit:
            self._open.pop(next(iter(self._open))).close()
        return found

    def close(self) -> None:
        """End all machines. A second call does nothing."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
