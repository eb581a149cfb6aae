"""The table of a guest's recorder: interrupts, exceptions and marks, bounded in lines and columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.evidence.interrupts import InterruptRecord, Mark
from harness.report.text import printable

__all__ = ["interrupt_table"]

_FIRST, _LAST = 24, 8  # lines that a long table shows
_LIKE = 4  # runs of at least this many equal events are collapsed to the first and the last
_DEEPEST = 4  # maximum depth of indentation; a greater depth is shown as a number
_LEAST = 16  # minimum columns of a place
_MARK_NAME = 60  # characters of a mark's name

_HEAD = ("#", "CPU", "vector", "error", "CS:RIP", "TSC", "in service", "where")
_RIGHT = ("#", "CPU", "TSC")

Event = InterruptRecord | Mark
Row = tuple[str, ...]


def interrupt_table(interrupts: Sequence[InterruptRecord], marks: Sequence[Mark] = (), width: int = 100) -> str:
    """The events of the recorder in order, one a line, in at most `width` columns where the places can be shortened.

    Columns: sequence number, CPU, vector with its architectural name (indented by the handlers that it interrupted) or
    a mark's name, error code, CS:RIP, TSC ticks since the guest's start, whether the local APIC had the vector in
    service, and where RIP is in the source.
    """
    events: list[Event] = sorted([*interrupts, *marks], key=lambda event: event.seq)
    if not events:
        return "none"
    lines: list[Row | str] = []
    for _, group in groupby(events, key=_likeness):
        same = list(group)
        if len(same) < _LIKE:
            lines += [_row(event) for event in same]
            continue
        deepest = max(event.depth for event in same if isinstance(event, InterruptRecord))
        nested = f", nested {deepest} deep" if deepest > _DEEPEST else ""
        lines += [_row(same[0]), f"… {len(same) - 2} more like it{nested} …", _row(same[-1])]
    left_out = len(lines) - _FIRST - _LAST
    if left_out > 0:
        lines[_FIRST:-_LAST] = [f"… {left_out} more lines, in the JSON report …"]
    return "\n".join(_aligned(lines, width))


def _likeness(event: Event) -> tuple[object, ...]:
    """The key of an event: events of one key are shown as one line with a count. A mark has a key of its own."""
    if isinstance(event, Mark):
        return ("mark", event.seq)
    return (event.cpu, event.vector, event.error_code, event.cs, event.where, event.in_service)


def _aligned(lines: Sequence[Row | str], width: int) -> list[str]:
    rows = [row for row in lines if not isinstance(row, str)]
    used = [column for column, title in enumerate(_HEAD) if title != "error" or any(row[column] for row in rows)]
    rows = [_HEAD, *rows]
    widths = {column: max(len(row[column]) for row in rows) for column in used}
    last = used[-1]
    left = sum(widths[column] + 2 for column in used[:-1])
    widths[last] = min(widths[last], max(width - left, _LEAST))

    def line(row: Row) -> str:
        cells = [
            row[column].rjust(widths[column]) if _HEAD[column] in _RIGHT else row[column].ljust(widths[column])
            for column in used[:-1]
        ]
        return "  ".join([*cells, _shortened(row[last], widths[last])]).rstrip()

    return [line(_HEAD), *(row if isinstance(row, str) else line(row) for row in lines)]


def _shortened(place: str, width: int) -> str:
    """The end of a place, which has the line's number."""
    return place if len(place) <= width else f"…{place[len(place) - width + 1 :]}"


def _row(event: Event) -> Row:
    if isinstance(event, Mark):
        name = printable(event.name)
        name = name if len(name) <= _MARK_NAME else f"{name[: _MARK_NAME - 1]}…"
        return (str(event.seq), str(event.cpu), "mark", "", "", str(event.tsc), "", name)
    error = "" if event.error_code is None else f"{event.error_code:#x}"
    vector = f"{event.vector:#04x} {event.name}".rstrip()
    nested = f"{'  ' * event.depth}{vector}" if event.depth <= _DEEPEST else f"{vector} (depth {event.depth})"
    return (
        str(event.seq),
        str(event.cpu),
        nested,
        error,
        f"{event.cs:02x}:{event.rip:x}",
        str(event.tsc),
        "yes" if event.in_service else "no",
        printable(event.where),
    )
