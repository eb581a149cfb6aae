"""The inside of a worker process: answers jobs that come over an inherited socket until that is closed.

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
    """A worker's message: that it is ready (`number` is -1), or the result of a job, or how the job's code broke."""

    number: int
    result: Any = None
    broke: str = ""


def serve(descriptor: int, parent: int) -> None:
    """Answer jobs until the socket ends. The first message is the way: a callable that gives a context manager that
    gives a callable from job to result."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent, which then ends us
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
    if os.getppid() != parent:  # it ended before the kernel knew
        sys.exit(0)
