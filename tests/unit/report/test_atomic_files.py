"""Files that are whole at every moment."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness.report.atomic import write_atomic


def test_new_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_atomic(path, b"one")
    assert path.read_bytes() == b"one"
    path.chmod(0o640)
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_honours_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "out", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_without_unnamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    write_atomic(tmp_path / "out", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"new"


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "no" / "out", b"")


def test_a_device_is_written_as_it_is() -> None:
    write_atomic(Path("/dev/null"), b"data")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("unnamed", [True, False])
def test_what_does_not_fit_leaves_the_old_contents(tmp_path: Path, unnamed: bool) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    script = f"""
import os, sys
from pathlib import Path
from harness.report.atomic import write_atomic
if not {unnamed}:
    del os.O_TMPFILE
try:
    write_atomic(Path({str(path)!r}), b"x" * 100_000)
except OSError as error:
    sys.exit(f"refused {{error.errno}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.stderr.strip() == "refused 27"  # EFBIG
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    """The writer replaces the file as fast as it can; it is killed in the middle of that, ten times."""
    path = tmp_path / "out"
    script = f"""
from pathlib import Path
from harness.report.atomic import write_atomic
path = Path({str(path)!r})
number = 0
while True:
    write_atomic(path, bytes([number % 256]) * 200_000)
    if number < 3:
        print(number, flush=True)
    number += 1
"""
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        data = path.read_bytes()
        assert len(data) == 200_000
        assert len(set(data)) == 1


def test_signals_come_after_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"
