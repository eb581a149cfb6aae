"""How runs are made: one object for the command line, the pytest plugin and callers of the API."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from harness.probes.own_records import OwnRecord

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """How runs are made. `omit` leaves steps of the program out, `act=False` the host's triggers: for vacuity.

    `second_source`: QEMU logs the interrupts that its processors take, and the guest's record must be the same.
    `verify_warm`: each run that passed is repeated on a fresh machine. `watchdog_s`: seconds that a guest may be
    silent, instead of the number that its probe gives. `longest_wait_ms`: milliseconds of guest time after which every
    wait of the program gives up, whatever its own limit is. `trace_faults`: QEMU logs the exceptions that it delivers,
    which distinguishes a triple fault from other resets and gives its processor (TCG only). `records`: deviations in
    addition to those of the probes.

    `target_file`, `qemu` and `records_file` are the origin of the targets and the records. The runs do not read
    them; the command line that repeats a run names them (`harness.run.rerun`).
    """

    cold: bool = True
    qemu_args: tuple[str, ...] = ()
    second_source: bool = False
    verify_warm: bool = False
    records: tuple[OwnRecord, ...] = ()
    target_file: Path | None = None
    qemu: str | None = None
    records_file: Path | None = None
    omit: frozenset[int] = frozenset()
    act: bool = True
    watchdog_s: float | None = None
    longest_wait_ms: float = math.inf
    trace_faults: bool = False
