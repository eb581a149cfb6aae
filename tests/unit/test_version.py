"""The version has one place, pyproject.toml, and the changelog describes it."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_newest_release_of_the_changelog_is_the_version() -> None:
    releases = re.findall(r"(?m)^## \[(\d+\.\d+\.\d+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert releases[0][0] == VERSION
    dates = [date.fromisoformat(day) for _, day in releases]
    assert dates == sorted(dates, reverse=True)


def test_no_module_repeats_the_version() -> None:
    assert [path for path in (ROOT / "harness").rglob("*.py") if f'"{VERSION}"' in path.read_text()] == []
