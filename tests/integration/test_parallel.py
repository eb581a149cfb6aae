"""Real runs in worker processes: streamed, ordered, complete, and nothing left behind by any end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from harness.campaign.parallel import run_cases
from harness.cli import app
from harness.probes.loader import load_file
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.options import RunOptions
from harness.run.record import Verdict

Q35 = target("q35-tcg")
PROBES = '''
import os
import signal
from pathlib import Path

from harness import Kernel, ProbeBody, probe

HERE = Path(__file__).parent


@probe.each(number=range(24))
@probe(spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure")
def counts(k: Kernel, number: int) -> ProbeBody:
    """INT n goes through gate n."""
    k.expect(0x50 + number)
    with k.trigger():
        k.int_n(0x50 + number)
    run = yield
    assert run.vectors == [0x50 + number]


@probe(spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure")
def is_killed_once(k: Kernel) -> ProbeBody:
    """Its first worker is killed while the guest is up."""
    with k.trigger():
        k.expect(0x50)
        k.int_n(0x50)
    run = yield
    if not (HERE / "killed").exists():
        (HERE / "killed").write_text(str(run.machine.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    assert run.vectors == [0x50]
'''
WAITS = '''
import os
from pathlib import Path

from harness import Kernel, ProbeBody, probe


@probe.each(number=range(2))
@probe(spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure")
def waits(k: Kernel, number: int) -> ProbeBody:
    """The judgement never comes to its end: the guest is up until all processes are ended."""
    with k.trigger():
        k.asm("nop")
    run = yield
    with open(Path(__file__).parent / "up", "a") as file:
        print(os.getpid(), run.machine.pid, file=file, flush=True)
    with open(Path(__file__).parent / f"fifo{number}") as file:
        assert file.read() == "never"
'''


def cases(tmp_path: Path, text: str = PROBES) -> list[Case]:
    file = tmp_path / "many.py"
    file.write_text(dedent(text))
    return [case for found in load_file(file) for case in found.cases()]


def assert_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 20)[0], f"process {pid} is still there"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("workers", [2, 3])
def test_a_killed_worker_loses_nothing(tmp_path: Path, workers: int) -> None:
    runs = [(Q35, case) for case in cases(tmp_path)]
    found = dict(run_cases(runs, RunOptions(cold=False), workers))
    assert sorted(found) == list(range(len(runs)))
    assert {record.verdict for record in found.values()} == {Verdict.PASS}
    assert [record.probe for _, record in sorted(found.items())] == [case.id for _, case in runs]
    assert {record.probe: record.attempts for record in found.values() if record.attempts > 1} == {
        f"{tmp_path.name}/many.py::is_killed_once": 2
    }
    assert_gone(int((tmp_path / "killed").read_text()))


def test_the_report_keeps_the_plans_order(tmp_path: Path) -> None:
    expected = [case.id for case in cases(tmp_path)]
    report = tmp_path / "report.json"
    result = CliRunner().invoke(app, ["run", "--probes", str(tmp_path), "-j2", "--seed=7", "--json", str(report)])
    assert result.exit_code == 0, result.output
    assert [entry["probe"] for entry in json.loads(report.read_text())["runs"]] == expected
    assert "random order: --seed 7" in result.output


def test_shards_are_a_partition(tmp_path: Path) -> None:
    expected = {case.id for case in cases(tmp_path)}
    seen: list[str] = []
    (tmp_path / "killed").touch()
    for index in (1, 2, 3):
        report = tmp_path / f"{index}.json"
        arguments = ["run", "--probes", str(tmp_path), "--shard", f"{index}/3", "-j1", "--json", str(report)]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        seen += [entry["probe"] for entry in json.loads(report.read_text())["runs"]]
    assert sorted(seen) == sorted(expected)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_command(tmp_path: Path, number: signal.Signals) -> None:
    cases(tmp_path, WAITS)
    for name in ("fifo0", "fifo1"):
        os.mkfifo(tmp_path / name)
    os.mkfifo(tmp_path / "up")
    command = subprocess.Popen(
        [sys.executable, "-c", "from harness.cli import main; main()", "run", "--probes", str(tmp_path), "-j2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    up = os.open(tmp_path / "up", os.O_RDWR)  # also written by us, so that no worker's end is the end of file
    try:
        told = b""
        while told.count(b"\n") < 2:
            assert select.select([up], [], [], 60)[0], "the guests did not come up"
            told += os.read(up, 4096)
        command.send_signal(number)
        returncode = command.wait(30)
    finally:
        os.close(up)
        command.kill()
        command.wait()
    assert returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    pids = [int(word) for word in told.split()]
    assert len(pids) == 4
    for pid in pids:
        assert_gone(pid)
