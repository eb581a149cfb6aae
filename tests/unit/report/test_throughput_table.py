"""The table and the document of throughput figures."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.campaign.throughput.figures import Figure
from harness.campaign.throughput.sampling import Rate
from harness.commands.throughput import throughput_document, throughput_tables

FIGURES = [
    Figure("edu", "MSI", "interrupts", {"virtual": Rate(1_234_567.8, None, 9), "real": Rate(950.04, 8.125, 7)}),
    Figure("ide", "read", "bytes", {"virtual": None, "real": Rate(40_000.0, 41_000.0, 8192)}),
    Figure("nvme", "write", "bytes", {"virtual": Rate(2.5e9, None, 1), "real": None}),
]


def rows(figures: list[Figure]) -> list[list[list[str]]]:
    return [[[str(cell) for cell in column.cells] for column in table.columns] for table in throughput_tables(figures)]


def test_rows_are_what_devices_do_columns_are_targets() -> None:
    interrupts, moved = throughput_tables(FIGURES)
    assert [str(column.header) for column in interrupts.columns] == ["device", "virtual", "real"]
    assert (interrupts.title, moved.title) == ("interrupts a second", "MB a second")
    assert rows(FIGURES) == [
        [["edu, MSI"], ["1,234,568"], ["950.0\nTSC 8.12"]],
        [["ide, read", "nvme, write"], ["", "2,500"], ["0.04\nTSC 0.04", ""]],
    ]


TARGETS = ("q35-tcg", "q35-tcg-rt", "pc-tcg", "q35-kvm")


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_without_a_figure_cut(width: int) -> None:
    rates = {name: Rate(1_234_567.8, 123_456.7, 9) for name in TARGETS}
    figures = [Figure("IO APIC", "edge of an ISA line", "interrupts", rates)]
    stream = io.StringIO()
    for table in throughput_tables(figures):
        Console(file=stream, width=width).print(table)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert text.count("1,234,568") == text.count("TSC 123,457") == len(TARGETS)
    assert all(name in text for name in TARGETS) and "…" not in text


def test_nothing_measured_is_no_table() -> None:
    assert throughput_tables([]) == []
    assert throughput_document([]) == []


def test_the_document_has_the_documented_keys() -> None:
    edu, ide, nvme = throughput_document(FIGURES)
    assert edu == {
        "device": "edu",
        "operation": "MSI",
        "unit": "interrupts",
        "targets": {
            "virtual": {"per_second": 1_234_567.8, "amount": 9},
            "real": {"per_second": 950.0, "per_guest_second": 8.1, "amount": 7},
        },
    }
    assert ide["targets"]["virtual"] == {}
    assert nvme["targets"] == {"virtual": {"per_second": 2.5e9, "amount": 1}, "real": {}}
