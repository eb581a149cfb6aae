"""The first difference between the interrupts of two runs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.evidence.interrupts import InterruptRecord

__all__ = ["describe", "identity", "sequence_difference"]


def identity(interrupt: InterruptRecord) -> tuple[int, int, int | None]:
    """What must be equal in two runs of one case: vector, processor, error code."""
    return interrupt.vector, interrupt.cpu, interrupt.error_code


def describe(interrupt: InterruptRecord) -> str:
    """`vector 0x0d with error code 0x18 on CPU 1`."""
    code = "" if interrupt.error_code is None else f" with error code {interrupt.error_code:#x}"
    return f"vector {interrupt.vector:#04x}{code} on CPU {interrupt.cpu}"


def sequence_difference(first: Sequence[InterruptRecord], other: Sequence[InterruptRecord]) -> str:
    """The first difference of `other` from `first`, by identities and number; empty without one."""
    for mine, theirs in zip(first, other, strict=False):
        if identity(mine) != identity(theirs):
            return f"interrupt {mine.seq} is {describe(theirs)}, it was {describe(mine)}"
    if len(first) != len(other):
        return f"{len(other)} interrupts came, there were {len(first)}"
    return ""
