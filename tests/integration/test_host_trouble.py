"""What the host does to QEMU is never the guest's fault: signals and stops, in every phase of a run."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.probes.loader import load_probes
from harness.probes.probe import Case
from harness.qemu import scheduling
from harness.qemu.machine import Machine
from harness.qemu.monitor import Monitor
from harness.qemu.printout import Printout
from harness.qemu.scheduling import Deprivation
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

DATA = Path(__file__).parents[1] / "data"
FROM_OUTSIDE = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
FAULTS = [signal.SIGSEGV, signal.SIGABRT]


def cases_of(folder: str) -> dict[str, Case]:
    return {case.id.partition("::")[2]: case for probe in load_probes([DATA / folder]) for case in probe.cases()}


@pytest.fixture(scope="module")
def guests() -> dict[str, Case]:
    return cases_of("bad_luck") | cases_of("signals")


@pytest.fixture
def warm() -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        yield executor


@pytest.fixture
def real_time() -> Iterator[Executor]:
    with Executor(target("q35-tcg-rt"), RunOptions(cold=False)) as executor:
        yield executor


def send(pid: int, number: int) -> None:
    """Send a signal, and wait until the process has stopped or ended."""
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)  # its threads stop one after the other
        else:
            assert select.select([pidfd], [], [], 30)[0], "it went on"
    finally:
        os.close(pidfd)


def machine_of(executor: Executor) -> Machine:
    (machine,) = executor._pool._idle.values()
    return machine


def once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, do: Callable[[Machine], None]) -> list[int]:
    """Have `do` happen just before the first call of a method of the machine or of its monitor."""
    done: list[int] = []
    original: Callable[..., Any] = getattr(owner, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(1)
            do(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, method)
    return done


@pytest.mark.parametrize("number", [*FROM_OUTSIDE, *FAULTS], ids=lambda number: number.name)
def test_a_machine_that_ends_while_idle_is_replaced_without_a_word(
    warm: Executor, guests: dict[str, Case], number: int
) -> None:
    for _ in range(2):
        assert warm.run(guests["passes_at_once"]).verdict is Verdict.PASS
        send(machine_of(warm).pid, number)
        record = warm.run(guests["passes_at_once"])
        assert (record.verdict, record.reason, record.attempts) == (Verdict.PASS, "", 1)


@pytest.mark.parametrize("number", [*FROM_OUTSIDE, *FAULTS], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", ["clear", "run_once"])
def test_so_is_one_that_ends_after_it_was_lent(
    warm: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: int, phase: str
) -> None:
    warm.run(guests["passes_at_once"])
    done = once(monkeypatch, Machine, phase, lambda machine: send(machine.pid, number))
    record = warm.run(guests["fails_at_once"])
    assert done
    assert (record.verdict, record.attempts) == (Verdict.FAIL, 1)


@pytest.mark.parametrize("number", [*FROM_OUTSIDE, *FAULTS], ids=lambda number: number.name)
def test_so_is_one_that_ends_just_before_its_guest_would_run(
    warm: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    warm.run(guests["passes_at_once"])
    pid = machine_of(warm).pid

    def end(monitor: Any) -> None:
        assert monitor.process.pid == pid
        send(pid, number)

    done = once(monkeypatch, Monitor, "resume", end)
    record = warm.run(guests["passes_at_once"])
    assert done
    assert (record.verdict, record.reason, record.attempts) == (Verdict.PASS, "", 1)


def test_a_machine_that_is_stopped_while_idle_is_replaced(warm: Executor, guests: dict[str, Case]) -> None:
    warm.run(guests["passes_at_once"])
    send(machine_of(warm).pid, signal.SIGSTOP)
    record = warm.run(guests["passes_at_once"])
    assert (record.verdict, record.attempts) == (Verdict.PASS, 1)


@pytest.mark.parametrize("number", FROM_OUTSIDE, ids=lambda number: number.name)
@pytest.mark.parametrize("phase", ["clear", "run_once", "stop_evidence", "lapic", "registers"])
@pytest.mark.parametrize("name", ["reads_controllers", "fails_at_once"])
def test_a_signal_from_outside_is_followed_by_one_more_start(
    guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: int, phase: str, name: str
) -> None:
    """Staged, about to run, or while dumps are taken: the verdict is the guest's all the same."""
    done = once(monkeypatch, Machine, phase, lambda machine: send(machine.pid, number))
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests[name])
    assert done
    assert record.verdict is (Verdict.FAIL if name == "fails_at_once" else Verdict.PASS), record.reason
    assert record.attempts <= 2


@pytest.mark.parametrize("number", FROM_OUTSIDE, ids=lambda number: number.name)
def test_while_the_guest_runs_too(guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def later(machine: Machine) -> None:
        threading.Timer(0.2, os.kill, (machine.pid, number)).start()

    done = once(monkeypatch, Machine, "run_once", later)
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert done
    assert (record.verdict, record.attempts) == (Verdict.FAIL, 2)
    assert "no sign for 1 s" in record.reason


@pytest.mark.parametrize("number", FROM_OUTSIDE, ids=lambda number: number.name)
def test_twice_is_an_error_that_names_the_signal(
    guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    original = Machine.run_once

    def run_once(self: Machine, *args: Any, **kwargs: Any) -> Any:
        threading.Timer(0.2, os.kill, (self.pid, number)).start()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Machine, "run_once", run_once)
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert (record.verdict, record.attempts) == (Verdict.ERROR, 2)
    assert "during the run" in record.reason
    assert number.name in record.reason or f"terminating on signal {int(number)}" in record.reason


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: number.name)
def test_a_crash_while_the_guest_runs_is_an_error_at_once(
    guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def later(machine: Machine) -> None:
        threading.Timer(0.2, os.kill, (machine.pid, number)).start()

    once(monkeypatch, Machine, "run_once", later)
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert (record.verdict, record.attempts) == (Verdict.ERROR, 1)
    assert record.reason == f"QEMU was ended by {number.name} during the run"


# ---- stopped, and not run ----


def stop_for(seconds: float) -> Callable[[Machine], None]:
    """Stop QEMU a moment after its guest has begun to run, for so long."""

    def start(machine: Machine) -> None:
        def work() -> None:
            time.sleep(0.1)
            os.kill(machine.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(machine.pid, signal.SIGCONT)

        threading.Thread(target=work).start()

    return start


def test_a_stop_that_is_longer_than_the_watchdog_changes_nothing_in_virtual_time(
    warm: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = once(monkeypatch, Machine, "run_once", stop_for(3))
    record = warm.run(guests["passes_after_half_a_second"])
    assert done
    assert record.verdict is Verdict.PASS, record.reason
    assert record.ms > 3000, "it was stopped in the middle of the run"


@pytest.mark.parametrize("name", ["passes_after_half_a_second", "fails_after_half_a_second"])
def test_a_stop_in_real_time_is_an_error_with_that_reason(
    real_time: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    done = once(monkeypatch, Machine, "run_once", stop_for(1))
    record = real_time.run(guests[name])
    assert done
    assert record.verdict is Verdict.ERROR
    assert record.reason.startswith("QEMU was stopped (SIGSTOP, or a debugger) while its guest ran in real time")
    assert record.attempts == 1
    after = real_time.run(guests[name])
    assert "stopped" not in after.reason, "the next run is its own"


def test_a_machine_that_stays_stopped_is_an_error_with_that_reason(
    guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "GRACE_S", 0.5)
    once(
        monkeypatch,
        Machine,
        "run_once",
        lambda machine: threading.Timer(0.2, send, (machine.pid, signal.SIGSTOP)).start(),
    )
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert record.verdict is Verdict.ERROR
    assert record.reason.startswith("the host did not let QEMU run, so nothing follows from the guest's silence: ")
    assert "it was stopped (SIGSTOP, or a debugger)" in record.reason


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        (Deprivation(waiting_ms=50), "the host did not run QEMU for 50 ms while its guest ran in real time"),
        (Deprivation(suspended_ms=4000), "the host was suspended for 4 s while its guest ran in real time"),
    ],
)
def test_a_fail_in_real_time_is_an_error_where_the_host_did_not_run_qemu(
    real_time: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, denied: Deprivation, words: str
) -> None:
    monkeypatch.setattr(Machine, "deprivation", denied)
    record = real_time.run(guests["fails_at_once"])
    assert record.verdict is Verdict.ERROR
    assert record.reason.startswith(words)
    assert "fail assert [0x50] == [0x51]" in record.reason
    passed = real_time.run(guests["passes_at_once"]).verdict
    assert passed is (Verdict.ERROR if denied.whole else Verdict.PASS)


def test_a_pass_in_real_time_is_an_error_where_the_timers_did_not_run_as_long_as_the_guest_was_quiet(
    real_time: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "deprivation", Deprivation(waiting_ms=11, timers_ms=11))
    record = real_time.run(guests["passes_with_a_timer"])
    assert record.verdict is Verdict.ERROR
    assert record.reason.startswith("the host did not run QEMU's timers for 11 ms, and the guest was quiet for 10 ms")
    assert real_time.run(guests["passes_at_once"]).verdict is Verdict.PASS  # it waits for nothing
    monkeypatch.setattr(Machine, "deprivation", Deprivation(waiting_ms=11, timers_ms=9))
    assert real_time.run(guests["passes_with_a_timer"]).verdict is Verdict.PASS


def test_the_wait_of_the_thread_with_the_timers_is_counted_separately(
    real_time: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_time.run(guests["passes_at_once"])
    watched = machine_of(real_time)._monitor.process.scheduling
    times = watched.times
    extra = {"main": 0, "other": 0}

    def later() -> dict[int, tuple[int, int]]:
        found = times()
        return {
            thread: (ran, waited + extra["main" if thread == watched._pid else "other"])
            for thread, (ran, waited) in found.items()
        }

    monkeypatch.setattr(watched, "times", later)
    watched.clear()
    watched.begin()
    extra["main"], extra["other"] = 10**12, 10**13
    denied = watched.so_far()
    assert 1e6 <= denied.timers_ms < 2e6
    assert denied.waiting_ms >= 1e7


def test_not_so_in_virtual_time(warm: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "deprivation", Deprivation(True, 5000, 5000))
    assert warm.run(guests["fails_at_once"]).verdict is Verdict.FAIL
    assert warm.run(guests["passes_at_once"]).verdict is Verdict.PASS


# ---- what is the guest's own doing ----


@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("suspends", "the guest suspended the machine (ACPI S3); processor 0 "),
        ("suspends_to_disk", "the guest suspended the machine to disk (ACPI S4); processor 0 "),
        ("forges_a_checkpoint[number0]", "the guest signalled checkpoint 0; the program has 1: it wrote over"),
        ("forges_a_checkpoint[number2]", "the guest signalled checkpoint 2; the program has 1: it wrote over"),
        ("forges_a_checkpoint[number0xffffffff]", "the guest signalled checkpoint 4294967295; the program has 1"),
    ],
)  # fmt: skip
def test_each_has_its_own_words(guests: dict[str, Case], name: str, words: str, cold: bool) -> None:
    with Executor(target("q35-tcg"), RunOptions(cold=cold)) as executor:
        record = executor.run(guests[name])
        assert record.verdict is Verdict.FAIL
        assert record.reason.startswith(words)
        assert executor.run(guests["passes_at_once"]).verdict is Verdict.PASS


def test_a_flood_that_loses_the_report_is_reported(guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Printout, "SIZE", 8192)
    with Executor(target("q35-tcg")) as executor:
        record: RunRecord = executor.run(guests["says_much"])
        assert record.verdict is Verdict.FAIL
        assert record.reason.startswith("the guest sent more than 8,192 bytes to COM1, the limit of one run")
        assert executor.run(guests["passes_at_once"]).verdict is Verdict.PASS


def test_whatever_the_harness_raises_is_an_error_of_that_run(
    warm: Executor, guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Machine, **_: object) -> None:
        raise LookupError("odd")

    monkeypatch.setattr(Machine, "clear", fail)
    record = warm.run(guests["passes_at_once"])
    assert (record.verdict, record.reason) == (Verdict.ERROR, "the harness raised LookupError: odd")
    monkeypatch.undo()
    assert warm.run(guests["passes_at_once"]).verdict is Verdict.PASS
