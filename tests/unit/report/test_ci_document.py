"""docs/ci.md agrees with the program: its target file, its ini options, its command-line options."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from harness.cli import app
from harness.probes.own_records import load_records
from harness.probes.probe_places import probes_root
from harness.qemu.target import Target, load_targets

TEXT = (Path(__file__).parents[3] / "docs" / "ci.md").read_text(encoding="utf-8")


def block(language: str, heading: str = "") -> str:
    """The blocks of that language, of the section with that heading only where one is given."""
    text = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0] if heading else TEXT
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))


def test_its_target_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(block("toml", "Targets of your own"))
    known = load_targets(tmp_path / "t.toml")
    assert (known["q35-big"].memory_mib, known["q35-new"].extra) == (512, ("-device", "qemu-xhci"))
    keys = {field.name for field in fields(Target)} - {"name"} | {"base"}
    assert (
        keys == set(re.findall(r"(?m)^\| `(\w+)` \| [^|]*\| [^|]*\|$", TEXT.partition("| key | default |")[2])) & keys
    )


def test_its_file_of_records_is_one(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(block("toml", "Deviations of your own"))
    (record,), drafts = load_records(tmp_path / "own.toml")
    assert drafts == 0 and record.covers("timers/hpet.py::one_shot_fires_once")


def test_its_ini_options_are_read(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    (tmp_path / "pytest.ini").write_text(block("ini"))
    assert probes_root(tmp_path / "checks" / "more" / "deep" / "x.py") == tmp_path / "checks" / "more"
    for name in set(re.findall(r"trapgate_\w+", TEXT)):
        pytestconfig.getini(name)  # raises for a name that is not registered


def test_its_commands_and_options_exist(pytestconfig: pytest.Config) -> None:
    commands = vars(get_command(app))["commands"]
    for line in re.findall(r"(?m)^\s*(?:- (?:run: )?)?(trapgate \w+.*?)(?:  +#.*)?$", TEXT):
        _, name, *words = shlex.split(line)
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, line
    for option in set(re.findall(r"--trapgate-[a-z-]+", TEXT)):
        pytestconfig.getoption(option)  # raises for an option that is not there
