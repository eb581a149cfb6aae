"""Throughput figures for a person and for a program: one table, and the key `throughput` of bench.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from harness.campaign.throughput.figures import Figure
    from harness.campaign.throughput.sampling import Rate, Unit

__all__ = ["throughput_document", "throughput_table"]

_SCALES: dict[Unit, tuple[str, float]] = {"interrupts": ("interrupts/s", 1.0), "bytes": ("MB/s", 1e6)}


def throughput_table(figures: Sequence[Figure]) -> Table:
    """Devices and what they do, by target; a second column where the guest's own clock is a real one."""
    targets = list(dict.fromkeys(name for row in figures for name in row.rates))
    clocks = {name for row in figures for name, rate in row.rates.items() if rate and rate.per_guest_second is not None}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title="throughput")
    for heading in ("device", "operation", "unit"):
        table.add_column(heading)
    for name in targets:
        table.add_column(name, justify="right")
        if name in clocks:
            table.add_column("by its TSC", justify="right", style="dim")
    before = None
    for row in figures:
        if before not in (None, row.unit):
            table.add_section()
        before = row.unit
        unit, scale = _SCALES[row.unit]
        cells = []
        for name in targets:
            rate = row.rates.get(name)
            cells.append(_shown(rate.per_second if rate else None, scale))
            if name in clocks:
                cells.append(_shown(rate.per_guest_second if rate else None, scale))
        table.add_row(row.device, row.operation, unit, *cells)
    return table


def _shown(value: float | None, scale: float) -> str:
    if value is None:
        return ""
    scaled = value / scale
    return f"{scaled:.2f}" if scaled < 10 else f"{scaled:.1f}" if scaled < 1000 else f"{scaled:,.0f}"


def throughput_document(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The rows, as docs/bench.md says."""
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
