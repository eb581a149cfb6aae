"""QEMU's own log of the interrupts and exceptions that its processors take (`-d int`), read through a pipe.

One line for each delivery that begins (`harness.qemu.dumps.delivery_line`) is followed by a dump of the processor's
registers, of which TR identifies the processor.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass

from harness.qemu.dumps.delivery_line import FORMAT, DeliveryLine, begins_delivery, parse_delivery_line
from harness.qemu.errors import DumpError

__all__ = ["Delivery", "InterruptLog", "LogParser"]

_WHAT = "the interrupt log"
_LIMIT = 100_000
"""Deliveries of one run that are stored at most."""
_LINE = 4096
"""Bytes of a line that are read; a line is much shorter."""
_TR = re.compile(rb"TR =([0-9a-f]{4}) ")


@dataclass(frozen=True)
class Delivery(DeliveryLine):
    """One delivery, and the processor that it concerns."""

    tr: int  # the task register's selector


class LogParser:
    """Parses the log as it arrives, in time proportional to its length."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.total = 0
        self.problem = ""  # the first line that could not be parsed
        self._rest = b""
        self._head: DeliveryLine | None = None  # a delivery whose TR has not been read yet

    def feed(self, data: bytes) -> None:
        """Add what came in."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[-_LINE:]
        for line in lines:
            self._line(line[:_LINE])

    def _line(self, line: bytes) -> None:
        text = line.decode("latin-1")
        if begins_delivery(text):
            found = parse_delivery_line(text)
            if found is None or self._head is not None:
                self.problem = self.problem or text
            self._head = found
        elif self._head is not None and (match := _TR.match(line)):
            self.total += 1
            if len(self.deliveries) < _LIMIT:
                self.deliveries.append(Delivery(**vars(self._head), tr=int(match[1], 16)))
            self._head = None

    def complete(self) -> tuple[Delivery, ...]:
        """All deliveries, in order. Raises DumpError where a line could not be parsed, or one is missing."""
        if self.problem or self._head is not None:
            expected = f"{FORMAT}, then the registers with TR"
            cut_off = f"delivery {self._head.number}, without its registers" if self._head is not None else ""
            raise DumpError(_WHAT, self.problem or cut_off, "", expected)
        if self.total > _LIMIT:
            raise DumpError(_WHAT, "", "", f"at most {_LIMIT} deliveries in a run, there are {self.total}")
        for before, after in zip(self.deliveries, self.deliveries[1:], strict=False):
            if after.number != before.number + 1:
                raise DumpError(
                    _WHAT, "", "", f"delivery {before.number + 1} after {before.number}, not {after.number}"
                )
        return tuple(self.deliveries)


class InterruptLog:
    """The pipe that QEMU writes its log to. All methods but the constructor belong to the engine's thread."""

    def __init__(self) -> None:
        self._reader, self.descriptor = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.descriptor, True)
        self._parser = LogParser()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def path(self) -> str:
        """The path under which QEMU, which inherits the descriptor, opens it."""
        return f"/proc/self/fd/{self.descriptor}"

    def watch(self) -> None:
        """Read continuously from now on, so that QEMU never waits for long."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._reader, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self.unwatch()
                return
            self._parser.feed(data)

    def unwatch(self) -> None:
        """Stop reading."""
        if self._loop is not None:
            self._loop.remove_reader(self._reader)
            self._loop = None

    def restart(self) -> None:
        """A new run begins: drop the log of the last one. The guest must be stopped."""
        if self._loop is not None:
            self._read()
        self._parser = LogParser()

    def deliveries(self) -> tuple[Delivery, ...]:
        """What the processors took in this run. The guest must be stopped. Raises DumpError."""
        if self._loop is not None:
            self._read()
        return self._parser.complete()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reader)
        os.close(self.descriptor)
