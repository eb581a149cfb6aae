"""`trapgate new`: each kind of probe passes at once, can fail, and is as well formed as the catalogue."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import TRAPGATE, trapgate

from harness.commands.new import KINDS

ROOT = Path(__file__).parents[2]

CHANGED = {
    "dma": ("read(run) == DATA", "read(run) == DATA[::-1]"),
    "exception": ("(DIVIDE_ERROR, None,", "(DIVIDE_ERROR, 0,"),
    "hpet": ("== [VECTOR]", "== [VECTOR, VECTOR]"),
    "ioapic": ("== [VECTOR]", "== [VECTOR + 1]"),
    "ipi": ("[(VECTOR, 1)]", "[(VECTOR, 0)]"),
    "msi": ("== [VECTOR]", "== [VECTOR + 1]"),
    "msix": ("== [VECTOR]", "== [OTHER]"),
    "nvme": ('b"trapgate"', 'b"Trapgate"'),
    "pic": ("== [0x50 + IRQ]", "== [0x51 + IRQ]"),
    "rtc": ("PF == 1", "PF == 0"),
    "smp": ("== (0, 1)", "== (1, 0)"),
    "timer": ("current_count == 0", "current_count == 1"),
    "virtio": ("== BlockStatus.OK", "== BlockStatus.IOERR"),
}
"""For each kind an asserted value, and another one."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without any configuration, with a file of each kind in `mine`."""
    folder = tmp_path_factory.mktemp("project")
    for kind in KINDS:
        done = trapgate("new", f"mine/{kind}", "--from", kind, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def verdicts(folder: Path, *words: str) -> Mapping[str, tuple[str, str]]:
    """File name → verdict and reason, of all probes in the folder."""
    trapgate("run", "--probes", folder, "--json", folder / "report.json", *words, cwd=folder)
    runs = json.loads((folder / "report.json").read_text(encoding="utf-8"))["runs"]
    return {Path(run["probe"].partition("::")[0]).stem: (run["verdict"], run["reason"]) for run in runs}


def test_every_kind_passes_at_once(project: Path) -> None:
    found = verdicts(project)
    assert {kind: verdict for kind, (verdict, _) in found.items()} == dict.fromkeys(KINDS, "pass"), found


@pytest.mark.parametrize("target", ["pc-tcg", "microvm-tcg"])
def test_elsewhere_it_passes_or_is_unsupported_with_a_reason(project: Path, target: str) -> None:
    found = verdicts(project, "--target", target)
    assert set(found) == set(KINDS)
    assert all(verdict == "pass" or (verdict == "unsupported" and reason) for verdict, reason in found.values()), found
    assert "pass" in {verdict for verdict, _ in found.values()}


def test_every_kind_fails_where_its_asserted_value_is_another_one(project: Path, tmp_path: Path) -> None:
    assert set(CHANGED) == set(KINDS)
    (tmp_path / "mine").mkdir()
    for kind, (value, other) in CHANGED.items():
        text = (project / "mine" / f"{kind}.py").read_text(encoding="utf-8")
        judgement = text.index("yield\n")
        assert text.count(value, judgement) == 1, (kind, value)
        changed = text[:judgement] + text[judgement:].replace(value, other)
        (tmp_path / "mine" / f"{kind}.py").write_text(changed, encoding="utf-8")
    found = verdicts(tmp_path)
    assert set(found) == set(KINDS)
    for kind, (verdict, reason) in found.items():  # a busy host makes the fail of a host-paced device an error
        assert verdict == "fail" or (verdict == "error" and "assert " in reason), (kind, verdict, reason)


def test_every_kind_has_the_form_of_the_catalogue(project: Path) -> None:
    """Ruff as for the catalogue, and in lines of 88 characters, which are the default of ruff and black."""
    ruff = [sys.executable, "-m", "ruff"]
    catalogue = ["--config", str(ROOT / "guest" / "probes" / "ruff.toml")]
    for command in (
        [*ruff, "check", "--no-cache", *catalogue, "."],
        [*ruff, "format", "--no-cache", "--diff", *catalogue, "."],
        [*ruff, "check", "--no-cache", "--isolated", "--select", "E501", "."],
        [*ruff, "format", "--no-cache", "--diff", "--isolated", "."],
    ):
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_is_typed(project: Path) -> None:
    """`mypy --strict`, with the plugin: with the configuration and the cache of the repository."""
    command = [sys.executable, "-m", "mypy", "--strict", *sorted(map(str, (project / "mine").glob("*.py")))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"no issues found in {len(KINDS)} source files" in done.stdout


def test_it_prints_the_file_and_commands_that_work(tmp_path: Path) -> None:
    done = trapgate("new", "mine/timer", "--from", "timer", cwd=tmp_path)
    assert done.stdout.startswith("mine/timer.py: ")
    commands = [line[28:].split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [words[:2] for words in commands] == [["trapgate", word] for word in ("run", "show", "vacuity")]
    for words in commands[:2]:
        assert trapgate(*words[1:], cwd=tmp_path).returncode == 0
    text = (tmp_path / "mine" / "timer.py").read_text(encoding="utf-8")
    assert "trapgate run mine/timer.py" in text


def test_the_folder_is_the_given_one_else_the_configured_one(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrapgate_probes = 'own probes'\n", encoding="utf-8")
    done = trapgate("new", "mine/pic.py", "--from", "pic", cwd=tmp_path / "inner")
    assert (tmp_path / "own probes/mine/pic.py").is_file(), done.stderr
    assert "trapgate run '" in done.stdout
    trapgate("new", "mine/pic", "--from", "pic", "--probes", "other", cwd=tmp_path)
    assert (tmp_path / "other/mine/pic.py").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine/x", "--from", "timr"], "--from: no kind is named 'timr'; did you mean 'timer'? Known: dma, "),
        (["mine/x-y", "--from", "timer"], "'x-y' is no Python identifier. Expected: letters, digits and _, as x_y"),
        (["mine/class", "--from", "timer"], "'class' is a keyword of Python"),
        (["mine/_x", "--from", "timer"], "'_x' is a name of helpers"),
        (["../x", "--from", "timer"], "'..' is no Python identifier"),
        (["mine", "--from", "timer"], "'mine': expected AREA/NAME"),
        (["mine/there", "--from", "timer"], "mine/there.py: exists already, and is not overwritten"),
        (["file/x", "--from", "timer"], "file: is a file. Expected: a folder"),
        (["mine/x", "--from", "timer", "--probes", "file"], "file/mine/x.py: cannot be written: Not a directory"),
        (["mine/x", "--from", "timer", "--probes", "/proc/none"], "/proc/none/mine/x.py: cannot be written: "),
        (["laptic/x", "--from", "timer", "--catalogue"], "no area of the catalogue is named 'laptic'; did you mean"),
        (["lapic/timer", "--from", "timer", "--catalogue"], "lapic/timer.py: exists already"),
        (["lapic/x", "--from", "timer", "--catalogue", "--probes", "."], "--catalogue: cannot be combined"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/there.py").write_text("mine\n", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = trapgate("new", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("trapgate: ")
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "mine/there.py").read_text(encoding="utf-8") == "mine\n"


def test_a_file_for_the_catalogue_goes_into_its_area(tmp_path: Path) -> None:
    """Here a catalogue of one area, so that the repository stays as it is."""
    (tmp_path / "guest/probes/lapic").mkdir(parents=True)
    (tmp_path / "guest/__init__.py").write_text("", encoding="utf-8")
    command = [TRAPGATE, "new", "lapic/mine", "--from", "timer", "--catalogue"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "guest/probes/lapic/mine.py").is_file()
    assert "covers=[…]" in done.stdout
