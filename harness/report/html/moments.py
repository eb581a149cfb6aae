"""Moments and durations of guest time as text."""

from __future__ import annotations

__all__ = ["duration", "moment"]

_UNITS = (("ns", 1e-6), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3))  # milliseconds of each


def duration(ticks: int, khz: int) -> str:
    """`168 ns`, `1.104 µs`, `1.000576 ms`; ticks where the counter's rate is not known."""
    if khz <= 0:
        return f"{ticks:,} ticks"
    ms = ticks / khz
    unit, size = next(((unit, size) for unit, size in reversed(_UNITS) if ms >= size), _UNITS[0])
    text = f"{ms / size:.6f}" if unit in ("ms", "s") else f"{ms / size:.3f}"
    return f"{text.rstrip('0').rstrip('.')} {unit}"


def moment(ticks: int, khz: int) -> str:
    """A time since the guest's start, in microseconds to the nanosecond, so that a column of them can be compared."""
    if khz <= 0:
        return f"{ticks:,} ticks"
    return f"{ticks / khz * 1e3:,.3f} µs"
