"""The reports of docs/upstream: each guest builds, and behaves on this QEMU as recorded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.probes.deviation import Deviation
from harness.probes.loader import load_probes
from harness.qemu.features import features

FOLDER = Path(__file__).parents[2] / "docs" / "upstream"
REPORTS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SECTIONS = ["Versions", "Guest", "Expected", "Actual", "Suspected cause"]
QEMU = [
    *("-accel", "tcg", "-cpu", "max", "-m", "64", "-display", "none", "-nodefaults", "-no-reboot"),
    *("-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4"),
]

HUNG_CPU_SECONDS = 1.5  # the slowest guest takes less than a tenth of it


@pytest.fixture(scope="module")
def records() -> list[Deviation]:
    return [record for probe in load_probes() for record in probe.deviations]


def output_of(kernel: Path) -> str:
    """What the guest prints; nothing where it hangs, which its use of the processor shows."""
    program = shutil.which("qemu-system-x86_64")
    assert program is not None
    with subprocess.Popen([program, *QEMU, "-kernel", str(kernel)], stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            if cpu_seconds(process.pid) > HUNG_CPU_SECONDS:
                process.kill()
                return ""
            time.sleep(0.02)
        assert process.stdout is not None
        return process.stdout.read().strip()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process; 0 once it has ended. Source: proc_pid_stat(5), utime and stime."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(shutil.which("as") is None, reason="binutils are not installed")
@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.stem)
def test_a_report_is_whole_and_its_guest_shows_the_deviation(
    report: Path, tmp_path: Path, records: list[Deviation]
) -> None:
    text = report.read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.*)$", text) == SECTIONS
    reference = re.findall(r"\]\(\.\./(deviations/[\w-]+\.md)\)", text)
    mine = [record for record in records if record.ref == f"docs/{reference[0]}"]
    assert mine
    kernel = tmp_path / "guest"
    subprocess.run([FOLDER / "build.sh", report.with_suffix(".s"), kernel], check=True)
    program = shutil.which("qemu-system-x86_64")
    assert program is not None
    release = features(program).version
    deviates = any(record.in_version(release) for record in mine)
    assert (output_of(kernel) == "as the manual says") is not deviates


def test_the_list_has_each_report() -> None:
    listed = re.findall(r"(?m)^\| \[.*\]\(([\w-]+\.md)\) \|", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [path.name for path in REPORTS]
    assert {path.stem for path in FOLDER.glob("*.s")} == {path.stem for path in REPORTS}
