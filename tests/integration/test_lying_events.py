"""From a guest whose honest verdict is fail, no lie about one QMP event makes a pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from harness.probes.loader import load_file
from harness.qemu.monitor import Monitor
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

PROBES = '''
from harness import Kernel, ProbeBody, probe

SPEC = "none: this guest tests the harness"


@probe(spec=SPEC)
def wrong_vector(k: Kernel) -> ProbeBody:
    """Vector 50h came; the probe expects 51h."""
    k.expect(0x50)
    k.int_n(0x50)
    run = yield
    assert run.vectors == [0x51]


@probe(spec=SPEC)
def triple_fault(k: Kernel) -> ProbeBody:
    """The guest resets the machine by a triple fault; it does not report it."""
    k.asm("lidt [nowhere]\\nud2\\nnowhere: .quad 0, 0")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def reset(k: Kernel) -> ProbeBody:
    """The guest resets the machine through port CF9h."""
    k.asm("mov dx, 0xCF9\\nmov al, 6\\nout dx, al\\ncli\\nhlt")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def power_off(k: Kernel) -> ProbeBody:
    """The guest powers the machine off through the ACPI PM1a control register."""
    for register, value in ((0x40, 0x601), (0x44, 0x80)):  # PMBASE 600h, ACPI_EN of the ICH9, device 31
        k.asm(f"mov dx, 0xCF8\\nmov eax, {0x8000F800 + register:#x}\\nout dx, eax")
        k.asm(f"mov dx, 0xCFC\\nmov eax, {value:#x}\\nout dx, eax")
    k.asm("mov dx, 0x604\\nmov ax, 0x2000\\nout dx, ax\\ncli\\nhlt")  # S5
    run = yield
    assert run.vectors == []
'''
NAMES = ["STOP", "RESUME", "SHUTDOWN", "RESET", "SUSPEND", "SUSPEND_DISK", "GUEST_PANICKED", "BLOCK_IO_ERROR", "NEWS"]
REASONS = ["guest-shutdown", "guest-reset", "guest-panic", "host-qmp-quit", "host-signal", "subsystem-reset", ""]
GUESTS = ["wrong_vector", "triple_fault", "reset", "power_off"]
THOROUGH = bool(os.environ.get("TRAPGATE_THOROUGH"))


class Liar:
    """Changes event number `place` of a run, counted from 0, as `lie` does; keeps what QEMU sent."""

    def __init__(self, place: int = -1, lie: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.place, self.lie = place, lie
        self.sent: list[dict[str, Any]] = []

    def change(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        event = deepcopy(dict(message))
        self.sent.append(dict(message))
        if self.lie is not None and len(self.sent) == self.place + 1:
            self.lie(event)
        return event


def rename(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda event: event.update(event=name)


def replace_field(field: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda event: event["data"].update({field: value})


def lies_about(event: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    """Each other name of the event, and each other value of each field of its data."""
    for name in NAMES:
        if name != event["event"]:
            yield f"{event['event']} becomes {name}", rename(name)
    for field, honest in event.get("data", {}).items():
        values: list[object] = [not honest] if isinstance(honest, bool) else list(REASONS)
        for value in values:
            if value != honest:
                yield f"{field} of {event['event']}: {honest!r} becomes {value!r}", replace_field(field, value)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Liar], RunRecord]]:
    """Run a guest of PROBES on a warm machine whose events go through the liar."""
    file = tmp_path / "liars.py"
    file.write_text(PROBES)
    cases = {probe.name: probe.cases()[0] for probe in load_file(file, tmp_path)}
    honest, liar = Monitor._on_event, Liar()

    def on_event(self: Monitor, message: Any) -> bool:
        self.patience = 1.0  # seconds: after some lies the harness waits for an event that has come
        return honest(self, cast(Any, liar.change(message)))

    monkeypatch.setattr(Monitor, "_on_event", on_event)
    with Executor(target("q35-tcg"), RunOptions(cold=False, watchdog_s=0.25)) as executor:

        def once(name: str, new: Liar) -> RunRecord:
            nonlocal liar
            liar = new
            return executor.run(cases[name])

        yield once


@pytest.mark.parametrize("guest", GUESTS)
def test_no_lie_about_an_event_is_believed(run: Callable[[str, Liar], RunRecord], guest: str) -> None:
    """Any name and any field of any event of the run, one at a time."""
    honest = Liar()
    record = run(guest, honest)
    assert record.verdict is Verdict.FAIL, record.reason
    again = Liar()
    run(guest, again)  # on a machine that was reset
    lies = [(place, *lie) for place, event in enumerate(again.sent) for lie in lies_about(event)]
    assert len(lies) > 20
    for place, what, lie in lies if THOROUGH else Random(guest).sample(lies, 8):
        record = run(guest, Liar(place, lie))
        assert record.verdict in (Verdict.FAIL, Verdict.ERROR), (place, what, record.reason)
    print(f"\n{guest}: {len(lies)} lies, 0 believed")


def test_a_reset_without_its_event_ends(run: Callable[[str, Liar], RunRecord]) -> None:
    """QEMU has answered `system_reset`, and no RESET event comes: QEMU is ended, and another runs the guest."""
    run("wrong_vector", Liar())
    again = Liar()
    run("wrong_vector", again)
    place = [event["event"] for event in again.sent].index("RESET")
    record = run("wrong_vector", Liar(place, rename("NEWS")))
    assert record.verdict is Verdict.FAIL, record.reason
