"""A user's own folder: without any configuration, and with a table `[tool.trapgate]` that every command reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import run_pytest, trapgate

TABLE = "[tool.trapgate]\nprobes = 'checks'\ntargets = ['pc-tcg', 'mine']\ntarget-file = 'targets.toml'\n"
RECORD = """
[[deviation]]
probes = "mine/timer.py::*"
targets = "*"
versions = "*"
kind = "bug"
sees = "current_count"
ref = "https://example.org/1"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the table, a probe, and a target of its own."""
    (tmp_path / "pyproject.toml").write_text(TABLE, encoding="utf-8")
    (tmp_path / "targets.toml").write_text("[mine]\nbase = 'q35-tcg'\nmemory_mib = 128\n", encoding="utf-8")
    (tmp_path / "src").mkdir()
    done = trapgate("new", "mine/timer", "--from", "timer", cwd=tmp_path / "src")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checks/mine/timer.py").is_file(), "the configured folder is the default of `new`"
    return tmp_path


def runs(folder: Path, *words: str) -> set[tuple[str, str, str]]:
    done = trapgate("run", "--json", folder / "report.json", *words, cwd=folder)
    assert (folder / "report.json").is_file(), done.stderr
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {(run["probe"], run["target"], run["verdict"]) for run in report["runs"]}


def test_a_folder_without_configuration_works(tmp_path: Path) -> None:
    trapgate("new", "mine/timer", "--from", "timer", cwd=tmp_path)
    probe = "mine/timer.py::one_shot_fires_once"
    for words in (["--probes", "."], ["mine"], ["mine/timer.py"], [probe]):
        assert runs(tmp_path, *words) == {(probe, "q35-tcg", "pass")}
    assert "1 probe" in trapgate("list", "mine", cwd=tmp_path).stdout
    assert trapgate("show", "mine", cwd=tmp_path).returncode == 0
    assert run_pytest("mine", cwd=tmp_path).returncode == 0
    assert not list(tmp_path.glob("*.toml"))


def test_the_table_gives_the_defaults_of_each_command(project: Path) -> None:
    probe = "mine/timer.py::one_shot_fires_once"
    assert runs(project) == {(probe, "pc-tcg", "pass"), (probe, "mine", "pass")}
    assert runs(project, "-t", "microvm-tcg") == {(probe, "microvm-tcg", "pass")}, "the command line wins"
    inner = project / "src"
    listed = trapgate("list", cwd=inner).stdout
    assert "1 probe, 1 case" in listed
    shown = trapgate("show", "timer.py", cwd=inner)
    assert shown.returncode == 0, shown.stderr
    done = trapgate("vacuity", "--triggers", cwd=inner)
    assert "1 of 1 case fail" in done.stdout, done.stdout + done.stderr
    done = trapgate("images", "--dir", project / "out", cwd=inner)
    assert "mine-timer-one_shot_fires_once" in done.stdout, done.stderr
    done = trapgate("list", "--coverage", "--areas", cwd=inner)
    assert done.returncode == 0, "the defaults do not narrow the whole catalogue"


def test_another_folder_on_the_command_line_wins(project: Path) -> None:
    trapgate("new", "other/pic", "--from", "pic", "--probes", "more", cwd=project)
    assert runs(project, "--probes", "more", "-t", "mine") == {
        ("other/pic.py::a_request_arrives_at_its_vector", "mine", "pass")
    }
    listed = trapgate("list", "--catalogue", "--areas", cwd=project).stdout
    assert "mine " in listed and "lapic " in listed, "--catalogue adds the catalogue to the default folder"


def test_own_records_of_the_table_count(project: Path) -> None:
    file = project / "checks/mine/timer.py"
    file.write_text(file.read_text().replace("current_count == 0", "current_count == 1"), encoding="utf-8")
    probe = "mine/timer.py::one_shot_fires_once"
    assert runs(project, "-t", "pc-tcg") == {(probe, "pc-tcg", "fail")}
    (project / "own.toml").write_text(RECORD, encoding="utf-8")
    (project / "pyproject.toml").write_text(f"{TABLE}deviations = 'own.toml'\n", encoding="utf-8")
    assert runs(project, "-t", "pc-tcg") == {(probe, "pc-tcg", "deviation")}
    done = run_pytest(cwd=project)
    assert "2 xfailed" in done.stdout, done.stdout


def test_the_qemu_of_the_table_is_used(project: Path) -> None:
    (project / "pyproject.toml").write_text(f"{TABLE}qemu = 'bin/none'\n", encoding="utf-8")
    done = trapgate("run", cwd=project / "src")
    assert done.returncode == 2
    assert f"{project}/bin/none" in done.stderr
    found = run_pytest(cwd=project)
    assert "bin/none" in found.stdout


def test_pytest_reads_the_table_and_its_own_options_win(project: Path) -> None:
    done = run_pytest("-v", cwd=project)
    assert set(re.findall(r"one_shot_fires_once\[([\w-]+)\] PASSED", done.stdout)) == {"pc-tcg", "mine"}
    done = run_pytest("-v", "--trapgate-target", "microvm-tcg", cwd=project)
    assert re.findall(r"one_shot_fires_once\[([\w-]+)\] PASSED", done.stdout) == ["microvm-tcg"]
    (project / "pytest.ini").write_text("[pytest]\ntrapgate_targets = q35-tcg\n", encoding="utf-8")
    done = run_pytest("-v", cwd=project)
    assert re.findall(r"one_shot_fires_once\[([\w-]+)\] PASSED", done.stdout) == ["q35-tcg"]


def test_a_wrong_table_is_wrong_usage_everywhere(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.trapgate]\ntarget = 'x'\n", encoding="utf-8")
    message = f"{project / 'pyproject.toml'}: [tool.trapgate]: unknown key 'target'; did you mean 'targets'?"
    for command in (["run"], ["list"], ["doctor"], ["new", "a/b", "--from", "pic"]):
        done = trapgate(*command, cwd=project / "src")
        assert (done.returncode, done.stdout) == (2, ""), command
        assert message in done.stderr
    done = run_pytest(cwd=project)
    assert done.returncode == 4
    assert message in done.stderr


def test_doctor_shows_which_file_gives_which_default(project: Path) -> None:
    done = trapgate("doctor", cwd=project, COLUMNS="200")
    assert re.search(r"--target +pc-tcg, mine +pyproject\.toml", done.stdout), done.stdout
    assert re.search(rf"--probes +{project}/checks +pyproject\.toml", done.stdout), done.stdout
