"""The time axis of a timeline: from ticks to places, linear where that can be read, else with shortened gaps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.report.html.moments import duration

__all__ = ["Axis", "Break", "Tick", "make_axis"]

_WIDTH = 860.0  # of a linear axis
_LEAST = 7.0  # pixels between two moments that a linear axis must have
_STEP, _SHORTEST = 10.0, 8.0  # a shortened gap: pixels for each doubling, and of the shortest gap
_LETTER, _BETWEEN = 6.1, 12.0  # pixels of a letter of a label, and between two labels


@dataclass(frozen=True)
class Tick:
    """A labelled place of the axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Break:
    """A gap that is shortened, with its real length."""

    x: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Places of moments. `places[i]` is that of `moments[i]`; between them the axis is linear."""

    moments: Sequence[int]
    places: Sequence[float]
    khz: int
    linear: bool

    @property
    def width(self) -> float:
        """Pixels from the first moment to the last."""
        return self.places[-1]

    def x(self, ticks: int) -> float:
        """The place of a moment inside the axis; one outside of it is at its end."""
        at = bisect_right(self.moments, ticks) - 1
        if at < 0:
            return 0.0
        if at >= len(self.moments) - 1:
            return self.width
        share = (ticks - self.moments[at]) / (self.moments[at + 1] - self.moments[at])
        return self.places[at] + share * (self.places[at + 1] - self.places[at])

    def ticks(self) -> list[Tick]:
        """Labels: at round times of a linear axis, else at the moments that have room."""
        if self.linear and self.khz:
            return [Tick(self.x(at), duration(at, self.khz)) for at in _round_times(self.moments[-1], self.khz)]
        found: list[Tick] = []
        free = -math.inf
        for at, x in zip(self.moments, self.places, strict=True):
            label = duration(at, self.khz)
            half = len(label) * _LETTER / 2
            if x - half >= free:
                found.append(Tick(x, label))
                free = x + half + _BETWEEN
        return found

    def breaks(self) -> list[Break]:
        """The gaps that are much longer than they are drawn."""
        if self.linear:
            return []
        gaps = [b - a for a, b in pairwise(self.moments)]
        shortest = min(gaps, default=1)
        return [
            Break((self.places[n] + self.places[n + 1]) / 2, duration(gap, self.khz))
            for n, gap in enumerate(gaps)
            if gap >= 32 * shortest
        ]


def make_axis(moments: Sequence[int], khz: int) -> Axis:
    """The axis of these moments, and of 0, the guest's start."""
    times = sorted({0, *moments})
    if len(times) == 1:
        times.append(times[0] + 1)
    gaps = [b - a for a, b in pairwise(times)]
    shortest = min(gaps)
    linear = shortest * _WIDTH / times[-1] >= _LEAST
    if linear:
        places = [time * _WIDTH / times[-1] for time in times]
    else:
        places = [0.0]
        for gap in gaps:
            places.append(places[-1] + _SHORTEST + _STEP * math.log2(gap / shortest))
        if places[-1] < _WIDTH:
            places = [place * _WIDTH / places[-1] for place in places]
    return Axis(times, places, khz, linear)


def _round_times(last: int, khz: int) -> list[int]:
    """About eight round times from 0 to the last one, in ticks."""
    step_ms = 10 ** math.floor(math.log10(last / khz))
    for part in (1.0, 0.5, 0.25, 0.125):
        if last / khz / (step_ms * part) >= 6:
            step_ms *= part
            break
    else:
        step_ms *= 0.125
    return [round(n * step_ms * khz) for n in range(int(last / khz / step_ms) + 1)]
