"""Many warm runs in one process: every verdict right, nothing grows; also while QEMU is killed at random."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
from pathlib import Path
from textwrap import dedent

import pytest
from thorough import scaled

from harness.probes.loader import load_file
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

pytestmark = pytest.mark.slow  # a campaign: `make test-slow` and CI have it

RUNS = int(os.environ.get("TRAPGATE_ENDURANCE", scaled(300, 20_000)))
PROBES = '''
from harness import Kernel, ProbeBody, probe


@probe.each(vector=[0x50, 0x61, 0x72])
@probe(spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure")
def right(k: Kernel, vector: int) -> ProbeBody:
    """INT n goes through gate n."""
    k.expect(vector)
    with k.trigger():
        k.int_n(vector)
    run = yield
    assert run.vectors == [vector]


@probe(spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure")
def wrong(k: Kernel) -> ProbeBody:
    """A rule that does not hold: its verdict is fail, every time."""
    k.expect(0x50)
    with k.trigger():
        k.int_n(0x50)
    run = yield
    assert run.vectors == [0x51]
'''


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    file = tmp_path / "endurance.py"
    file.write_text(dedent(PROBES))
    return [case for found in load_file(file, tmp_path) for case in found.cases()]


def right_verdict(case: Case) -> Verdict:
    return Verdict.FAIL if case.probe.name == "wrong" else Verdict.PASS


QEMU_KIB = 256 * 1024  # its own, and 64 MiB of translated code


def resident_kib(pid: int | str = "self") -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def resources() -> tuple[int, int, int]:
    """Open descriptors, names in /dev/shm, threads."""
    gc.collect()  # a run that failed has two descriptors until then: its exception's frames are a cycle
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/dev/shm").iterdir())), threading.active_count()


def test_many_runs(cases: list[Case]) -> None:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        for number in range(RUNS // 10):  # caches fill, the machine starts
            executor.run(cases[number % len(cases)])
        before, memory = resources(), resident_kib()
        for number in range(RUNS):
            case = cases[number % len(cases)]
            record = executor.run(case)
            assert record.verdict is right_verdict(case), (number, record.reason)
            assert record.attempts == 1
        assert resources() == before
        assert resident_kib() - memory < 8 * 1024
        assert [kib for pid in machines() if (kib := resident_kib(pid)) > QEMU_KIB] == []


def machines() -> list[int]:
    """Process ids of the QEMUs that this process has started."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            try:
                name = Path(f"/proc/{pid}/comm").read_text()
            except FileNotFoundError:
                continue
            if name.startswith("qemu"):
                found.append(int(pid))
    return found


def kill(killed: list[int]) -> None:
    for pid in machines():
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            killed.append(pid)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def test_killed_machines_change_no_verdict(cases: list[Case]) -> None:
    """Every machine that is up is killed once in every other run, at a random moment of it, or just after it."""
    dice = random.Random(1)
    killed: list[int] = []
    again = 0
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        executor.run(cases[0])
        usual = executor.run(cases[0]).ms / 1e3
        for number in range(max(100, RUNS // 10)):
            case = cases[number % len(cases)]
            timer = threading.Timer(dice.uniform(0, 1.5 * usual), kill, [killed])
            if number % 2:
                timer.start()
            record = executor.run(case)
            if number % 2:
                timer.join()
            assert record.verdict is right_verdict(case), (number, record.reason)
            again += record.attempts == 2
        assert len(killed) > 20
        assert again > 0
        executor.run(cases[0])  # may find the last one killed, and run on a machine of its own
        executor.run(cases[0])
        before = resources()
        executor.run(cases[0])
        assert resources() == before
