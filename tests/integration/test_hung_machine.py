"""A QEMU that answers nothing is killed after a while, and the error has the cause: a hang, or a stop by the host."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import machine_guests as guests
import pytest

from harness.qemu import scheduling
from harness.qemu.errors import QemuDied, QemuHung
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.stop import StopKind
from harness.qemu.target import target

Q35 = MachineConfig(target("q35-tcg"))


def hang(machine: Machine, folder: Path) -> None:
    """Have QEMU's main loop open a FIFO without a reader."""
    os.mkfifo(folder / "fifo")
    machine.qmp("pmemsave", val=0, size=1, filename=str(folder / "fifo"))


def test_a_command_that_is_not_answered_ends_the_machine(tmp_path: Path) -> None:
    with Machine.launch(Q35, guests.SILENT) as machine:
        machine.patience = 0.5
        with pytest.raises(QemuHung, match=r"did not answer pmemsave within 0\.5 s, and was killed"):
            hang(machine, tmp_path)
        assert not machine.alive
        with pytest.raises(QemuDied):
            machine.qmp("query-status")


def test_a_machine_that_is_stopped_for_longer_than_its_patience_continues() -> None:
    with Machine.launch(Q35, guests.SILENT) as machine:
        os.kill(machine.pid, signal.SIGSTOP)
        machine.patience = 0.3
        timer = threading.Timer(1.5, os.kill, (machine.pid, signal.SIGCONT))
        timer.start()
        assert machine.qmp("query-status")["status"] == "prelaunch"
        timer.join()


def test_a_machine_that_stays_stopped_is_killed_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "GRACE_S", 0.5)
    with Machine.launch(Q35, guests.SILENT) as machine:
        machine.patience = 0.3
        machine.resume()
        os.kill(machine.pid, signal.SIGSTOP)
        stop = machine.wait_stop(0.3)
        assert stop.kind is StopKind.NOT_RUN
        assert "it was stopped (SIGSTOP, or a debugger)" in str(stop)
        with pytest.raises(QemuHung, match=r"did not answer stop within .* in which it was stopped"):
            machine.stop()
        assert not machine.alive


def test_silence_is_counted_only_while_the_machine_runs() -> None:
    """Stopped for longer than the guest may be silent, it still has all its time afterwards."""
    with Machine.launch(Q35, guests.SILENT) as machine:
        machine.resume()
        os.kill(machine.pid, signal.SIGSTOP)
        timer = threading.Timer(2, os.kill, (machine.pid, signal.SIGCONT))
        timer.start()
        stop = machine.wait_stop(0.5)
        assert not timer.is_alive(), "it was over before QEMU went on"
        assert stop.kind is StopKind.TIMEOUT
        assert machine.deprivation.stopped
        machine.stop()
