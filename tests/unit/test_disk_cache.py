"""Cache folders that another user may write are not used: entries may be code."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.disk_cache import DiskCache

KEPT = DiskCache("kind", b"form\n")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "cache"))
    KEPT.store("name", b"payload")
    assert KEPT.load("name") == b"payload"
    return tmp_path / "cache" / "kind"


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_folder_that_others_may_write(folder: Path, mode: int, capsys: pytest.CaptureFixture[str]) -> None:
    folder.chmod(mode)
    assert KEPT.load("name") is None
    KEPT.store("other", b"payload")
    assert [path.name for path in folder.iterdir()] == ["name"]
    warning = capsys.readouterr().err
    assert "can be written by others" in warning and "To fix: chmod go-w" in warning


def test_an_entry_that_others_may_write(folder: Path) -> None:
    (folder / "name").chmod(0o622)
    assert KEPT.load("name") is None


def test_an_entry_that_is_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "name")
    assert KEPT.load("link") is None


def test_a_folder_that_is_a_link_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = folder.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    assert KEPT.load("name") is None


def test_an_empty_name_turns_the_cache_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAPGATE_CACHE", "")
    assert KEPT.load("name") is None
