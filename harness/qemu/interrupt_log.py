"""QEMU's own log of the interrupts and exceptions that its processors take (`-d int`), read through a pipe.

The format is that of QEMU's `do_interrupt_all` (target/i386/tcg/seg_helper.c): one line for each delivery that begins,
followed by a dump of the processor's registers, of which TR identifies the processor. Only TCG has it.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass

from harness.qemu.errors import DumpError

__all__ = ["Delivery", "InterruptLog", "LogParser"]

_WHAT = "the interrupt log"
_LIMIT = 100_000
"""Deliveries of one run that are kept."""
_LINE = 4096
"""Bytes of a line that are read: far more than a line has."""
_HEAD = re.compile(
    rb" {0,6}(\d{1,10}): v=([0-9a-f]{2}) e=([0-9a-f]{4,8}) i=([01]) cpl=([0-3])"
    rb" IP=([0-9a-f]{4}):([0-9a-f]{8,16}) pc=[0-9a-f]{8,16} SP=([0-9a-f]{4}):([0-9a-f]{8,16})"
    rb"(?: CR2=([0-9a-f]{8,16})| env->regs\[R_EAX\]=[0-9a-f]{8,16})"
)
_BEGINS = re.compile(rb" {0,6}\d{1,10}: v=")
_TR = re.compile(rb"TR =([0-9a-f]{4}) ")


@dataclass(frozen=True)
class Delivery:
    """One delivery that QEMU began. It may have failed: then the exception that came of it is the next one."""

    number: int  # counts all of this QEMU process
    vector: int
    error_code: int  # 0 where there is none
    software: bool  # by INT n, INT3 or INTO, whose address `rip` is
    cpl: int
    cs: int
    rip: int
    ss: int
    rsp: int
    cr2: int | None
    tr: int  # the task register's selector


class LogParser:
    """Reads the log as it comes, in time that grows with its length alone."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.total = 0
        self.problem = ""  # the first line that is not understood
        self._rest = b""
        self._head: tuple[bytes, re.Match[bytes]] | None = None

    def feed(self, data: bytes) -> None:
        """Add what came in."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[-_LINE:]
        for line in lines:
            self._line(line[:_LINE])

    def _line(self, line: bytes) -> None:
        if _BEGINS.match(line):
            match = _HEAD.fullmatch(line)
            if match is None or self._head is not None:
                self.problem = self.problem or line.decode("latin-1")
            self._head = (line, match) if match is not None else None
        elif self._head is not None and (found := _TR.match(line)):
            self._add(self._head[1], int(found[1], 16))
            self._head = None

    def _add(self, match: re.Match[bytes], tr: int) -> None:
        self.total += 1
        if len(self.deliveries) >= _LIMIT:
            return
        number, vector, error, software, cpl, cs, rip, ss, rsp, cr2 = match.groups()
        self.deliveries.append(
            Delivery(
                int(number), int(vector, 16), int(error, 16), software == b"1", int(cpl), int(cs, 16), int(rip, 16),
                int(ss, 16), int(rsp, 16), int(cr2, 16) if cr2 is not None else None, tr,
            )
        )  # fmt: skip

    def complete(self) -> tuple[Delivery, ...]:
        """All deliveries, in order. Raises DumpError where a line was not understood, or one is missing."""
        if self.problem or self._head is not None:
            line = self.problem or (self._head[0].decode("latin-1") if self._head is not None else "")
            raise DumpError(_WHAT, line, "", "N: v=… e=… i=… cpl=… IP=… pc=… SP=…, then the registers with TR")
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
        """Read from now on whatever comes, so that QEMU never waits for long."""
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
        """A new run begins: forget what the last one left. The guest must be stopped."""
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
