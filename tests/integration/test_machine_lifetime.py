"""No QEMU, descriptor or file outlives what started it, however that ends."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import machine_guests as guests
import pytest

from harness.qemu.errors import QemuError
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.stop import StopKind
from harness.qemu.target import target

Q35 = MachineConfig(target("q35-tcg"))

# Starts two machines, one of them running, prints their pids, and waits inside of a long `wait_stop`.
_SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import machine_guests as guests
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import target
config = MachineConfig(target("q35-tcg-rt"))
first, second = (Machine.launch(config, guests.SILENT) for _ in range(2))
second.resume()
print(first.pid, second.pid, flush=True)
{then}
"""


def _gone(pidfd: int, seconds: float = 20) -> bool:
    return bool(select.select([pidfd], [], [], seconds)[0])


def _start(then: str) -> tuple[subprocess.Popen[str], list[int]]:
    script = _SCRIPT.format(folder=str(Path(__file__).parent), then=then)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = child.stdout.readline().split()
    assert len(pids) == 2, child.communicate()[1]
    return child, [os.pidfd_open(int(pid)) for pid in pids]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGABRT], ids=lambda s: s.name)
def test_machines_go_with_a_process_that_is_killed(how: signal.Signals) -> None:
    child, machines = _start("second.wait_stop(600)")
    try:
        assert not any(_gone(machine, 0) for machine in machines)
        child.send_signal(how)
        assert all(_gone(machine) for machine in machines)
        _, stderr = child.communicate(timeout=60)
        assert child.returncode != 0
        assert ("KeyboardInterrupt" in stderr) == (how is signal.SIGINT)
    finally:
        child.kill()
        child.communicate()
        for machine in machines:
            os.close(machine)


@pytest.mark.parametrize("then", ["raise SystemExit(3)", "1 / 0", "import os; os._exit(3)", ""])
def test_machines_go_with_a_process_that_ends(then: str) -> None:
    child, machines = _start(then)
    try:
        assert all(_gone(machine) for machine in machines)
        child.communicate(timeout=60)
    finally:
        for machine in machines:
            os.close(machine)


def test_a_machine_ends_with_its_block() -> None:
    def fail(machine: Machine) -> None:
        machine.resume()
        raise ZeroDivisionError

    machine = Machine.launch(Q35, guests.SILENT)
    pidfd = os.pidfd_open(machine.pid)
    with pytest.raises(ZeroDivisionError), machine:
        fail(machine)
    assert _gone(pidfd, 0), "gone before the block is left"
    assert not Path(f"/proc/{machine.pid}").exists(), "and reaped"
    os.close(pidfd)


def test_a_machine_ends_with_its_object() -> None:
    machine = Machine.launch(Q35, guests.SILENT)
    machine.resume()
    pidfd = os.pidfd_open(machine.pid)
    del machine
    gc.collect()
    assert _gone(pidfd)


def test_an_interrupt_during_the_start_leaves_nothing() -> None:
    def children() -> set[str]:
        return {path for task in Path("/proc/self/task").iterdir() for path in (task / "children").read_text().split()}

    Machine.launch(Q35, guests.SILENT).kill()
    before = children()
    main = threading.get_ident()
    for delay in (0.0, 0.001, 0.003, 0.01):
        timer = threading.Timer(delay, signal.pthread_kill, (main, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # wherever in here it arrives
            timer.start()
            Machine.launch(Q35, guests.SILENT).kill()
            threading.Event().wait(20)
    deadline = time.monotonic() + 20
    while children() - before and time.monotonic() < deadline:
        gc.collect()  # a machine without an owner after the interrupt ends with its object
        Machine.launch(Q35, guests.SILENT).kill()  # the engine still works
    assert children() == before


def test_nothing_is_left_open_and_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run() -> None:
        for interactive in (False, True):
            config = MachineConfig(target("q35-tcg"), interactive=interactive)
            with Machine.launch(config, guests.SAYS_HELLO) as machine:
                machine.run_once()
                machine.serial_output()
        with pytest.raises(QemuError):
            Machine.launch(MachineConfig(target("q35-tcg"), extra_args=("-no-such",)), guests.SILENT)

    run()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    mapped = Path("/proc/self/maps").read_text().count("trapgate-ram")
    for _ in range(5):
        run()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert Path("/proc/self/maps").read_text().count("trapgate-ram") <= mapped + 1
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_starts_machines_of_its_own() -> None:
    with Machine.launch(Q35, guests.SIGNALLER) as machine:
        assert machine.run_once().signalled
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with Machine.launch(Q35, guests.SIGNALLER) as own:
                    status = 0 if own.run_once().signalled else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert machine.run_once().signalled, "and does not disturb the parent's"


def test_ten_machines_side_by_side() -> None:
    machines = [Machine.launch(Q35, guests.COPIES) for _ in range(10)]
    try:
        stops = {}

        def work(number: int) -> None:
            for turn in range(5):
                stops[number, turn] = machines[number].run_once([(0x8000, bytes([number]))])
                assert machines[number].ram[0x8001] == number

        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [stop.kind for stop in stops.values()] == [StopKind.SIGNAL] * 50
        assert [int.from_bytes(machine.ram[0x8004:0x8008], "little") for machine in machines] == [5] * 10
    finally:
        for machine in machines:
            machine.kill()
