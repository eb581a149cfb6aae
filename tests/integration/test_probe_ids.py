"""One probe has one id, whatever the call; what is on disk goes before the catalogue."""

from __future__ import annotations

import json
import shlex
from contextlib import chdir
from pathlib import Path
from textwrap import dedent

import pytest
from commands import run_pytest, trapgate
from typer.testing import CliRunner

from harness.cli import app

PROBE = dedent('''
    from harness import Kernel, ProbeBody, probe


    @probe(spec="SDM vol. 2, INT n")
    def mine(k: Kernel) -> ProbeBody:
        """INT n goes through gate n."""
        k.expect(0x50)
        with k.trigger():
            k.int_n(0x50)
        run = yield
        assert run.vectors == [0x50]
''')
LAYOUTS = {
    "a folder named probes": ("probes/area/hpet.py", "", "area/hpet.py"),
    "a file in the folder named probes": ("probes/hpet.py", "", "hpet.py"),
    "any folder": ("own/hpet.py", "", "own/hpet.py"),
    "a deep folder": ("own/deep/hpet.py", "", "deep/hpet.py"),
    "a configured folder": ("own/deep/hpet.py", "own", "deep/hpet.py"),
}


def write(path: Path, text: str = PROBE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def ids(*words: str | Path, cwd: Path) -> list[str]:
    with chdir(cwd):
        done = CliRunner().invoke(app, ["list", "--json", "-", *map(str, words)])
    assert done.exit_code == 0, done.output
    return [case for probe in json.loads(done.stdout)["probes"] for case in probe["cases"]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_id_for_one_probe(layout: str, tmp_path: Path) -> None:
    place, configured, relative = LAYOUTS[layout]
    path = write(tmp_path / place)
    write(tmp_path / "pytest.ini", f"[pytest]\n{f'trapgate_probes = {configured}' if configured else ''}\n")
    expected = [f"{relative}::mine"]
    for folder in (tmp_path, *[parent for parent in path.parents if parent.is_relative_to(tmp_path)]):
        below = path.relative_to(folder)
        calls: list[tuple[str | Path, ...]] = [(below,), (f"./{below}",), (f"{below}::mine",), (path,)]
        calls += [("--probes", "."), ("--probes", folder), ("--probes", path.parent)]
        for words in calls:
            assert ids(*words, cwd=folder) == expected, (words, folder)
    done = run_pytest(path, f"--trapgate-json={tmp_path / 'o.json'}", cwd=path.parent)
    assert done.returncode == 0, done.stdout
    assert [run["probe"] for run in json.loads((tmp_path / "o.json").read_text())["runs"]] == expected


def test_a_file_on_disk_has_priority_over_the_catalogue(tmp_path: Path) -> None:
    write(tmp_path / "hpet.py")
    write(tmp_path / "timers" / "hpet.py")
    assert ids("hpet.py", cwd=tmp_path) == [f"{tmp_path.name}/hpet.py::mine"]
    assert ids("timers/hpet.py", cwd=tmp_path) == ["timers/hpet.py::mine"]
    assert ids("timers", cwd=tmp_path) == ["timers/hpet.py::mine"]
    done = trapgate("run", "hpet.py", "timers", "--json", "o.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "o.json").read_text())["runs"]
    assert [run["probe"] for run in runs] == [f"{tmp_path.name}/hpet.py::mine", "timers/hpet.py::mine"]


def test_a_folder_without_probes_does_not_hide_the_catalogues_area(tmp_path: Path) -> None:
    (tmp_path / "timers").mkdir()
    assert "timers/hpet.py::one_shot_fires_once" in {name.partition("[")[0] for name in ids("timers", cwd=tmp_path)}


@pytest.mark.parametrize("name", [".", "./", "./timers", "..", "./timers/hpet.py"])
def test_a_path_that_holds_no_probe_does_not_mean_the_catalogue(tmp_path: Path, name: str) -> None:
    (tmp_path / "in" / "timers").mkdir(parents=True)
    for words in ((name,), ("--probes=.", name), (f"{name}::one_shot_fires_once",)):
        done = trapgate("run", *words, cwd=tmp_path / "in")
        assert (done.returncode, done.stdout) == (2, ""), words
    assert f"{name}::one_shot_fires_once" in done.stderr


def test_a_name_below_probes_and_on_disk_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "probes" / "area" / "hpet.py")
    write(tmp_path / "area" / "hpet.py")
    done = trapgate("run", "--probes=probes", "area/hpet.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "'area/hpet.py' is both area/hpet.py and probes/area/hpet.py" in done.stderr


def test_the_catalogue_besides_own_probes(tmp_path: Path) -> None:
    write(tmp_path / "probes" / "area" / "mine.py")
    own, ours = "area/mine.py::mine", "lapic/self_ipi.py::request_collapses_in_the_irr"
    assert ids("--probes=probes", cwd=tmp_path) == [own]
    whole = ids("--probes=probes", "--catalogue", cwd=tmp_path)
    assert {own, ours} <= set(whole)
    assert ids("--probes=probes", "--catalogue", own, ours, cwd=tmp_path) == [own, ours]
    assert sorted(ids("probes/area/mine.py", ours, cwd=tmp_path)) == [own, ours]
    done = trapgate("run", "--probes=probes", "--catalogue", own, ours, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs on 1 target: 2 pass" in done.stdout


def test_two_probes_of_one_id_are_refused_with_both_files(tmp_path: Path) -> None:
    text = PROBE.replace("def mine", "def one_shot_fires_once")
    write(tmp_path / "probes" / "timers" / "hpet.py", text)
    done = trapgate("run", "--probes=probes", "--catalogue", cwd=tmp_path)
    assert done.returncode == 2
    assert "has the id timers/hpet.py::one_shot_fires_once, as " in done.stderr
    assert "guest/probes/timers/hpet.py:" in done.stderr
    assert "probes/timers/hpet.py:5: " in done.stderr
    write(tmp_path / "a" / "area" / "same.py")
    write(tmp_path / "b" / "area" / "same.py")
    collected = run_pytest("a", "b", cwd=tmp_path)
    assert collected.returncode == 2
    assert "b/area/same.py:5: has the id area/same.py::mine, as a/area/same.py:5 has" in collected.stdout


def test_the_rerun_line_of_a_file_names_the_file(tmp_path: Path) -> None:
    write(tmp_path / "own" / "hpet.py", PROBE.replace("== [0x50]", "== [0x51]"))
    done = trapgate("run", "own/hpet.py", cwd=tmp_path)
    (line,) = [line.strip() for line in done.stdout.splitlines() if line.startswith("  trapgate run ")]
    assert line == "trapgate run own/hpet.py::mine --target q35-tcg"
    again = trapgate(*shlex.split(line)[1:], cwd=tmp_path)
    assert again.returncode == 1
    assert "FAIL  1 run on 1 target: 1 fail" in again.stdout


def linked(folder: Path) -> Path:
    """A project whose area is a symbolic link, reached twice, with a link to a folder that holds it."""
    write(folder / "shared" / "area" / "mine.py")
    (folder / "probes").mkdir()
    (folder / "probes" / "area").symlink_to("../shared/area")
    (folder / "probes" / "same").symlink_to("area")
    (folder / "probes" / "loop").symlink_to("..")
    (folder / "shared" / "area" / "self").symlink_to(".")
    write(folder / "probes" / "other" / "theirs.py", PROBE.replace("def mine", "def theirs"))
    return folder


@pytest.mark.parametrize("configured", [True, False])
def test_a_linked_area_is_followed_once(tmp_path: Path, configured: bool) -> None:
    project = linked(tmp_path)
    expected = ["area/mine.py::mine", "other/theirs.py::theirs"]
    assert ids("--probes=probes", cwd=project) == expected
    assert ids("probes/area", cwd=project) == expected[:1]
    write(tmp_path / "pytest.ini", f"[pytest]\n{'trapgate_probes = probes' * configured}\n")
    done = run_pytest("--collect-only", "-q", "probes", cwd=project)
    names = [line for line in done.stdout.splitlines() if "::" in line]
    assert names == ["probes/area/mine.py::mine[q35-tcg]", "probes/other/theirs.py::theirs[q35-tcg]"], done.stdout


@pytest.mark.parametrize(
    ("setting", "words", "said"),
    [
        ("", (), True),
        ("", ("-n1",), True),  # a worker of xdist collects
        ("", (".",), True),
        ("testpaths = tests", (), True),
        ("testpaths = tests\nnorecursedirs = probes", (), False),
        ("trapgate_probes = probes", (), False),
        ("trapgate_probes = probes", ("-n1",), False),
        ("", ("tests",), False),
        ("", ("probes", "tests"), False),
    ],
)
def test_plain_pytest_names_the_files_that_it_did_not_collect(
    tmp_path: Path, setting: str, words: tuple[str, ...], said: bool
) -> None:
    write(tmp_path / "probes" / "area" / "mine.py")
    write(tmp_path / "probes" / "area" / "_helper.py")
    write(tmp_path / "probes" / "other" / "theirs.py", PROBE.replace("def mine", "def theirs"))
    write(tmp_path / "tests" / "test_it.py", "def test_it(): pass\n")
    write(tmp_path / "pytest.ini", f"[pytest]\n{setting}\n")
    done = run_pytest(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    text = (
        "trapgate: 2 probe files below probes not collected, because no folder of the ini option trapgate_probes holds "
        "them. To fix: run `pytest probes`, or set trapgate_probes = probes"
    )
    assert (text in done.stdout) == said, done.stdout
    assert ("not collected" in done.stdout) == said
