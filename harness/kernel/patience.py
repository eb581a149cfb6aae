"""How long the waits of a guest program may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["DEVICE_MS", "LONGEST_MS", "Patience"]

DEVICE_MS = 4000.0
"""Milliseconds after which a wait for a device gives up whose work the host does: a disk, a network, a thread."""

LONGEST_MS = 100_000.0
"""Milliseconds that a wait may name: in microseconds, and 40 times in real time, it fits into 32 bits."""


@dataclass(frozen=True)
class Patience:
    """When waits give up: after so many times their own bound, of which at most `at_most_ms` counts."""

    factor: int = 1
    at_most_ms: float = math.inf

    def us(self, ms: float) -> int:
        """Microseconds of guest time for a wait of `ms` milliseconds."""
        return round(min(ms, self.at_most_ms) * 1000 * self.factor)
