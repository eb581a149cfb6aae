"""The code of a worker process: it executes jobs that come over an inherited socket until that is closed.

A worker cannot outlive its parent: the kernel kills it when the parent's thread that started it ends, and the closed
socket ends it as well. Its QEMU processes end with it in the same way.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["Answer", "serve"]

_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True)
class Answer:
    """A worker's message: that it is ready (`number` is -1), or the result of a job, or the exception of the job's
    code."""

    number: int
    result: Any = None
    broke: str = ""


def serve(descriptor: int, parent: int) -> None:
    """Execute jobs until the socket is closed. The first message is a callable that returns a context manager around
    the function from job to result."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and ends this process
    connection = Connection(descriptor)
    with connection.recv()() as do:
        try:
            connection.send(Answer(-1))
            while True:
                number, job = connection.recv()
                connection.send(_answer(number, job, do))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass  # no more jobs


def _answer(number: int, job: Any, do: Callable[[Any], Any]) -> Answer:
    try:
        return Answer(number, do(job))
    except Exception:  # a defect of the harness: reported, and the next job may succeed
        return Answer(number, broke=traceback.format_exc())


def _die_with(parent: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # the parent ended before prctl
        sys.exit(0)
