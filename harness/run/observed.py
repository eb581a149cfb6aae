"""What a record has of the guest beside the verdict: events, times, frozen state, console. Nothing here decides."""

from __future__ import annotations

from typing import NamedTuple

from harness import abi
from harness.abi import SNAPSHOT
from harness.evidence.failures import RunFailure
from harness.evidence.interrupts import CheckpointStop, InterruptRecord, Mark
from harness.evidence.run import Run
from harness.evidence.snapshots import Snapshot
from harness.run.judge import console_text

__all__ = ["Observed", "observed"]


class Observed(NamedTuple):
    """The fields of a `RunRecord` with these names."""

    interrupts: tuple[InterruptRecord, ...]
    marks: tuple[Mark, ...]
    snapshot: bytes
    tsc_khz: int
    end_tsc: int | None
    checkpoints: tuple[CheckpointStop, ...]
    console: str


def observed(run: Run, run_id: int) -> Observed:
    """What was recorded, also of a run that did not end well. The guest is stopped."""
    try:
        events = run.recording.events
    except RunFailure:  # entries that were never completed: the verdict reports them
        events = ()
    snapshot, tsc_khz, start = b"", 0, 0
    try:
        snapshot = Snapshot(run.machine.ram, abi.SNAPSHOTS, run_id, 0, "the end of the run").data
        tsc_khz, start = run.mailbox.tsc_khz, run.mailbox.tsc_start
    except RunFailure:  # no snapshot: the guest did not reach its own end
        tsc_khz = _rate(run) if events else 0
    end = (SNAPSHOT.read(snapshot, "TSC") - start) & ((1 << 64) - 1) if snapshot else None
    return Observed(
        interrupts=tuple(event for event in events if isinstance(event, InterruptRecord)),
        marks=tuple(event for event in events if isinstance(event, Mark)),
        snapshot=snapshot,
        tsc_khz=tsc_khz,
        end_tsc=end,
        checkpoints=tuple(run.stops),
        console=console_text(run.printed) if run.printed else "",
    )


def _rate(run: Run) -> int:
    try:
        return run.mailbox.tsc_khz
    except RunFailure:  # the mailbox holds a status that is not defined
        return 0
