"""The traces for Perfetto and GTKWave, read again by their own libraries."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

from html_reports import HOSTILE, interrupt, report, run
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
from vcd.reader import TokenKind, tokenize

from harness.report.html.model import ReportContent, read_report
from harness.report.perfetto_trace import perfetto_trace
from harness.report.vcd import vcd

NESTED = [
    interrupt(0, 0x30, tsc=1000, eoi_tsc=3900, iretq_tsc=4000),
    interrupt(1, 0x50, tsc=2000, eoi_tsc=2900, iretq_tsc=3000, depth=1),
]


def content(*runs: dict[str, Any]) -> ReportContent:
    return read_report(report(*runs))


def parsed(data: bytes) -> tuple[dict[int, Any], list[tuple[str, int, int, str]]]:
    """Track descriptors by identifier; type, time, track and name of each event."""
    trace = Trace()
    trace.ParseFromString(data)
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")}
    events = [
        (TrackEvent.Type.Name(p.track_event.type), p.timestamp, p.track_event.track_uuid, p.track_event.name)
        for p in trace.packet
        if p.HasField("track_event")
    ]
    return tracks, events


def values(text: str) -> dict[str, list[tuple[int, object]]]:
    """The changes of each variable: time in nanoseconds and value."""
    scope: list[str] = []
    names: dict[str, str] = {}
    changes: dict[str, list[tuple[int, object]]] = {}
    now = 0
    for token in tokenize(io.BytesIO(text.encode())):
        if token.kind is TokenKind.SCOPE:
            scope.append(token.scope.ident)
        elif token.kind is TokenKind.UPSCOPE:
            scope.pop()
        elif token.kind is TokenKind.VAR:
            names[token.var.id_code] = ".".join([*scope[1:], token.var.reference])
        elif token.kind is TokenKind.CHANGE_TIME:
            now = token.time_change
        elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
            change = token.scalar_change if token.kind is TokenKind.CHANGE_SCALAR else token.vector_change
            changes.setdefault(names[change.id_code], []).append((now, int(change.value)))
    return changes


def test_an_interrupt_is_a_slice_of_its_processor_and_one_of_its_vector() -> None:
    tracks, events = parsed(perfetto_trace(content(run(interrupts=NESTED))))

    names = {uuid: track.name for uuid, track in tracks.items()}
    slices = [(names[track], kind, ns, name) for kind, ns, track, name in events]
    assert [row for row in slices if row[0] == "processor 0"] == [
        ("processor 0", "TYPE_SLICE_BEGIN", 1000, "30h"),
        ("processor 0", "TYPE_SLICE_END", 4000, ""),
        ("processor 0", "TYPE_SLICE_BEGIN", 2000, "50h"),
        ("processor 0", "TYPE_SLICE_END", 3000, ""),
    ]
    assert ("50h", "TYPE_SLICE_END", 2900, "") in slices
    root = next(uuid for uuid, name in names.items() if name == "timers/one.py::one q35-tcg: pass")
    assert all(track.parent_uuid == root for uuid, track in tracks.items() if uuid != root)


def test_an_arrow_leads_from_the_vector_to_the_handler() -> None:
    trace = Trace()
    trace.ParseFromString(perfetto_trace(content(run(interrupts=NESTED))))

    flows = Counter(flow for packet in trace.packet for flow in packet.track_event.flow_ids)
    assert sorted(flows.values()) == [2, 2]


def test_what_has_no_end_is_an_instant() -> None:
    _, events = parsed(perfetto_trace(content(run(interrupts=[interrupt(0, eoi_tsc=None, iretq_tsc=None)]))))

    assert [(kind, name.partition(" (")[2]) for kind, _, _, name in events] == [
        ("TYPE_INSTANT", "its end was not recorded)")
    ] * 2


def test_runs_follow_each_other_and_those_without_a_rate_are_left_out() -> None:
    mark = {"seq": 0, "cpu": 0, "name": "here", "tsc": 500}
    tracks, events = parsed(
        perfetto_trace(
            content(run("a.py::a", marks=[mark]), run("a.py::b", marks=[mark], tsc_khz=0), run("a.py::c", marks=[mark]))
        )
    )

    roots = [track.name for track in tracks.values() if not track.parent_uuid]
    assert roots == ["a.py::a q35-tcg: pass", "a.py::c q35-tcg: pass"]
    first, second = (ns for _, ns, _, _ in events)
    assert (first, second) == (500, 500 + 9000 + 100_000)


def test_a_trace_is_the_same_every_time() -> None:
    given = content(run(interrupts=NESTED))
    assert perfetto_trace(given) == perfetto_trace(given)
    assert vcd(given) == vcd(given)


def test_the_dump_has_the_vector_that_executes() -> None:
    changes = values(vcd(content(run(interrupts=NESTED))))

    scope = "timers_one_py_one_q35_tcg" if any(name.startswith("timers") for name in changes) else ""
    prefix = f"{scope}." if scope else ""
    vector, depth = changes[f"{prefix}cpu0.vector"], changes[f"{prefix}cpu0.depth"]
    assert vector == [(0, 0), (1000, 0x30), (2000, 0x50), (3000, 0x30), (4000, 0)]
    assert depth == [(0, 0), (1000, 1), (2000, 2), (3000, 1), (4000, 0)]
    assert changes[f"{prefix}vector_50.cpu0"] == [(0, 0), (2000, 1), (2900, 0)]


def test_names_of_a_guest_are_names_of_the_dump() -> None:
    mark = {"seq": 0, "cpu": 0, "name": HOSTILE, "tsc": 500}
    changes = values(vcd(content(run(interrupts=NESTED, marks=[mark]))))

    assert all(part.replace("_", "").isalnum() for name in changes for part in name.split("."))
    perfetto_trace(content(run(interrupts=NESTED, marks=[mark])))


def test_a_report_without_interrupts_is_an_empty_trace() -> None:
    assert parsed(perfetto_trace(content(run()))) == ({}, [])
    assert values(vcd(content(run()))) == {}
