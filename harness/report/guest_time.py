"""Moments of guest time in nanoseconds."""

from __future__ import annotations

__all__ = ["nanoseconds"]


def nanoseconds(ticks: int, khz: int) -> int:
    """Ticks of a counter of `khz` kHz in nanoseconds, rounded down."""
    return ticks * 1_000_000 // khz
