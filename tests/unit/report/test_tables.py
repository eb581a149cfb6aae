"""Tables on 80 and 100 columns: nothing is cut, numbers stay whole."""

from __future__ import annotations

import io

import pytest
from records import record
from rich.table import Table

from harness.report.summary import Result, verdict_table
from harness.report.terminal import make_console
from harness.run.record import Verdict


def printed(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    file = io.StringIO()
    make_console(file=file).print(table)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_long_words_go_on_in_the_next_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("path", "state")
    table.add_column("number", justify="right")
    path = "/a/very/long/path/" + "x" * 150
    table.add_row(path, "max,-arch-capabilities,-and-more", "1,234,567")
    text = printed(table, width, monkeypatch)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text and "1,234,567" in text
    cells = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert "".join(cells) == path


@pytest.mark.parametrize("width", [80, 100])
def test_the_verdict_table_of_every_verdict(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [
        Result("an_area_of_a_user_whose_name_is_very_long", record(verdict, target="q35-tcg@qemu-11.1.3", ms=123_456))
        for verdict in Verdict
        for _ in range(12)
    ]
    text = printed(verdict_table(results), width, monkeypatch)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text and "10 min" not in text.splitlines()[0]
    assert text.count(" 12 ") >= 10, "each count is whole, in its row and in the total"
