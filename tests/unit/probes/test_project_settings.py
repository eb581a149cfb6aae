"""The table `[tool.trapgate]`: which file counts, what it may hold, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.probes.probe_places import probes_root
from harness.probes.project_settings import ProjectSettings, SettingsError, find_settings

ALL = """
[tool.trapgate]
probes = ["checks", "../shared"]
targets = ["pc-tcg", "mine"]
target-file = "targets.toml"
qemu = "build/qemu"
deviations = "own.toml"
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a", ALL)
    (tmp_path / "a/b/c").mkdir(parents=True)
    found = find_settings(tmp_path / "a/b/c")
    assert found == ProjectSettings(
        file=tmp_path / "a/pyproject.toml",
        probes=(tmp_path / "a/checks", tmp_path / "shared"),
        targets=("pc-tcg", "mine"),
        target_file=tmp_path / "a/targets.toml",
        qemu=str(tmp_path / "a/build/qemu"),
        deviations=tmp_path / "a/own.toml",
    )
    assert list(found.given) == ["probes", "targets", "target-file", "qemu", "deviations"]


def test_the_nearest_file_with_the_table_counts(tmp_path: Path) -> None:
    write(tmp_path, "[tool.trapgate]\nqemu = 'outer'\n")
    write(tmp_path / "inner", "[tool.trapgate]\ntargets = 'pc-tcg,q35-tcg'\n")
    write(tmp_path / "inner/package", "[project]\nname = 'x'\n")
    found = find_settings(tmp_path / "inner/package")
    assert (found.targets, found.qemu) == (("pc-tcg,q35-tcg",), None)
    assert find_settings(tmp_path).qemu == "outer", "a name on PATH stays a name"


@pytest.mark.parametrize("text", ["", "[project]\n", "[tool.other]\nx = 1\n", "broken ="])
def test_a_file_without_the_table_gives_nothing(tmp_path: Path, text: str) -> None:
    assert find_settings(write(tmp_path, text)) == ProjectSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target = 'x'", "[tool.trapgate]: unknown key 'target'; did you mean 'targets'? Known: probes, targets, "),
        ("verbose = true", "unknown key 'verbose'. Known: "),
        ("probes = 1", "probes = 1. Expected: a string or a list of strings"),
        ("targets = ['q35-tcg', 2]", "targets = ['q35-tcg', 2]. Expected: a string or a list of strings"),
        ("targets = []", "targets = []. Expected: "),
        ("qemu = ['a', 'b']", "qemu = ['a', 'b']. Expected: a string"),
        ("target-file = ''", "target-file = ''. Expected: a string, not empty"),
        ("deviations = {}", "deviations = {}. Expected: a string"),
        ("probes = ", "is not TOML: "),
    ],
)
def test_a_wrong_table_is_an_error_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, f"[tool.trapgate]\n{text}\n")
    with pytest.raises(SettingsError) as error:
        find_settings(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'pyproject.toml'}: ")
    assert message in str(error.value)


def test_a_value_in_place_of_the_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tool\.trapgate: 1\. Expected: a table"):
        find_settings(write(tmp_path, "[tool]\ntrapgate = 1\n"))


def test_its_folders_are_roots_of_ids(tmp_path: Path) -> None:
    write(tmp_path, "[tool.trapgate]\nprobes = 'checks'\n")
    assert probes_root(tmp_path / "checks/deep/er/a.py") == tmp_path / "checks"
    assert probes_root(tmp_path / "elsewhere/deep/a.py") == tmp_path / "elsewhere"
