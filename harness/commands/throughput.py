"""The throughput figures as tables, one for each unit, and as the key `throughput` of bench.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from harness.campaign.throughput.figures import Figure
    from harness.campaign.throughput.sampling import Rate, Unit

__all__ = ["throughput_document", "throughput_tables"]

_SCALES: dict[Unit, tuple[str, float]] = {"interrupts": ("interrupts a second", 1.0), "bytes": ("MB a second", 1e6)}


def throughput_tables(figures: Sequence[Figure]) -> list[Table]:
    """A table for each unit: devices and what they do, by target; narrow enough for 80 columns and four targets.

    Where the guest's own clock is a real one, a second line of the cell has the figure by its time-stamp counter.
    """
    targets = list(dict.fromkeys(name for row in figures for name in row.rates))
    return [_table(unit, [row for row in figures if row.unit == unit], targets) for unit in _units(figures)]


def _units(figures: Sequence[Figure]) -> list[Unit]:
    return list(dict.fromkeys(row.unit for row in figures))


def _table(unit: Unit, figures: Sequence[Figure], targets: Sequence[str]) -> Table:
    title, scale = _SCALES[unit]
    timed = any(rate and rate.per_guest_second is not None for row in figures for rate in row.rates.values())
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        title=title,
        caption="TSC: the same by the guest's time-stamp counter" if timed else None,
        caption_justify="left",
    )
    table.add_column("device", overflow="fold")
    for name in targets:
        table.add_column(name, justify="right", overflow="fold")
    for row in figures:
        cells = [_cell(row.rates.get(name), scale) for name in targets]
        table.add_row(f"{row.device}, {row.operation}", *cells)
    return table


def _cell(rate: Rate | None, scale: float) -> Text:
    text = Text(_shown(rate.per_second if rate else None, scale))
    if rate and rate.per_guest_second is not None:
        text.append(f"\nTSC {_shown(rate.per_guest_second, scale)}", "dim")
    return text


def _shown(value: float | None, scale: float) -> str:
    if value is None:
        return ""
    scaled = value / scale
    return f"{scaled:.2f}" if scaled < 10 else f"{scaled:.1f}" if scaled < 1000 else f"{scaled:,.0f}"


def throughput_document(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The rows, as docs/bench.md describes them."""
    return [
        {
            "device": row.device,
            "operation": row.operation,
            "unit": row.unit,
            "targets": {name: {} if rate is None else _rate(rate) for name, rate in row.rates.items()},
        }
        for row in figures
    ]


def _rate(rate: Rate) -> dict[str, float]:
    document: dict[str, float] = {"per_second": round(rate.per_second, 1), "amount": rate.amount}
    if rate.per_guest_second is not None:
        document["per_guest_second"] = round(rate.per_guest_second, 1)
    return document
