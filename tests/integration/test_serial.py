"""COM1: the file, the conversation, and the flood."""

from __future__ import annotations

import pexpect
import pytest

from harness.qemu.errors import QemuError
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.printout import Printout
from harness.qemu.stop import StopKind
from harness.qemu.target import target

import machine_guests as guests  # isort: skip

HELLO = b"hello, world\n"


@pytest.mark.parametrize("interactive", [False, True], ids=["file", "socket"])
@pytest.mark.parametrize("name", ["q35-tcg", "microvm-tcg"])
def test_the_output_of_the_guest_is_stored_per_run(name: str, interactive: bool) -> None:
    with Machine.launch(MachineConfig(target(name), interactive=interactive), guests.SAYS_HELLO) as machine:
        assert machine.serial_output() == b""
        for read in (True, True, False, True):
            assert machine.run_once().signalled
            if read:
                assert machine.serial_output() == HELLO
                assert machine.serial_output() == HELLO, "reading does not consume"


@pytest.mark.parametrize("interactive", [False, True], ids=["file", "socket"])
def test_expect(interactive: bool) -> None:
    with Machine.launch(MachineConfig(target("q35-tcg"), interactive=interactive), guests.SAYS_HELLO) as machine:
        for _ in range(2):
            machine.run_once()
            machine.serial.expect(rb"(\w+), ")
            assert machine.serial.match.group(1) == b"hello"
            machine.serial.expect_exact("world")
            assert machine.serial.before == b""
            with pytest.raises(pexpect.EOF):
                machine.serial.expect_exact("more")
            assert machine.serial.before == b"\n"
            assert machine.serial_output() == HELLO, "expect leaves the log whole"


@pytest.mark.parametrize("interactive", [False, True], ids=["file", "socket"])
def test_expect_while_the_guest_runs(interactive: bool) -> None:
    rom = guests.rom(guests.talk(b"ready\n") + guests.HALT)
    with Machine.launch(MachineConfig(target("q35-tcg-rt"), interactive=interactive), rom) as machine:
        machine.resume()
        machine.serial.expect_exact("ready")
        with pytest.raises(pexpect.TIMEOUT):
            machine.serial.expect_exact("never", timeout=0.05)


def test_conversation() -> None:
    with Machine.launch(MachineConfig(target("q35-tcg-rt"), interactive=True), guests.ECHOES) as machine:
        machine.resume()
        for text in (b"HAL", b"abc", bytes(range(0x52, 0x70))):
            assert machine.serial.send(text) == len(text)
            machine.serial.expect_exact(bytes(byte + 1 for byte in text))
        machine.serial.sendline(b"Q")
        assert machine.wait_stop().signalled
        assert machine.serial_output().endswith(b"R")


def test_a_file_cannot_be_written() -> None:
    with (
        Machine.launch(MachineConfig(target("q35-tcg")), guests.SILENT) as machine,
        pytest.raises(QemuError, match="interactive"),
    ):
        machine.serial.send("x")


@pytest.mark.parametrize("interactive", [False, True], ids=["file", "socket"])
@pytest.mark.parametrize("rom", [guests.FLOODS, guests.FLOODS_FAST], ids=["polled", "unpolled"])
def test_a_flood_neither_hangs_nor_fills_the_host(rom: bytes, interactive: bool) -> None:
    with Machine.launch(MachineConfig(target("q35-tcg-rt"), interactive=interactive), rom) as machine:
        assert machine.run_once(timeout=0.5).kind is StopKind.TIMEOUT
        with pytest.raises((pexpect.TIMEOUT, pexpect.EOF)):
            machine.serial.expect_exact("never said", timeout=0.5)
        machine.stop()
        assert machine.registers()
        said = machine.serial_output()
        assert 1000 < len(said) < 3 << 20
        assert set(said) <= set(b"xy") or b"bytes dropped" in said
        machine.reset()
        assert machine.serial_output() == b"", "a new run begins with an empty log"


def test_a_flood_ends_where_the_file_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Printout, "SIZE", 8192)
    with Machine.launch(MachineConfig(target("q35-tcg-rt")), guests.FLOODS_FAST) as machine:
        for _ in range(2):
            assert machine.run_once(timeout=0.5).kind is StopKind.TIMEOUT
            machine.stop()
            said = machine.serial_output()
            assert said.endswith(b"\n[... the rest was dropped ...]\n")
            assert len(said.partition(b"\n[")[0]) == Printout.SIZE
            assert machine.registers()


@pytest.mark.parametrize("interactive", [False, True], ids=["file", "socket"])
def test_output_before_the_end_of_qemu_is_stored(interactive: bool) -> None:
    rom = guests.rom(guests.talk(b"last words\n") + guests.HALT)
    with Machine.launch(MachineConfig(target("q35-tcg-rt"), interactive=interactive), rom) as machine:
        machine.resume()
        machine.serial.expect_exact("last words")
        machine.kill()
        assert machine.serial_output() == b"last words\n"
        with pytest.raises(pexpect.EOF):
            machine.serial.expect_exact("more")
