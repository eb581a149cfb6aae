"""A process that has Trapgate and pytest loaded, and forks for each command: a command starts without its imports.

`commands.py` starts it, with a socket as its standard input. The process is single-threaded, and runs nothing itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from typer.testing import CliRunner

import harness
from harness.cli import app, main

__all__: list[str] = []


def _load() -> None:
    """Import what a command imports late, too. Nothing of it may start a thread: a forked process has only one."""
    for module in pkgutil.walk_packages(harness.__path__, "harness."):
        if module.name != "harness.__main__":
            importlib.import_module(module.name)
    CliRunner().invoke(app, ["list", "--probes=/nonexistent"])  # typer imports more with the first options
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    gc.collect()
    gc.freeze()


def _serve(requests: socket.socket) -> Callable[[], object] | None:
    """Fork for each request, and answer with the exit status. Returns in the forked processes: what they are to run."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 2)
        if not data:
            return None
        child = os.fork()
        if child == 0:
            requests.close()
            return _become(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        requests.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object], descriptors: list[int]) -> Callable[[], object]:
    """Take over the folder, the environment, the streams and the words of a command."""
    folder, words, environment = request["cwd"], request["words"], request["env"]
    assert isinstance(folder, str) and isinstance(words, list) and isinstance(environment, dict)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, *descriptors)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    importlib.invalidate_caches()
    sys.argv = words
    if Path(words[0]).name == "trapgate":
        sys.path[0] = str(Path(words[0]).parent)
        return main
    sys.path[0] = folder
    return partial(runpy.run_module, "pytest", run_name="__main__")


def _run() -> None:
    requests = socket.socket(fileno=os.dup(0))
    _load()
    requests.send(b"ready")
    command = _serve(requests)
    if command is not None:
        sys.exit(command())  # type: ignore[arg-type]


with contextlib.suppress(ConnectionError):
    _run()
