"""The set-up that `make` calls: its message where it may not install, and that a second call does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, and a PATH with nothing that Trapgate needs but Python."""
    for name in ("pyproject.toml", "requirements.lock", "scripts/setup.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "cat", "sha256sum", "dirname", "flock"):
        (programs / name).symlink_to(shutil.which(name) or name)
    write_program(programs / "python3", f'exec {Path(sys.base_prefix, "bin", "python3")} "$@"')
    write_program(programs / "id", "echo 1000")
    return tmp_path


def write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/bash\n{line}\n")
    path.chmod(0o755)


def set_up(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(folder / "bin")}
    return subprocess.run(
        [shutil.which("bash") or "bash", "scripts/setup.sh"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_root_it_prints_exactly_what_to_install(bare: Path) -> None:
    write_program(bare / "bin" / "apt-get", "echo apt-get was called; exit 1")
    done = set_up(bare)
    assert done.returncode == 1
    (command,) = [line.split() for line in done.stderr.splitlines() if line.startswith("    ")]
    assert command[:4] == ["sudo", "apt-get", "install", "--no-install-recommends"]
    assert set(command[4:]) == {"qemu-system-x86", "binutils", "gdb", "util-linux"}
    assert "apt-get was called" not in done.stdout
    assert not (bare / ".venv").exists()


def test_elsewhere_than_on_debian_it_names_the_packages(bare: Path) -> None:
    done = set_up(bare)
    assert done.returncode == 1
    assert "what Debian calls" in done.stderr
    assert "qemu-system-x86" in done.stderr


def test_a_finished_set_up_does_nothing(bare: Path) -> None:
    """With the stamp of this state in place, no program that could change anything is called."""
    for name in ("qemu-system-x86_64", "as", "gdb", "setpriv"):
        write_program(bare / "bin" / name, "exit 1")
    (bare / ".venv" / "bin").mkdir(parents=True)
    write_program(bare / ".venv" / "bin" / "python", "echo python was called; exit 1")
    state = "{ pwd && cat pyproject.toml requirements.lock scripts/setup.sh; } | sha256sum"
    stamp = subprocess.run(["bash", "-c", state], cwd=bare, capture_output=True, text=True, check=True).stdout
    (bare / ".venv" / ".set-up").write_text(stamp)
    done = set_up(bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (bare / "requirements.lock").write_text("changed\n")
    write_program(bare / "bin" / "python3", "exit 1")
    done = set_up(bare)
    assert done.returncode == 1
    assert "what Debian calls python3 python3-venv" in done.stderr
