"""Divides a plan: parts, order, number of workers."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

__all__ = ["Shard", "default_workers", "shuffled"]

T = TypeVar("T")

_WORTH_A_WORKER = 16  # runs: fewer are finished before a second process has started


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`. A case's part depends on its id alone, so new cases move no other."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `2/3`. Raises ValueError with what is wrong."""
        first, slash, second = text.partition("/")
        if not (slash and first.isdecimal() and second.isdecimal()):
            raise ValueError(f"{text!r} is not a part. Expected: I/N, such as 1/3")
        index, count = int(first), int(second)
        if not 1 <= index <= count:
            raise ValueError(f"{text!r}: the part must be between 1 and {max(count, 1)}")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, case: str) -> bool:
        """Whether the case with this id belongs to this part."""
        digest = hashlib.sha256(case.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


def shuffled(items: Sequence[T], seed: int | None) -> list[T]:
    """The items in the random order of `seed`, which is the same everywhere; unchanged for None."""
    chosen = list(items)
    if seed is not None:
        random.Random(seed).shuffle(chosen)
    return chosen


def default_workers(runs: int) -> int:
    """The default number of workers: the cores that this process may use, fewer for a short plan."""
    return max(1, min(len(os.sched_getaffinity(0)), runs // _WORTH_A_WORKER))
