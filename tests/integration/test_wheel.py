"""The wheel is whole: the catalogue, the runtime and the documents that messages name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MAIN = "import sys; from harness.cli import main; sys.argv[0] = 'trapgate'; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, built from the files that the repository has."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git repository: which files belong to it is not known")
    for name in filter(None, done.stdout.split("\0")):
        source, copy = ROOT / name, folder / "source" / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(source.readlink()) if source.is_symlink() else copy.write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def trapgate(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-c", MAIN, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def test_every_document_is_in_it(installed: Path) -> None:
    theirs = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.is_file()}
    assert {
        path.relative_to(installed / "guest" / "docs") for path in (installed / "guest/docs").rglob("*.*")
    } == theirs


def test_the_paths_that_it_prints_exist(installed: Path, tmp_path: Path) -> None:
    done = trapgate(installed, "run", "masking", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    paths = set(re.findall(r"recorded: ([^\s)]+)", done.stdout))
    assert paths
    for path in paths:
        assert Path(path).is_relative_to(installed)
        assert Path(path).read_text(encoding="utf-8").startswith("# ")
    text = "".join(trapgate(installed, "run", "--help", cwd=tmp_path).stdout.split())
    assert f"Thedocumentsbelowdocs/:{installed}/guest/docs" in text


def test_the_wheel_has_the_coverage_files(installed: Path, tmp_path: Path) -> None:
    done = trapgate(installed, "list", "--coverage", "--areas", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each covered or explained" in done.stdout


def test_the_wheel_has_the_templates_of_new_probes(installed: Path, tmp_path: Path) -> None:
    kinds = [path.name.removesuffix(".py.j2") for path in (ROOT / "harness/commands/templates").iterdir()]
    assert "timer" in kinds
    for kind in kinds:
        done = trapgate(installed, "new", f"mine/{kind}", "--from", kind, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    done = trapgate(installed, "run", "mine/timer.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_has_the_templates_of_the_html_report(installed: Path, tmp_path: Path) -> None:
    done = trapgate(installed, "run", "timers/hpet.py", "--html", "report.html", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "timers/hpet.py::one_shot_fires_once" in (tmp_path / "report.html").read_text(encoding="utf-8")
