"""Runs code of a probe: an attempt to end the process is an error of that probe, not the end of the run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

__all__ = ["ProbeExit", "probe_code"]


class ProbeExit(Exception):  # noqa: N818
    """Code of a probe tried to end the process, or raised what is not an `Exception`."""


def _refuse_exit(status: int) -> NoReturn:
    raise ProbeExit(f"os._exit({status!r}) was called: a probe must not end the process; remove the call")


@contextmanager
def probe_code() -> Iterator[None]:
    """Run code of a probe: import, building or judgement.

    Raises `ProbeExit`, with the traceback of the probe, in place of `SystemExit`, `os._exit`, and every other
    `BaseException` that is no `Exception` (`pytest.skip`, `raise KeyboardInterrupt`). Ctrl-C passes through.
    """
    before, os._exit = os._exit, _refuse_exit
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if _is_interrupt(error):
            raise
        raise ProbeExit(_described(error)).with_traceback(error.__traceback__) from None
    finally:
        os._exit = before


def _is_interrupt(error: BaseException) -> bool:
    """Whether a signal raised it: in the handler of Python, or in a handler of ours, which raises a subclass."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    return type(error) is not KeyboardInterrupt or signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _described(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r}) was called: a probe must not end the process; remove the call"
    text = f": {error}" if str(error) else ""
    return f"{name}{text} was raised: it would end the run; raise an Exception, or use assert"
