"""Files that are never half written: a reader gets the old contents or the new."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

__all__ = ["check_writable", "write_atomic"]

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def check_writable(path: Path) -> None:
    """Raise OSError where `write_atomic` could not write the file now. The file and its folder stay as they are."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return
    with tempfile.TemporaryFile(dir=path.resolve().parent):
        pass


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's contents in one step, whatever kills the process meanwhile.

    The new contents get a name only when they are complete (O_TMPFILE, where the file system has it), so nothing is
    left behind either. What is not a regular file (`/dev/stdout`, a pipe) is written as it is. Raises OSError, with the
    old contents untouched.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()  # replace what a symbolic link points at, not the link
    with _signals_held():
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            _write_named(path.parent, temporary, data)
            with suppress(OSError):  # a file that exists keeps its permissions
                temporary.chmod(path.stat().st_mode & 0o7777)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _write_named(folder: Path, name: Path, data: bytes) -> None:
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):  # a file system without unnamed files; a missing folder fails again, by its name
        with name.open("xb") as file:
            file.write(data)
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        # src_dir_fd makes Python call linkat() with AT_SYMLINK_FOLLOW, which gives an unnamed file its name
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor, follow_symlinks=True)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP wait: they come right after the block.

    By handlers, since a signal mask of this thread would only send them to another, and Python's handlers run here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread only
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)

    before = {number: signal.signal(number, hold) for number in _HELD if signal.getsignal(number) is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for arrived in held:
            signal.raise_signal(arrived)
