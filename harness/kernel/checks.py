"""Checks of what a probe passes to the verbs of the builder; each error names the probe's line."""

from __future__ import annotations

import math

from harness.kernel.program import Program

__all__ = ["check_count", "check_duration", "check_number", "check_vector"]


def check_vector(program: Program, vector: int) -> None:
    """Raise ProgramError unless `vector` is an integer from 0 to 255."""
    if isinstance(vector, str) and vector.removeprefix("0x").isalnum():
        raise program.error(f"the vector is {vector!r}, of type str. Expected: an integer. To fix: remove the quotes")
    if isinstance(vector, bool) or not isinstance(vector, int):
        raise program.error(f"the vector is {vector!r}, of type {type(vector).__name__}. Expected: an integer, as 0x50")
    if not 0 <= vector <= 255:
        raise program.error(f"the vector is {vector:#x}. Expected: 0 to 0xff")


def check_number(program: Program, what: str, value: int, low: int, high: int) -> None:
    """Raise ProgramError unless `value` is an integer from `low` to `high`; `what` names it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise program.error(f"{what} is {value!r}, of type {type(value).__name__}. Expected: an integer")
    if not low <= value <= high:
        raise program.error(f"{what} is {value:#x}. Expected: {low:#x} to {high:#x}")


def check_count(program: Program, count: int, *, most: int = (1 << 32) - 1) -> None:
    """Raise ProgramError unless `count` is an integer from 1 to `most`."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise program.error(f"count={count!r}. Expected: an integer from 1 to {most:#x}")


def check_duration(program: Program, name: str, amount: float, *, at_least: float = 0.0, most: float) -> None:
    """Raise ProgramError unless `amount` is a finite number between `at_least` and `most`; `name` is its parameter."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise program.error(f"{name}={amount!r}, of type {type(amount).__name__}. Expected: a number")
    if not math.isfinite(amount) or not at_least <= amount <= most:
        raise program.error(f"{name}={amount!r}. Expected: a number from {at_least:g} to {most:g}")
