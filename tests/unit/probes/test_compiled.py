"""Probe code that is kept: the same probes, the same complaints, whatever was seen before."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import disk_cache
from harness.probes import compiled, lint, loader
from harness.probes.loader import LoadError, load_file

GOOD = '''
from harness import probe
{before}
@probe.each(**CASES)
@probe(spec="SDM")
def rule(k, {argument}):
    """A rule."""
    run = yield
    assert run.vectors == [{argument}]
'''


@pytest.fixture(autouse=True)
def _fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "cache"))
    disk_cache.prune.cache_clear()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts the functions that the lint reads."""
    seen: list[str] = []

    def counted(node: lint.FunctionNode, parameters: list[str]) -> list[lint.LintFinding]:
        seen.append(node.name)
        return list(lint.function_findings(node, parameters))

    monkeypatch.setattr(loader, "function_findings", counted)
    return seen


def _write(folder: Path, argument: str = "a", before: str = 'CASES = {"a": [1, 2]}') -> Path:
    path = folder / "p.py"
    path.write_text(GOOD.format(argument=argument, before=before))
    return path


def test_a_file_is_checked_once(tmp_path: Path, checks: list[str]) -> None:
    path = _write(tmp_path)
    first, second = load_file(path, tmp_path), load_file(path, tmp_path)
    assert checks == ["rule"]
    assert [case.id for case in first[0].cases()] == [case.id for case in second[0].cases()]
    assert first[0].function.__code__ == second[0].function.__code__


def test_another_source_or_place_is_another_file(tmp_path: Path, checks: list[str]) -> None:
    load_file(_write(tmp_path), tmp_path)
    load_file(_write(tmp_path, before='CASES = {"a": [1, 3]}'), tmp_path)
    (tmp_path / "below").mkdir()
    load_file(_write(tmp_path / "below"), tmp_path)
    assert checks == ["rule"] * 3


def test_other_parameters_from_elsewhere_are_checked_again(tmp_path: Path, checks: list[str]) -> None:
    helper = tmp_path / "_cases.py"
    helper.write_text('CASES = {"a": [1]}')
    path = _write(tmp_path, before="from importlib import import_module, reload\n"
                  "from . import _cases\nCASES = reload(_cases).CASES")  # fmt: skip
    load_file(path, tmp_path)
    helper.write_text('CASES = {"a": [1], "bb": [2]}')
    with pytest.raises(LoadError):
        load_file(path, tmp_path)
    assert checks == ["rule", "rule"]


def test_a_file_with_findings_is_not_cached(tmp_path: Path, checks: list[str]) -> None:
    path = _write(tmp_path)
    path.write_text(path.read_text().replace('"""A rule."""', '""" """'))
    for _ in range(2):
        with pytest.raises(LoadError, match="has no docstring"):
            load_file(path, tmp_path)
    assert checks == ["rule"] * 2


def test_a_damaged_entry_is_no_entry(tmp_path: Path, checks: list[str]) -> None:
    path = _write(tmp_path)
    load_file(path, tmp_path)
    (entry,) = (tmp_path / "cache" / "probes").iterdir()
    content = bytearray(entry.read_bytes())
    content[-3] ^= 1
    entry.write_bytes(content)
    load_file(path, tmp_path)
    assert checks == ["rule"] * 2


def test_other_judges_are_other_keys(tmp_path: Path, checks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path)
    load_file(path, tmp_path)
    monkeypatch.setattr(compiled, "_tools", lambda: b"another version")
    load_file(path, tmp_path)
    assert checks == ["rule"] * 2


def test_an_error_that_only_the_compiler_finds(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text("from harness import probe\nreturn 1\n")
    with pytest.raises(LoadError, match=r"p\.py:2: SyntaxError: 'return' outside function"):
        load_file(path, tmp_path)
