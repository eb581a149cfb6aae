"""Runs code of a probe: an attempt to end the process is an error of that probe, not the end of the run."""

from __future__ import annotations

import os
import posix
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["ProbeExit", "probe_code"]


class ProbeExit(Exception):  # noqa: N818
    """Code of a probe tried to end the process, or raised what is not an `Exception`."""


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


@contextmanager
def probe_code() -> Iterator[None]:
    """Run code of a probe: import, building or judgement.

    Raises `ProbeExit`, with the traceback of the probe, in place of `SystemExit`, `os._exit`, and every other
    `BaseException` that is no `Exception` (`pytest.skip`, `raise KeyboardInterrupt`). Ctrl-C passes through.
    """
    before = os._exit, posix._exit
    refuse: Any = _refusing(os.getpid(), before[0])
    os._exit = posix._exit = refuse
    # A KeyboardInterrupt of the probe is told from Ctrl-C by its type.
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
        if handled:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os._exit, posix._exit = before


def _described(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r}) was called: a probe must not end the process; remove the call"
    text = f": {error}" if str(error) else ""
    return f"{name}{text} was raised: it would end the run; raise an Exception, or use assert"
