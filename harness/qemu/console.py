"""COM1: a bounded log of the guest's output, and a pexpect spawn to read it and to send to the guest."""

from __future__ import annotations

import asyncio
import socket
import threading

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from harness.qemu.engine import engine
from harness.qemu.errors import QemuError
from harness.qemu.monitor import Monitor
from harness.qemu.printout import Printout

__all__ = ["Console", "ConsoleLog", "SerialSpawn"]

_HEAD = 256 * 1024
_TAIL = 1024 * 1024
_EXPECT_LIMIT = 16 * 1024 * 1024  # bytes of one run that `expect` reads
_POLL = 0.002  # seconds between two reads of the file of a running guest: a file has no notification


class ConsoleLog:
    """The bytes of one run: all of them up to a bound, then the first and the last. Safe between threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.total = 0
        self.closed = False
        self._head = bytearray()
        self._tail = bytearray()

    def append(self, data: bytes) -> None:
        """Add what came in."""
        with self.changed:
            self.total += len(data)
            room = _HEAD - len(self._head)
            self._head += data[:room]
            self._tail += data[room:]
            if len(self._tail) > 2 * _TAIL:
                del self._tail[: len(self._tail) - _TAIL]
            self.changed.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    @property
    def dropped(self) -> int:
        """How many bytes in the middle are lost."""
        return self.total - len(self._head) - min(len(self._tail), _TAIL)

    def content(self) -> bytes:
        """The bytes of the log, with a line in place of those that were dropped."""
        with self.changed:
            gap = f"\n[... {self.dropped} bytes dropped ...]\n".encode() if self.dropped else b""
            return bytes(self._head) + gap + bytes(self._tail[-_TAIL:])

    def read(self, position: int, size: int) -> tuple[int, bytes]:
        """Up to `size` bytes from `position` on, and the position after them; skips what is lost."""
        with self.changed:
            if position < len(self._head):
                data = bytes(self._head[position : position + size])
                return position + len(data), data
            first = self.total - len(self._tail)
            position = max(position, first)
            data = bytes(self._tail[position - first : position - first + size])
            return position + len(data), data


class Console:
    """COM1 of one machine: over a socket where it is interactive, into a file in memory where not."""

    def __init__(self, com1: socket.socket | Printout, monitor: Monitor) -> None:
        """Belongs to the engine's thread, as do all methods but `spawn`."""
        self._connection = com1 if isinstance(com1, socket.socket) else None
        self._printout = com1 if isinstance(com1, Printout) else None
        self.monitor = monitor
        self.log = ConsoleLog()
        self._spawn: SerialSpawn | None = None
        self._loop = asyncio.get_running_loop()
        if self._connection is not None:
            self._loop.add_reader(self._connection, self._receive)

    @property
    def interactive(self) -> bool:
        """Whether one can write to it."""
        return self._printout is None

    def _receive(self) -> None:
        if self._connection is None:
            return
        while True:
            try:
                data = self._connection.recv(1 << 18)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._connection)
                self.log.close()
                return
            self.log.append(data)
            if len(data) < 1 << 18:
                return  # a flood must not block the event loop

    def pull(self) -> None:
        """Bring the log up to date."""
        if self.log.closed:
            return
        if self._printout is None:
            self._receive()
        elif (length := self._printout.length) > self.log.total:
            self.log.append(self._printout.read(self.log.total, length))

    def output(self) -> bytes:
        """The log, up to date."""
        self.pull()
        return self.log.content() + (b"\n[... the rest was dropped ...]\n" if self.overflowed else b"")

    @property
    def overflowed(self) -> bool:
        """Whether the guest sent all that the file holds, so that QEMU dropped what came after."""
        return self._printout is not None and self.log.total >= Printout.SIZE

    def restart(self) -> None:
        """Begin the log of a new run: drop unread bytes of the last one."""
        if self._printout is None:
            self.pull()
        else:
            self._printout.rewind()
        closed = self.log.closed
        self.log.close()
        self.log = ConsoleLog()
        self.log.closed = closed
        self._spawn = None

    async def send(self, data: bytes, timeout: float) -> None:
        """Write to the guest; raises QemuError where COM1 is not interactive or the guest takes nothing in time."""
        if self._connection is None:
            raise QemuError(
                "COM1 of this machine can only be read: launch it with an interactive COM1 to send to the guest"
            )
        try:
            async with asyncio.timeout(timeout):
                await self._loop.sock_sendall(self._connection, data)
        except TimeoutError:
            raise QemuError(f"the guest read nothing from COM1 within {timeout:g} s") from None

    def close(self) -> None:
        """Stop listening."""
        self.pull()
        if self._connection is not None and not self.log.closed:
            self._loop.remove_reader(self._connection)
        self._connection = None
        self.log.close()

    @property
    def spawn(self) -> SerialSpawn:
        """The pexpect spawn of this run."""
        if self._spawn is None:
            self._spawn = SerialSpawn(self, self.log)
        return self._spawn


class SerialSpawn(SpawnBase):  # type: ignore[misc]  # pexpect has no types
    """COM1 as a pexpect object, in bytes: `expect`, `expect_exact`, `send`, `sendline`, `before`, `after` ...

    EOF is raised where nothing more can come: the guest is stopped or gone, and all its output has been read. It may
    send more after `resume`.
    """

    def __init__(self, console: Console, log: ConsoleLog) -> None:
        super().__init__(timeout=10, maxread=65536)
        self.delayafterread = None
        self.delaybeforesend = None
        self.linesep = b"\n"
        self.closed = False
        self.name = "<COM1>"
        self._console = console
        self._serial_log = log
        self._position = 0

    def isalive(self) -> bool:
        """Whether QEMU still runs."""
        return self._console.monitor.process.alive

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        """Up to `size` bytes; waits `timeout` seconds for the first (-1: the spawn's own, `None`: without end)."""
        if timeout == -1:
            timeout = self.timeout
        console, log = self._console, self._serial_log
        if self._position > _EXPECT_LIMIT:
            raise EOF(f"the guest has sent more than {_EXPECT_LIMIT >> 20} MiB to COM1; expect() reads no further")
        waited = 0.0
        while True:
            # In this order: all that it sent before it stopped is then in the log.
            over = not console.monitor.running
            if log is console.log:
                engine().run(_pulled(console))
            self._position, data = log.read(self._position, size)
            if data:
                self._log(data, "read")
                return data
            if over or log.closed:
                self.flag_eof = True
                raise EOF("the guest is stopped and has sent no more")
            if timeout is not None and waited >= timeout:
                raise TIMEOUT("Timeout exceeded.")
            step = 0.05 if console.interactive else _POLL
            with log.changed:
                log.changed.wait_for(lambda: log.total > self._position or log.closed, step)
            waited += step

    def send(self, s: str | bytes) -> int:
        """Send to the guest; returns the number of bytes."""
        data: bytes = self._coerce_send_string(s)
        self._log(data, "send")
        engine().run(self._console.send(data, self.timeout if self.timeout is not None else 10))
        return len(data)

    def sendline(self, s: str | bytes = b"") -> int:
        """Send a line; returns the number of bytes."""
        data: bytes = self._coerce_send_string(s)
        return self.send(data + self.linesep)

    def write(self, s: str | bytes) -> None:
        """Send, as a file."""
        self.send(s)

    def close(self) -> None:
        """Do nothing: the console ends with its machine."""


async def _pulled(console: Console) -> None:
    console.pull()
