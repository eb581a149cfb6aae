"""Compares two runs of one case. Differences that are not a defect are listed with their reasons."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.abi import SNAPSHOT
from harness.evidence.differences import describe, identity, sequence_difference
from harness.evidence.interrupts import InterruptRecord
from harness.one_line import one_line
from harness.probes.probe import Case
from harness.qemu.devices import DEVICES
from harness.qemu.target import Target
from harness.run.record import RunRecord

__all__ = ["LEFT_BY_RESET", "Difference", "first_difference", "host_timed", "warm_difference"]

LEFT_BY_RESET = {
    "PIT": "counts, outputs and access modes: pit_reset() in QEMU's hw/timer/i8254.c starts the channels, whose phase "
    "is that of virtual time, and leaves rw_mode alone (mode and BCD are compared)",
    "TSC": "virtual time continues through a reset, so that absolute ticks differ",
    "VALID": "it holds the number of the run",
}
"""Fields of the frozen state that may differ between a warm and a fresh machine, with the reason."""

_WAITING = re.compile(r"^waiting at |guest/runtime/time\.asm")  # one of the runtime's loops was interrupted
_TIMER_COUNT = f"LAPIC[{0x390 // 16}]"
_PIT_MODE = 0x0F  # of a status byte (82C54, Read-Back Command): mode and BCD
_HPET_WORDS = 13  # capabilities, configuration, status, counter, 3 × (configuration, comparator, FSB route)


@dataclass(frozen=True)
class Difference:
    """The difference of a run from the first one. `timing`: only the times differ."""

    text: str
    timing: bool = False


def host_timed(case: Case) -> bool:
    """Whether a device of the case depends on the host's threads, so that virtual time is not exact.

    Those are disks (their backends work in threads), networks and entropy.
    """
    return any(
        device.backing or device.network or name.startswith("virtio")
        for name in case.probe.needs
        if (device := DEVICES.get(name)) is not None
    )


def first_difference(case: Case, target: Target, first: RunRecord, other: RunRecord) -> Difference | None:
    """The first difference between two runs of a case on a target, or None.

    Verdicts must agree everywhere. Where virtual time counts instructions, so must the sequence of interrupts (vector,
    processor, error code), and where besides nothing depends on the host, their RIP and the tick at which each came.
    """
    if first.verdict is not other.verdict:
        return Difference(f"the verdict is {_verdict(other)}, it was {_verdict(first)}")
    if not target.deterministic:
        return None
    difference = sequence_difference(_ordered(case, first), _ordered(case, other))
    if difference:
        return Difference(difference)
    if first.host_acted or host_timed(case):
        return None
    for mine, theirs in zip(first.interrupts, other.interrupts, strict=True):
        if (mine.tsc, mine.rip) != (theirs.tsc, theirs.rip):
            return Difference(
                f"interrupt {mine.seq} ({describe(mine)}) came at tick {theirs.tsc} at {theirs.where}; "
                f"it came at tick {mine.tsc} at {mine.where}",
                timing=True,
            )
    return None


def warm_difference(case: Case, cold: RunRecord, warm: RunRecord) -> str | None:
    """The first difference in evidence between a run on a fresh machine and one on a warm machine, or None.

    Compared: verdict; each interrupt's vector, processor, error code and RIP (where both interrupted a wait of the
    runtime, the exact instruction of its loop is host-dependent); the guest's frozen state but for `LEFT_BY_RESET`.
    """
    if cold.verdict is not warm.verdict:
        return f"the verdict is {_verdict(warm)}, cold {_verdict(cold)}"
    for mine, theirs in zip(_ordered(case, cold), _ordered(case, warm), strict=False):
        if identity(mine) != identity(theirs):
            return f"interrupt {mine.seq} is {describe(theirs)}, cold {describe(mine)}"
        waiting = _WAITING.search(mine.where) and _WAITING.search(theirs.where)
        if mine.rip != theirs.rip and not waiting and not host_timed(case):
            return f"interrupt {mine.seq} ({describe(mine)}) came at {theirs.where}, cold at {mine.where}"
    if len(cold.interrupts) != len(warm.interrupts):
        return f"{len(warm.interrupts)} interrupts came, cold {len(cold.interrupts)}"
    mine_, theirs_ = _state(cold.snapshot), _state(warm.snapshot)
    if cold.host_acted or warm.host_acted:  # QEMU may advance to the next timer when a guest continues
        for state in (mine_, theirs_):
            state.pop(_TIMER_COUNT, None)
    for name in mine_.keys() | theirs_.keys():
        if mine_.get(name) != theirs_.get(name):
            return f"{name} is {theirs_.get(name, 0):#x} at the end, cold {mine_.get(name, 0):#x}"
    return None


def _state(snapshot: bytes) -> dict[str, int]:
    """Every number of a snapshot that a reset determines, by name."""
    state: dict[str, int] = {}
    if not snapshot:
        return state
    for name, number, width in (("LAPIC", 64, 4), ("IOAPIC", 50, 4), ("PIC", 8, 1), ("HPET", _HPET_WORDS, 8)):
        at = SNAPSHOT.offset(name)
        for index in range(number):
            start = at + width * index
            state[f"{name}[{index}]"] = int.from_bytes(snapshot[start : start + width], "little")
    for index in range(3):
        state[f"PIT[{index}] mode"] = snapshot[SNAPSHOT.offset("PIT") + 4 * index] & _PIT_MODE
    for name in SNAPSHOT.fields:
        if name not in ("LAPIC", "IOAPIC", "PIC", "HPET", *LEFT_BY_RESET):
            state[name] = SNAPSHOT.read(snapshot, name)
    return state


def _ordered(case: Case, record: RunRecord) -> list[InterruptRecord]:
    """The sequence to compare. Which of two processors a host-paced device serves first depends on the host."""
    if host_timed(case):
        return sorted(record.interrupts, key=lambda interrupt: interrupt.cpu)
    return list(record.interrupts)


def _verdict(record: RunRecord) -> str:
    reason = one_line(record.reason)
    return f"{record.verdict} ({reason})" if reason else str(record.verdict)
