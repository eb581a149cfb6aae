"""The table and the document of throughput figures."""

from __future__ import annotations

import io

from rich.console import Console

from harness.campaign.throughput.figures import Figure
from harness.campaign.throughput.sampling import Rate
from harness.commands.throughput import throughput_document, throughput_table

FIGURES = [
    Figure("edu", "MSI", "interrupts", {"virtual": Rate(1_234_567.8, None, 9), "real": Rate(950.04, 8.125, 7)}),
    Figure("ide", "read", "bytes", {"virtual": None, "real": Rate(40_000.0, 41_000.0, 8192)}),
    Figure("nvme", "write", "bytes", {"virtual": Rate(2.5e9, None, 1), "real": None}),
]


def rows(figures: list[Figure]) -> list[list[str]]:
    table = throughput_table(figures)
    return [[str(cell) for cell in column.cells] for column in table.columns]


def test_rows_are_what_devices_do_columns_are_targets() -> None:
    headings = [str(column.header) for column in throughput_table(FIGURES).columns]
    assert headings == ["device", "operation", "unit", "virtual", "real", "by its TSC"]
    assert rows(FIGURES) == [
        ["edu", "ide", "nvme"],
        ["MSI", "read", "write"],
        ["interrupts/s", "MB/s", "MB/s"],
        ["1,234,568", "", "2,500"],
        ["950.0", "0.04", ""],
        ["8.12", "0.04", ""],
    ]


def test_it_fits_a_wide_terminal() -> None:
    stream = io.StringIO()
    Console(file=stream, width=100).print(throughput_table(FIGURES))
    assert max(map(len, stream.getvalue().splitlines())) <= 100
    assert "1,234,568" in stream.getvalue()


def test_nothing_measured_is_an_empty_table() -> None:
    assert throughput_table([]).row_count == 0
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
