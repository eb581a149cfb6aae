"""What guests that go wrong, and hosts that lack something, get: the right verdict, in words, and no leftovers."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.probes.loader import load_probes
from harness.probes.probe import Case
from harness.qemu.machine import Machine
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

GUESTS = Path(__file__).parents[1] / "data" / "bad_luck"


@pytest.fixture(scope="module")
def guests() -> dict[str, Case]:
    return {probe.name: probe.cases()[0] for probe in load_probes([GUESTS])}


@pytest.fixture(scope="module", params=["cold", "warm"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=request.param == "cold")) as made:
        yield made


def text_of(record: RunRecord) -> str:
    return record.reason + "\n" + "\n".join(section.text for section in record.detail.sections)


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("triple_fault", Verdict.FAIL, ["reset the machine", "triple fault", "broken"]),
        ("endless_loop", Verdict.FAIL, ["no sign for 1 s", "round_and_round", "guests.py:"]),
        (
            "sleeps_for_ever",
            Verdict.FAIL,
            ["halted with interrupts off (IF=0) at", "guests.py:40", "nothing can wake it"],
        ),
        ("unarmed_exception", Verdict.FAIL, ["unexpected #PF(0x2)", "CR2 = 0x7f0000001234", "guests.py:", "WR=1"]),
        ("powers_off", Verdict.FAIL, ["reset the machine", "CF9h"]),
        ("serial_flood", Verdict.FAIL, ["flood"]),
        ("serial_garbage", Verdict.PASS, []),
        ("serial_cut_off", Verdict.ERROR, ["witnesses disagree", "no report on the console"]),
        ("writes_over_its_recorder", Verdict.FAIL, ["never completed"]),
        ("overflow_counted", Verdict.PASS, []),
        ("overflow_in_order", Verdict.FAIL, ["the recorder overflowed: 9000 events"]),
        ("never_written", Verdict.FAIL, ["'seen_at' was never written"]),
        ("waits_in_vain", Verdict.FAIL, ["time-out: waited for vector 0x40", "0 came"]),
        ("left_at_checkpoint", Verdict.ERROR, ["call run.resume()"]),
        ("stray_signal", Verdict.FAIL, ["signalled while its status was RUNNING"]),
        ("fails_its_assertion", Verdict.FAIL, ["[0x80] == [0x81]"]),
    ],
)
def test_each_has_its_own_verdict_and_the_next_run_is_sound(
    executor: Executor, guests: dict[str, Case], name: str, verdict: Verdict, words: list[str]
) -> None:
    record = executor.run(guests[name])
    assert record.verdict is verdict, text_of(record)
    for word in words:
        assert word in text_of(record)
    after = executor.run(guests["well_behaved"])
    assert after.verdict is Verdict.PASS, text_of(after)
    assert record.attempts == 1


def test_a_reset_on_a_warm_machine_stays_a_fail_where_a_fresh_one_has_none(
    guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.execute.reads_clock", lambda texts: False)
    monkeypatch.setattr(
        "harness.run.leftovers.sticky_write", lambda texts, machine: None
    )  # as if CMOS were not known to survive
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as executor:
        assert executor.run(guests["resets_where_another_was"]).verdict is Verdict.PASS
        record = executor.run(guests["resets_where_another_was"])
        assert record.verdict is Verdict.FAIL
        assert record.reason == "the guest reset the machine (guest-reset) on a warm machine; on a fresh one: pass"
        assert executor.run(guests["resets_where_another_was"]).verdict is Verdict.PASS, "that machine is gone"


def test_a_flood_does_not_fill_the_host(guests: dict[str, Case]) -> None:
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["serial_flood"])
    assert sum(len(section.text) for section in record.detail.sections) < 20_000


def _kill_the_first(monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> list[int]:
    """Kill QEMU with a signal soon after it starts to run, in the first `times` launches."""
    killed: list[int] = []
    launch = Machine.launch.__func__  # type: ignore[attr-defined]

    def launch_and_kill(cls: type[Machine], /, *args: object, **kwargs: object) -> Machine:
        machine: Machine = launch(cls, *args, **kwargs)
        if len(killed) < times:
            killed.append(machine.pid)
            threading.Timer(0.2, os.kill, (machine.pid, number)).start()
        return machine

    monkeypatch.setattr(Machine, "launch", classmethod(launch_and_kill))
    return killed


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_from_outside_is_started_once_more(
    guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    killed = _kill_the_first(monkeypatch, number, 1)
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert len(killed) == 1
    assert record.attempts == 2
    assert record.verdict is Verdict.FAIL
    assert "no sign" in record.reason


def test_killed_twice_is_an_error(guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    _kill_the_first(monkeypatch, signal.SIGKILL, 2)
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert (record.verdict, record.attempts) == (Verdict.ERROR, 2)
    assert "SIGKILL" in record.reason


def test_any_other_death_is_an_error_at_once(guests: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    _kill_the_first(monkeypatch, signal.SIGSEGV, 1)
    with Executor(target("q35-tcg")) as executor:
        record = executor.run(guests["endless_loop"])
    assert (record.verdict, record.attempts) == (Verdict.ERROR, 1)
    assert "SIGSEGV" in record.reason


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-machine", "no-such-board"), "unsupported machine type"),
        (("-device", "no-such-device"), "not a valid device model name"),
        (("-no-such-option",), "invalid option"),
    ],
)
def test_the_error_of_a_qemu_that_does_not_start_has_its_message(
    guests: dict[str, Case], arguments: tuple[str, ...], said: str
) -> None:
    with Executor(target("q35-tcg"), RunOptions(qemu_args=arguments)) as executor:
        record = executor.run(guests["well_behaved"])
    assert record.verdict is Verdict.ERROR
    assert said in record.reason, "the reason itself includes the cause"
    assert "qemu-system-x86_64 -nodefaults" in text_of(record)
    assert arguments[-1] in text_of(record)


def test_the_error_of_a_missing_qemu_names_the_package(guests: dict[str, Case]) -> None:
    with Executor(replace(target("q35-tcg"), binary="/nowhere/qemu-system-x86_64")) as executor:
        record = executor.run(guests["well_behaved"])
    assert record.verdict is Verdict.ERROR
    assert "qemu-system-x86" in text_of(record)


def in_a_namespace(script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with mounts of its own."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare, to take something away from the host")
    command = ["unshare", "--mount", "sh", "-ec", script]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)


TRAPGATE = (
    f"{sys.executable} -c 'from harness.cli import main; main()' run --probes {GUESTS} well_behaved fails_its_assertion"
)


def test_kvm_that_is_no_kvm_is_unsupported(tmp_path: Path) -> None:
    script = f"mount -t tmpfs none /dev/shm; touch k; mount --bind k /dev/kvm; {TRAPGATE} -t q35-kvm --json r.json"
    ran = in_a_namespace(script, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "unsupported" in ran.stdout
    assert "/dev/kvm" in ran.stdout


def test_a_full_disk_costs_no_verdict(tmp_path: Path) -> None:
    fill = (
        "mkdir -p full; mount -t tmpfs -o size=4k none full; mount -t tmpfs -o size=4k none /dev/shm;"
        "head -c 4096 /dev/zero > full/x; head -c 4096 /dev/zero > /dev/shm/x; set +e;"
        f"TMPDIR=$PWD/full TRAPGATE_CACHE=$PWD/full/cache {TRAPGATE}"
    )
    ran = in_a_namespace(f"{fill}; echo code=$?", tmp_path)
    assert "1 pass, 1 fail" in ran.stdout, ran.stdout + ran.stderr
    assert "code=1" in ran.stdout
    refused = in_a_namespace(f"{fill} --json full/r.json; echo code=$?", tmp_path)
    assert "full/r.json: No space left on device" in refused.stderr
    assert "code=2" in refused.stdout, "a report that cannot be written is an error before the first boot"


def _shared_memory() -> set[str]:
    """What lies in /dev/shm, but for the semaphores that a parallel test run itself makes and unlinks."""
    return {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("sem.")}


def _wait_for_qemu(process: subprocess.Popen[bytes]) -> int:
    """The pid of the QEMU that a `trapgate run` has started, once its guest runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
            for pid in children.read_text().split():
                name = Path(f"/proc/{pid}/comm")
                if name.exists() and name.read_text().startswith("qemu-system"):
                    return int(pid)
        assert process.poll() is None, "it ended before a guest ran"
        select.select([], [], [], 0.01)
    raise AssertionError("no QEMU appeared within 30 s")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_outlives_the_command(tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-c", "from harness.cli import main; main()", "run", "--probes", str(GUESTS)]
    shared = _shared_memory()
    with subprocess.Popen([*command, "-k", "endless_loop"], cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        qemu = os.pidfd_open(_wait_for_qemu(process))
        process.send_signal(number)
        try:
            assert process.wait(timeout=30) == code
        finally:
            process.kill()
    gone, _, _ = select.select([qemu], [], [], 30)
    os.close(qemu)
    assert gone, "QEMU outlived the command"
    assert _shared_memory() == shared
    assert not any(tmp_path.iterdir())
