"""One QEMU process: it cannot outlive the harness, and is watched without polling."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from harness.qemu.errors import QemuNotFound
from harness.qemu.scheduling import Scheduling

__all__ = ["QemuProcess"]

_KEEP = 64 * 1024  # bytes of stderr that are stored, half from the beginning and half from the end


class QemuProcess:
    """A child process, its standard error (bounded) and its end. All methods belong to the engine's thread."""

    def __init__(self, program: str, arguments: Sequence[str], descriptors: Sequence[int]) -> None:
        """Start it. `descriptors` stay open in it under the same numbers.

        Raises QemuNotFound where setpriv is missing, OSError where the program cannot be run.
        """
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._tail = b""
        self._dropped = 0
        self.returncode: int | None = None
        self.killed = False  # by us
        self.exited: asyncio.Future[int] = self._loop.create_future()
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writer, True)
        self._stderr = reader
        try:
            self._process = subprocess.Popen(
                [*_guarded(), program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=writer,  # QEMU prints some things there (`-device help`); they never reach our own output
                stderr=writer,
                pass_fds=tuple(descriptors),
                # The harness handles Ctrl-C: QEMU must not get it first and exit before its state is dumped.
                process_group=0,
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self.pid = self._process.pid
        self.scheduling = Scheduling(self.pid)
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._stderr, self._read_stderr)
        self._loop.add_reader(self._pidfd, self._reap)

    def _read_stderr(self) -> None:
        while True:
            try:
                data = os.read(self._stderr, 65536)
            except BlockingIOError:
                return
            if not data:
                self._close_stderr()
                return
            room = _KEEP // 2 - len(self._head)
            self._head += data[:room]
            self._tail += data[room:]
            if len(self._tail) > _KEEP // 2:
                self._dropped += len(self._tail) - _KEEP // 2
                self._tail = self._tail[-_KEEP // 2 :]

    def _close_stderr(self) -> None:
        if self._stderr >= 0:
            self._loop.remove_reader(self._stderr)
            os.close(self._stderr)
            self._stderr = -1

    def _reap(self) -> None:
        returncode = self._process.poll()
        if returncode is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        if self._stderr >= 0:
            self._read_stderr()  # its last message
            self._close_stderr()
        self.returncode = returncode
        self.scheduling.close()
        if not self.exited.done():
            self.exited.set_result(returncode)

    @property
    def stderr(self) -> str:
        """What the process wrote to its standard output and error; of a flood, the beginning and the end."""
        gap = f"\n[… {self._dropped} bytes dropped …]\n".encode() if self._dropped else b""
        return (self._head + gap + self._tail).decode("utf-8", "replace")

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.returncode is None

    def kill(self) -> None:
        """Send SIGKILL; `exited` is done when it is gone. Harmless on a process that has ended."""
        if self._pidfd >= 0:
            self.killed = True
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass

    async def end(self, patience: float = 0) -> int:
        """Kill it, after up to `patience` seconds in which it may exit, and wait until it is reaped; returns its return
        code."""
        if patience:
            await asyncio.wait({self.exited}, timeout=patience)
        self.kill()
        return await asyncio.shield(self.exited)


def _guarded() -> list[str]:
    """The words before the program that make it end with this process.

    setpriv requests SIGKILL from the kernel when the forking thread ends. The parent may have ended before that, so the
    shell then checks its parent's pid, and continues only if it is unchanged. Both only exec: the pid stays the same.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise QemuNotFound("setpriv", "It ends QEMU when Trapgate ends. Install util-linux (2.33 or later).")
    check = 'test "$PPID" -eq "$0" && exec "$@"'
    return [setpriv, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", check, str(os.getpid())]
