"""A trace for the Perfetto UI, as packets of the track event format.

Source: Perfetto, "Track events" and "Converting arbitrary timestamped data to Perfetto". The runs follow each other on
one axis of guest time, each with tracks of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
from perfetto.trace_builder.proto_builder import TraceProtoBuilder

from harness.evidence.interrupts import InterruptRecord
from harness.report.atomic import write_atomic
from harness.report.guest_time import nanoseconds
from harness.report.html.controllers import pins_of_vectors
from harness.report.html.frames import vector_title
from harness.report.html.model import ReportContent, ReportedRun

__all__ = ["perfetto_trace", "write_trace"]

_GAP_NS = 100_000  # between two runs
_SEQUENCE = 1


def write_trace(path: Path, content: ReportContent) -> None:
    """Write the trace in one step. Raises OSError."""
    write_atomic(path, perfetto_trace(content))


def perfetto_trace(content: ReportContent) -> bytes:
    """The trace.

    Each run has a track for each processor, with a slice from the delivery of each interrupt to its IRETQ; for each
    vector, with a slice to its EOI, from which an arrow leads to the handler; and for marks and checkpoints. A slice
    whose end was not recorded is an instant.
    """
    writer, start = _Writer(), 0
    for run in content.runs:
        if run.tsc_khz and (run.interrupts or run.marks or run.checkpoints):
            start += _Run(writer, run, start).write() + _GAP_NS
    packets: bytes = writer.builder.serialize()
    return packets


class _Writer:
    """Adds packets; identifiers are numbers in the order of use, so that a trace is the same every time."""

    def __init__(self) -> None:
        self.builder = TraceProtoBuilder()
        self._identifiers = count(1)

    def identifier(self) -> int:
        """A number for a track or a flow."""
        return next(self._identifiers)

    def track(self, name: str, parent: int | None = None) -> int:
        """Declare a track."""
        packet = self.builder.add_packet()
        identifier = self.identifier()
        packet.track_descriptor.uuid = identifier
        packet.track_descriptor.name = name
        if parent is not None:
            packet.track_descriptor.parent_uuid = parent
        return identifier

    def event(
        self, track: int, ns: int, kind: int, name: str = "", flow: int | None = None, **notes: str | int
    ) -> None:
        """Add one event. `kind`: of `TrackEvent.Type`; `notes`: what the UI shows of it."""
        packet = self.builder.add_packet()
        packet.timestamp = ns
        packet.trusted_packet_sequence_id = _SEQUENCE
        event = packet.track_event
        event.type, event.track_uuid = kind, track
        if name:
            event.name = name
        if flow is not None:
            event.flow_ids.append(flow)
        for key, value in notes.items():
            note = event.debug_annotations.add()
            note.name = key
            if isinstance(value, int):
                note.uint_value = value
            else:
                note.string_value = value


class _Run:
    """The tracks of one run."""

    def __init__(self, writer: _Writer, run: ReportedRun, start: int) -> None:
        self._writer, self._run, self._start = writer, run, start
        self._root = writer.track(f"{run.probe} {run.target}: {run.verdict}")
        self._last = 0

    def write(self) -> int:
        """Add everything; returns the length of the run in nanoseconds."""
        run = self._run
        processors = {
            cpu: self._writer.track(f"processor {cpu}", self._root)
            for cpu in sorted({record.cpu for record in run.interrupts})
        }
        pins = pins_of_vectors(run.frozen)
        titles = {record.vector: vector_title(record) for record in run.interrupts}
        vectors = {
            vector: self._writer.track(_source(titles[vector], pins.get(vector, ())), self._root)
            for vector in sorted(titles)
        }
        for record in run.interrupts:
            self._interrupt(record, processors[record.cpu], vectors[record.vector])
        if run.marks or run.checkpoints:
            track = self._writer.track("marks and checkpoints", self._root)
            for mark in run.marks:
                self._instant(track, mark.tsc, mark.name, processor=mark.cpu)
            for stop in run.checkpoints:
                self._instant(track, stop.tsc, f"checkpoint {stop.name}", actions="; ".join(stop.actions))
        if run.end_tsc is not None:
            self._at(run.end_tsc)
        return self._last

    def _interrupt(self, record: InterruptRecord, processor: int, source: int) -> None:
        flow = self._writer.identifier()
        notes: dict[str, Any] = {
            "interrupted": record.where,
            "rip": f"{record.rip:#x}",
            "rflags": f"{record.rflags:#x}",
            "depth": record.depth,
        }
        if record.error_code is not None:
            notes["error_code"] = f"{record.error_code:#x}"
        self._slice(source, record.tsc, record.eoi_tsc or record.iretq_tsc, "delivered to EOI", flow, {})
        self._slice(processor, record.tsc, record.iretq_tsc, vector_title(record), flow, notes)

    def _slice(
        self, track: int, begin: int, end: int | None, name: str, flow: int, notes: Mapping[str, str | int]
    ) -> None:
        if end is None:
            self._instant(track, begin, f"{name} (its end was not recorded)", flow, **notes)
            return
        self._writer.event(track, self._at(begin), TrackEvent.TYPE_SLICE_BEGIN, name, flow, **notes)
        self._writer.event(track, self._at(end), TrackEvent.TYPE_SLICE_END)

    def _instant(self, track: int, ticks: int, name: str, flow: int | None = None, **notes: str | int) -> None:
        self._writer.event(track, self._at(ticks), TrackEvent.TYPE_INSTANT, name, flow, **notes)

    def _at(self, ticks: int) -> int:
        ns = nanoseconds(ticks, self._run.tsc_khz)
        self._last = max(self._last, ns)
        return self._start + ns


def _source(title: str, pins: Sequence[int]) -> str:
    return title + (f" (IO APIC pin {', '.join(map(str, pins))})" if pins else "")
