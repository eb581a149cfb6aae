"""QEMU's QMP greeting cut off, garbled or missing: each is a QemuStartError that names its cause."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from thorough import scaled

from harness.qemu.engine import engine
from harness.qemu.errors import QemuStartError
from harness.qemu.machine_config import MachineConfig
from harness.qemu.resources import Resources
from harness.qemu.start import start
from harness.qemu.target import target

VERSION = b'{"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}'
GREETING = b'{"QMP": {"version": ' + VERSION + b', "capabilities": ["oob"]}}\r\n'
ANSWER = b'{"return": {}}\r\n'
DIALOGUE = GREETING + ANSWER

# Sends a part of the dialogue, the answer only after the command; then ends as `then` requires.
_FAKE = """
import os, signal, socket, sys
said, then = bytes.fromhex(sys.argv[2]), sys.argv[3]
peer = socket.socket(fileno=int(sys.argv[1]))
greeting, newline, answer = said.partition(b"\\n")
peer.sendall(greeting + newline)
if newline and answer:
    peer.recv(4096)
    peer.sendall(answer)
if then == "wait":
    signal.pause()
elif then.startswith("-"):
    if -int(then) != signal.SIGKILL:
        signal.signal(-int(then), signal.SIG_DFL)  # nohup has SIGHUP ignored
    os.kill(os.getpid(), -int(then))
else:
    os._exit(int(then))
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fake") / "qemu"
    path.write_text(f"#!{sys.executable} -IS\n{_FAKE}")
    path.chmod(0o755)
    return path


def outcome(fake: Path, said: bytes, then: str, timeout: float = 60) -> QemuStartError:
    """The error of a start whose QEMU sends `said` and then does `then`."""
    resources = Resources(MachineConfig(target("q35-tcg")), bytes(65536))
    arguments = [str(resources._qmp_peer.fileno()), said.hex(), then]
    try:
        with pytest.raises(QemuStartError) as caught:
            engine().run(start(str(fake), arguments, resources, timeout, lambda: "the command line"))
    finally:
        resources.close()
    return caught.value


@pytest.mark.parametrize("length", range(0, len(DIALOGUE), scaled(9, 1)))
@pytest.mark.parametrize("then", ["0", "-6"])
def test_it_dies_at_any_byte_of_the_handshake(fake: Path, length: int, then: str) -> None:
    error = outcome(fake, DIALOGUE[:length], then)
    assert error.returncode == int(then)
    assert str(error).startswith("QEMU exited with status 0" if then == "0" else "QEMU was ended by SIGABRT")
    assert not error.from_outside


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("length", [0, 7, len(GREETING), len(DIALOGUE) - 1])
def test_a_signal_from_outside_is_known_for_one(fake: Path, number: int, length: int) -> None:
    assert outcome(fake, DIALOGUE[:length], str(-number)).from_outside


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"Hello\r\n",
        b"\xff\xfe\x00\r\n",
        b"[]\r\n",
        b"17\r\n",
        b"{}\r\n",
        b'{"QMP": null}\r\n',
        b'{"QMP": {"version": 1, "capabilities": 2}}\r\n',
        b'{"QMP": ' * 5000 + b"\r\n",
        GREETING + b'{"error": {"class": "GenericError", "desc": "no"}}\r\n',
        GREETING + b'{"error": {"class": "GenericError", "desc": "no"}, "return": {}}\r\n',
        GREETING + b'{"event": "STOP"}\r\n',
        GREETING + b"null\r\n",
        GREETING + b"junk\r\n",
    ],
    ids=lambda said: ascii(said[-24:]),
)
@pytest.mark.parametrize("then", ["0", "wait"])
def test_what_is_no_greeting_is_refused(fake: Path, said: bytes, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.qemu.start.END_S", 0.1)
    error = outcome(fake, said, then)
    first = str(error).splitlines()[0]
    if then == "0":
        assert first == "QEMU exited with status 0 before the guest could start:"
    else:
        assert first.startswith("QEMU's QMP greeting is not understood (")
        assert error.returncode is None and not error.from_outside, "we ended it ourselves"


def test_no_greeting_at_all_is_a_time_out(fake: Path) -> None:
    error = outcome(fake, b"", "wait", timeout=0.3)
    assert str(error).splitlines()[0] == "QEMU did not answer within 0.3 s:"
