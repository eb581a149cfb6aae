"""Value change dump (IEEE 1364, "Value change dump (VCD) files"), for GTKWave and its like.

Each run is a scope, with time from its own start in nanoseconds of guest time. Runs whose counter's rate is not known
have no time, and are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vcd.writer import VCDWriter

from harness.evidence.interrupts import InterruptRecord
from harness.report.atomic import write_atomic
from harness.report.guest_time import nanoseconds
from harness.report.html.model import ReportContent, ReportedRun

__all__ = ["vcd", "write_vcd"]


class _Change(NamedTuple):
    """A value of a variable from a moment on."""

    ns: int
    order: int
    scope: str
    name: str
    width: int
    value: int


def write_vcd(path: Path, content: ReportContent) -> None:
    """Write the dump in one step. Raises OSError."""
    write_atomic(path, vcd(content).encode())


def vcd(content: ReportContent) -> str:
    """The dump.

    `cpuN.vector` is the vector that the processor executes the handler of, 0 where none; `cpuN.depth` how many are
    nested; `vector_XX.active` lasts from the delivery of the vector to its EOI, or to IRETQ where no EOI was recorded.
    """
    changes = sorted(change for run in _with_time(content.runs) for change in _changes(run))
    file = io.StringIO()
    with VCDWriter(file, timescale="1 ns", comment="trapgate", date="") as writer:
        variables = {
            (scope, name): writer.register_var(scope, name, "wire", size=width, init=0)
            for scope, name, width in dict.fromkeys((change.scope, change.name, change.width) for change in changes)
        }
        for change in changes:
            writer.change(variables[change.scope, change.name], change.ns, change.value)
    return file.getvalue()


def _with_time(runs: Sequence[ReportedRun]) -> Iterator[ReportedRun]:
    return (run for run in runs if run.tsc_khz and (run.interrupts or run.marks))


def _changes(run: ReportedRun) -> Iterator[_Change]:
    scope = _identifier(f"{run.probe} {run.target}")
    for cpu in sorted({record.cpu for record in run.interrupts}):
        mine = [record for record in run.interrupts if record.cpu == cpu]
        yield from _processor(mine, f"{scope}.cpu{cpu}", run.tsc_khz)
    for record in run.interrupts:
        end = record.iretq_tsc if record.eoi_tsc is None else record.eoi_tsc
        where = f"{scope}.vector_{record.vector:02x}"
        yield _Change(nanoseconds(record.tsc, run.tsc_khz), 1, where, f"cpu{record.cpu}", 1, 1)
        if end is not None:
            yield _Change(nanoseconds(end, run.tsc_khz), 0, where, f"cpu{record.cpu}", 1, 0)
    for number, mark in enumerate(run.marks, 1):
        yield _Change(nanoseconds(mark.tsc, run.tsc_khz), 1, f"{scope}.marks", _identifier(mark.name), 16, number)


def _processor(records: Sequence[InterruptRecord], scope: str, khz: int) -> Iterator[_Change]:
    """Vector and depth of one processor: a handler that returns gives the place back to the one below."""
    moments = [(record.tsc, 1, record.seq, record) for record in records]
    moments += [(record.iretq_tsc, 0, -record.seq, record) for record in records if record.iretq_tsc is not None]
    running: list[InterruptRecord] = []
    for ticks, enters, _, record in sorted(moments, key=lambda moment: moment[:3]):
        if enters:
            running.append(record)
        elif record in running:
            running.remove(record)
        ns = nanoseconds(ticks, khz)
        yield _Change(ns, enters, scope, "vector", 8, running[-1].vector if running else 0)
        yield _Change(ns, enters, scope, "depth", 8, min(len(running), 255))


def _identifier(text: str) -> str:
    """The text as a name of VCD: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")[:150] or "unnamed"
