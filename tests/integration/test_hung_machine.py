"""A QEMU whose main loop hangs answers nothing: it is killed after a while, and the run says so."""

from __future__ import annotations

import os
import signal

import machine_guests as guests
import pytest

from harness.qemu import Machine, QemuDied, QemuHung, Shape, target


def test_a_command_that_is_not_answered_ends_the_machine() -> None:
    with Machine.launch(Shape(target("q35-tcg")), guests.SILENT) as machine:
        machine.resume()
        os.kill(machine.pid, signal.SIGSTOP)
        machine.patience = 0.5
        with pytest.raises(QemuHung, match=r"did not answer stop within 0\.5 s, and was killed"):
            machine.stop()
        assert not machine.alive
        with pytest.raises(QemuDied):
            machine.qmp("query-status")


def test_a_machine_that_hangs_as_it_goes_on_hangs_and_was_not_killed_from_outside() -> None:
    with Machine.launch(Shape(target("q35-tcg")), guests.SILENT) as machine:
        os.kill(machine.pid, signal.SIGSTOP)
        machine.patience = 0.5
        with pytest.raises(QemuHung, match=r"did not answer cont within 0\.5 s, and was killed"):
            machine.resume()
        assert not machine.alive
