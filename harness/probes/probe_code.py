"""Runs code of a probe: an attempt to end the process is an error of that probe, not the end of the run."""

from __future__ import annotations

import os
import posix
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any, Final, NoReturn

__all__ = ["ProbeExit", "probe_code"]

_NATIVE_EXITS: Final = frozenset({"_exit", "_Exit", "exit", "quick_exit"})  # of the C library
_owner = 0  # the process that runs code of a probe at present; 0 outside of `probe_code`


class ProbeExit(Exception):  # noqa: N818
    """Code of a probe tried to end the process, or raised an exception that is not an `Exception`."""


class _Interrupt(KeyboardInterrupt):
    """SIGINT came while code of a probe ran."""


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupt


def _refusing(owner: int, original: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
    def refuse(status: int) -> NoReturn:
        if os.getpid() != owner:  # a process that the probe forked may end
            original(status)
        raise ProbeExit(f"os._exit({status!r}) was called: a probe must not end the process; remove the call")

    return refuse


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what replaces or ends the process without `os._exit`. A process that the probe forked may do it."""
    if not _owner or (event != "os.exec" and event != "ctypes.dlsym"):
        return
    if os.getpid() != _owner:
        return
    if event == "os.exec":
        path = os.fsdecode(arguments[0])
        raise ProbeExit(f"os.exec of {path!r} was called: a probe must not replace the process; use subprocess.run")
    if arguments[1] in _NATIVE_EXITS:
        raise ProbeExit(f"{arguments[1]} of a C library was looked up: a probe must not end the process; remove it")


@cache
def _add_audit_hook() -> None:
    """Once in a process: a hook cannot be removed."""
    sys.addaudithook(_audit)


@contextmanager
def probe_code() -> Iterator[None]:
    """Run code of a probe: import, building or judgement.

    Raises `ProbeExit`, with the traceback of the probe, in place of `SystemExit`, `os._exit`, `os.exec*`, an exit
    function of the C library by ctypes, and every other `BaseException` that is no `Exception` (`pytest.skip`,
    `raise KeyboardInterrupt`). Ctrl-C passes through. A process that the probe forked and did not end is ended here.
    An extension module that calls exit(3) ends the process: only the worker processes of `-j 2` survive that.
    """
    global _owner
    _add_audit_hook()
    before = os._exit, posix._exit
    refuse: Any = _refusing(os.getpid(), before[0])
    os._exit = posix._exit = refuse
    outer, _owner = _owner, os.getpid()
    # The type distinguishes a KeyboardInterrupt of the probe from Ctrl-C.
    handled = threading.current_thread() is threading.main_thread()
    handled = handled and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and type(error) is not KeyboardInterrupt:
            raise
        raise ProbeExit(_described(error)).with_traceback(error.__traceback__) from None
    finally:
        if os.getpid() != _owner:
            os.write(2, b"trapgate: a process that a probe forked returned from the probe; it is ended\n")
            before[0](70)
        _owner = outer
        if handled:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os._exit, posix._exit = before


def _described(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r}) was called: a probe must not end the process; remove the call"
    text = f": {error}" if str(error) else ""
    return f"{name}{text} was raised: it would end the run; raise an Exception, or use assert"
