"""`scripts/qemu-all.sh` where a suite has no QEMU, or one that cannot be fetched. A stub replaces apt."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "qemu-all.sh"
APT_GET = """#!/bin/sh
case "$*" in
    indextargets*) . /etc/os-release; echo "http://mirror.example/debian/ $VERSION_CODENAME main" ;;
    *update*) grep -q " sid " "${APT_CONFIG%/*}/sources.list" || exit 0; echo "E: no route to the mirror"; exit 100 ;;
    *) echo "E: 404 Not Found" >&2; exit 100 ;;
esac
"""
APT_CACHE = """#!/bin/sh
grep -q " trixie " "${APT_CONFIG%/*}/sources.list" || exit 0
echo " qemu-system-x86 | 1:10.0.13 | mirror.example trixie/main amd64 Packages"
"""

pytestmark = pytest.mark.skipif("ID=debian" not in Path("/etc/os-release").read_text(), reason="needs Debian's apt")


def bring(folder: Path, *suites: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script in `folder`, with the stubs for apt."""
    programs = folder / "bin"
    for path, text in ((programs / "apt-get", APT_GET), (programs / "apt-cache", APT_CACHE)):
        programs.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (folder / "scripts").mkdir(exist_ok=True)
    script = shutil.copy(SCRIPT, folder / "scripts")
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    return subprocess.run([script, *suites], env=environment, capture_output=True, text=True, timeout=60)


def test_a_suite_without_qemu_is_no_error(tmp_path: Path) -> None:
    done = bring(tmp_path, "bookworm-backports")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "qemu-all.sh: bookworm-backports: has no QEMU of its own\n"


def test_what_cannot_be_fetched_is_named_and_the_other_suites_are_tried(tmp_path: Path) -> None:
    done = bring(tmp_path, "sid", "trixie", "bookworm-backports")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "qemu-all.sh: sid: its package lists cannot be fetched: E: no route to the mirror",
        "qemu-all.sh: trixie: QEMU cannot be fetched: E: 404 Not Found",
    ]
    assert "bookworm-backports: has no QEMU of its own" in done.stdout
    assert list((tmp_path / "qemus").iterdir()) == []


def test_an_installed_qemu_is_not_replaced(tmp_path: Path) -> None:
    there = tmp_path / "qemus" / "11.1.3"
    there.mkdir(parents=True)
    (there / "suites").write_text("sid\n")
    program = there / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho QEMU emulator version 11.1.3\n")
    program.chmod(0o755)
    done = bring(tmp_path, "sid")
    assert (done.returncode, done.stdout) == (0, "qemu-all.sh: sid: QEMU 11.1.3 is there already\n")
