"""The names of documents in messages are paths that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.documents import document, with_documents

DOCS = Path(__file__).parents[3] / "docs"


def test_in_the_source_tree_the_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    assert document("docs/json.md") == "docs/json.md"


def test_elsewhere_it_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert document("docs/json.md") == str(DOCS / "json.md")
    assert document("docs/none.md") == "docs/none.md"
    text = "x (recorded: docs/deviations/masking-cr8-reserved.md) other/docs/json.md docs/own.md"
    path = DOCS / "deviations" / "masking-cr8-reserved.md"
    assert with_documents(text) == f"x (recorded: {path}) other/docs/json.md docs/own.md"
