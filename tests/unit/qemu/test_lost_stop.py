"""A QEMU whose main loop sleeps on although its guest has asked for the stop: a command wakes it."""

from __future__ import annotations

import asyncio
import os
from typing import Any, cast

import pytest

from harness.qemu.monitor import Monitor
from harness.qemu.scheduling import Allowance, Scheduling
from harness.qemu.stop import Stop, StopKind


class Sleeping:
    """In place of a monitor: the STOP event comes with the answer to a command only."""

    def __init__(self, answers: bool) -> None:
        self.commands: list[str] = []
        self.stopped: asyncio.Future[Stop | None] = asyncio.get_running_loop().create_future()
        self.answers = answers

    async def execute(self, command: str) -> Any:
        self.commands.append(command)
        if self.answers:
            self.stopped.set_result(Stop(StopKind.SIGNAL))
        else:
            await asyncio.sleep(3600)


def wait(answers: bool, busy: bool = False) -> tuple[bool, list[str]]:
    async def run() -> tuple[bool, list[str]]:
        monitor = Sleeping(answers)
        scheduling = Scheduling(os.getpid())
        if busy:
            scheduling.watch_threads()
            ticks = iter(range(10**6))
            scheduling.times = lambda: {1: (next(ticks) * 10**8, 0)}  # type: ignore[method-assign]
        allowance = Allowance(scheduling, 0.6)
        return await Monitor._wait_stopped(cast(Monitor, monitor), monitor.stopped, allowance), monitor.commands

    return asyncio.run(run())


def test_a_command_wakes_it() -> None:
    assert wait(answers=True) == (True, ["query-status"])


def test_one_command_at_a_time() -> None:
    assert wait(answers=False) == (False, ["query-status"])


@pytest.mark.parametrize("answers", [True, False])
def test_a_qemu_that_works_is_left_alone(answers: bool) -> None:
    assert wait(answers, busy=True) == (False, [])
