"""`trapgate` and `pytest` as a user runs them: each in a process of its own, with its exit code and its output."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["TRAPGATE", "run_pytest", "trapgate"]

TRAPGATE = str(Path(sys.executable).with_name("trapgate"))  # for tests where the start of the process matters


def trapgate(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `trapgate` with these words, and more in its environment."""
    return _run([TRAPGATE, *map(str, words)], cwd, environment)


def run_pytest(*words: str | Path, cwd: Path, cache: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `python -m pytest` with these words, without Hypothesis, whose import takes longer than most commands."""
    without = ["hypothesispytest"] if cache else ["hypothesispytest", "cacheprovider"]
    return _run(["pytest", *(f"-pno:{name}" for name in without), *map(str, words)], cwd, {})


def _run(words: list[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    request = json.dumps({"words": words, "cwd": str(cwd), "env": os.environ | environment}).encode()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        server = _server()
        socket.send_fds(server, [request], [output.fileno(), errors.fileno()])
        answer = server.recv(100)
        assert answer, f"the process that runs commands ended: {words}"
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(words, int(answer), *texts)


@cache
def _server() -> socket.socket:
    """The process that runs the commands of this process's tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, str(Path(__file__).with_name("command_server.py"))]
    with theirs:
        process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
    assert ours.recv(100) == b"ready", "the process that runs commands did not start"
    atexit.register(process.wait)
    atexit.register(ours.close)  # handlers run in reverse order: the end of the requests ends the process
    return ours
