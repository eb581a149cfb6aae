"""Measures whether the host let a QEMU process run, by Linux's /proc, waitid(2) and clocks.

The silence or delay of a guest is a failure only if its QEMU had a processor. All methods belong to one
thread at a time; none blocks, and each reading costs about one microsecond a thread of QEMU.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["GRACE_S", "Allowance", "Deprivation", "Scheduling"]

GRACE_S = 30.0
"""Seconds by which a wait is extended, at most, while the host does not run QEMU."""

_SLICE_S = 0.25  # of a longer wait: the most that is counted of a time in which this process did not run
_STAT = Path("/proc/stat")
_STEAL = 8  # the column, with the processor's name as column 0
_TICK_MS = 1e3 / os.sysconf("SC_CLK_TCK")
_IDLE_S = 0.001  # of processor time in a step of a wait: QEMU has done nothing
_THREADS = 16  # whose times are read: each costs a descriptor


@dataclass(frozen=True)
class Deprivation:
    """How the host delayed QEMU while its guest ran. Times in milliseconds."""

    stopped: bool = False  # by a signal or a debugger, for a while or still
    waiting_ms: float = 0.0  # of the thread that waited longest for a processor, summed up
    suspended_ms: float = 0.0  # the whole host was suspended
    timers_ms: float = 0.0  # of `waiting_ms`, those of the thread in which the timers of QEMU's devices expire
    stolen_ms: float = 0.0  # of one processor by the hypervisor, where this host is a virtual machine

    @property
    def whole(self) -> bool:
        """Whether all of QEMU was stopped while real time went on."""
        return self.stopped or self.suspended_ms >= 1

    def __str__(self) -> str:
        if self.stopped:
            return "QEMU was stopped (SIGSTOP, or a debugger)"
        if self.suspended_ms >= 1:
            return f"the host was suspended for {self.suspended_ms / 1e3:.3g} s"
        if self.stolen_ms > self.waiting_ms:
            return f"the hypervisor of this host took a processor from it for {self.stolen_ms:.3g} ms (steal time)"
        return f"the host did not run QEMU for {self.waiting_ms:.3g} ms"


class Scheduling:
    """Stops and delays of one child process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files: dict[int, int] = {}  # thread → descriptor of its schedstat
        self._start: dict[int, int] = {}
        self.counts_steal = False  # reading it costs 50 microseconds: only where the guest runs in real time
        self._asleep = 0.0
        self._stolen: list[float] = []
        self._total = Deprivation()
        self._counting = False
        self._seen_stopped = False

    def watch_threads(self) -> None:
        """Read the times of the threads that the process has now. Without descriptors, or /proc, of none."""
        try:
            for thread in sorted(map(int, os.listdir(f"/proc/{self._pid}/task")))[:_THREADS]:  # noqa: PTH208
                if thread not in self._files:
                    path = f"/proc/{self._pid}/task/{thread}/schedstat"
                    self._files[thread] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    # ---- now ----

    @property
    def stopped(self) -> bool:
        """Whether the process is stopped by a signal now."""
        return self._wait(os.WSTOPPED | os.WNOWAIT)

    @property
    def fit(self) -> bool:
        """Whether the process has neither ended nor is stopped, according to the kernel now."""
        return not self._wait(os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _wait(self, what: int) -> bool:
        try:
            return os.waitid(os.P_PID, self._pid, what | os.WNOHANG) is not None
        except ChildProcessError:
            return what & os.WEXITED != 0  # it has been reaped

    def stopped_lately(self) -> bool:
        """Whether the process is stopped, or was since this was called last."""
        # The kernel keeps one note that a child was continued, until it is read.
        lately = self._wait(os.WCONTINUED) or self.stopped
        self._seen_stopped |= lately
        return lately

    def states(self) -> dict[int, str]:
        """The state of each thread, by the letters of proc(5): R, S, D, T, t."""
        found = {}
        for path in Path(f"/proc/{self._pid}/task").glob("*/stat"):
            try:
                found[int(path.parent.name)] = path.read_text().rpartition(") ")[2][:1]
            except OSError:
                continue  # a thread that has ended
        return found

    def times(self) -> dict[int, tuple[int, int]]:
        """For each thread the nanoseconds that it ran, and that it waited for a processor (schedstat)."""
        found = {}
        for thread, descriptor in self._files.items():
            try:
                ran, waited, _ = os.pread(descriptor, 96, 0).split()
            except (OSError, ValueError):
                continue
            found[thread] = int(ran), int(waited)
        return found

    # ---- over the time in which the guest runs ----

    def clear(self) -> None:
        """Drop the values of the last run."""
        self._total = Deprivation()
        self._counting = False

    def begin(self) -> None:
        """The guest is about to run."""
        self.stopped_lately()
        self._seen_stopped = False  # it had no effect before
        self._asleep = _asleep()
        self._stolen = stolen_ms() if self.counts_steal else []
        self._start = {thread: waited for thread, (_, waited) in self.times().items()}
        self._counting = True

    def end(self) -> None:
        """The guest has stopped."""
        if self._counting:
            self._total = self.so_far()
            self._counting = False

    def so_far(self) -> Deprivation:
        """The delays since `clear`, while the guest ran."""
        if not self._counting:
            return self._total
        start = self._start
        waits = {thread: waited - start[thread] for thread, (_, waited) in self.times().items() if thread in start}
        self.stopped_lately()
        return Deprivation(
            self._seen_stopped or self._total.stopped,
            self._total.waiting_ms + max(waits.values(), default=0) / 1e6,
            self._total.suspended_ms + (_asleep() - self._asleep) * 1e3,
            self._total.timers_ms + waits.get(self._pid, 0) / 1e6,  # the main thread's id is the process's
            self._total.stolen_ms + (most_stolen(self._stolen, stolen_ms()) if self.counts_steal else 0.0),
        )


def stolen_ms() -> list[float]:
    """For each processor of this host the milliseconds that its hypervisor gave to others (proc_stat(5), steal).

    The kernel counts ticks of 10 ms. A list without entries where /proc/stat cannot be read.
    """
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[_STEAL]) * _TICK_MS for line in lines if line.startswith("cpu") and line[3] != " "]


def most_stolen(before: list[float], now: list[float]) -> float:
    """Milliseconds that the processor that lost most has lost since `before`; 0 where processors came or went."""
    if len(now) != len(before):
        return 0.0
    return max((later - earlier for earlier, later in zip(before, now, strict=True)), default=0.0)


def _asleep() -> float:
    """Seconds for which the host has been suspended since it was started."""
    while True:  # where this thread waited for a processor between two readings, they are of different times
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - before
        if time.clock_gettime(time.CLOCK_MONOTONIC) - before < 0.0005:
            return asleep


class Allowance:
    """A deadline for QEMU: seconds that count only while the host runs QEMU and this process. While the host does not,
    the wait lasts for up to twice the time and `GRACE_S` seconds. All waits for QEMU use it.
    """

    def __init__(self, scheduling: Scheduling, seconds: float) -> None:
        self.seconds = seconds
        self.used = 0.0  # of the seconds

        self.ran = 0.0  # seconds of processor time that all threads of QEMU took meanwhile
        self.deprivation = Deprivation()
        self._waited = 0.0
        self._scheduling = scheduling
        self._last = time.monotonic()
        self._times = scheduling.times()
        self._stolen: list[float] = []  # read from the second slice on: most waits end before

    @property
    def step(self) -> float:
        """Seconds to wait before the next `count`."""
        return min(_SLICE_S, max(self.seconds - self.used, 0.001))

    def count(self) -> bool:
        """Count the time since the last call; returns whether some of the allowance is left."""
        step = self.step
        now = time.monotonic()
        passed, self._last = now - self._last, now
        lost = self._lost(passed)
        # A time in which this process did not run counts as one step: messages of QEMU may be unread.
        self._waited += min(passed, 4 * step)
        self.used += max(min(passed, step) * (1 - lost / passed) if passed else 0.0, 0.0)
        return self.used < self.seconds - 1e-6 and not self.exhausted

    def denied(self) -> str:
        """The delay by the host, as the end of a sentence about what QEMU did not do."""
        if self.deprivation.stopped:
            return f"within {self._waited:.3g} s, in which it was stopped (SIGSTOP, or a debugger)"
        lost = self.deprivation.waiting_ms / 1e3
        return f"within {self._waited:.3g} s, in {lost:.3g} s of which the host did not run it"

    @property
    def exhausted(self) -> bool:
        """Whether the longest wait for a host that does not run QEMU is over."""
        return self._waited > 2 * self.seconds + GRACE_S

    def _lost(self, passed: float) -> float:
        """Seconds of the last `passed` in which the host did not let QEMU run."""
        before, times = self._times, self._scheduling.times()
        self._times = times
        states = self._scheduling.states()
        if self._scheduling.stopped_lately() or {"T", "t"} & set(states.values()):
            self.deprivation = Deprivation(True, self.deprivation.waiting_ms)
            return passed
        lost = 0.0
        for thread, (ran, waited) in times.items():
            ran_before, waited_before = before.get(thread, (ran, waited))
            self.ran += (ran - ran_before) / 1e9
            lost = max(lost, (waited - waited_before) / 1e9)
            if states.get(thread) == "R":  # a wait that has not ended yet is not in its times
                lost = max(lost, passed - (ran - ran_before) / 1e9)
        before_steal, self._stolen = self._stolen, stolen_ms()
        lost = min(max(lost, most_stolen(before_steal, self._stolen) / 1e3), passed)
        self.deprivation = Deprivation(self.deprivation.stopped, self.deprivation.waiting_ms + lost * 1e3)
        return lost

    async def wait(self, future: asyncio.Future[Any], idle: Callable[[], object] | None = None) -> bool:
        """Wait for `future` while the allowance lasts; returns whether it is done.

        `idle` is called after each step in which QEMU has done nothing.
        """
        while not future.done():
            ran = self.ran
            await asyncio.wait({future}, timeout=self.step)
            if future.done() or not self.count():
                break
            if idle is not None and self.ran - ran < _IDLE_S:
                idle()
        return future.done()
