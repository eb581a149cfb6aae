"""The timeline draws what was recorded, at the right place, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from html_reports import interrupt, run
from hypothesis import given
from hypothesis import strategies as st

from harness.report.html.axis import make_axis
from harness.report.html.model import read_run
from harness.report.html.moments import duration, moment
from harness.report.html.timeline import Timeline, timeline


def drawn(**fields: Any) -> Timeline:
    found = timeline(read_run(run(**fields), "run"))
    assert found is not None
    return found


def test_a_run_without_events_has_none() -> None:
    assert timeline(read_run(run(), "run")) is None


def test_a_lane_for_each_processor_and_each_source() -> None:
    found = drawn(interrupts=[interrupt(0, 0x40), interrupt(1, 13, name="#GP", cpu=1, in_service=False), interrupt(2)])
    assert [lane.title for lane in found.lanes] == ["CPU 0", "CPU 1", "40h", "0dh #GP"]
    assert [[event.seq for event in lane.events] for lane in found.lanes] == [[0, 2], [1], [0, 2], [1]]
    assert [event.kind for event in found.lanes[3].events] == ["exception"]


def test_a_handler_is_a_span_from_delivery_to_iretq() -> None:
    found = drawn(interrupts=[interrupt(0, tsc=1000, eoi_tsc=2000, iretq_tsc=3000)], end_tsc=4000)
    handler, delivery = found.lanes[0].events[0], found.lanes[1].events[0]
    assert handler.span is not None and delivery.span is not None
    scale = (found.stops[-1].x - found.left) / 4000
    assert found.linear
    assert handler.span.x == pytest.approx(found.left + 1000 * scale)
    assert handler.span.width == pytest.approx(2000 * scale)
    assert delivery.span.width == pytest.approx(1000 * scale)
    assert not handler.span.open and not delivery.span.open


def test_an_interrupt_that_nests_is_drawn_above_the_one_that_it_interrupts() -> None:
    outer = interrupt(0, 0x40, iretq_tsc=5000, eoi_tsc=4900)
    found = drawn(interrupts=[outer, interrupt(1, 0x50, depth=1)])
    below, above = found.lanes[0].events
    assert above.y < below.y
    assert found.lanes[0].note == "nested 1 deep"


def test_what_was_not_recorded_is_not_drawn_and_is_named() -> None:
    found = drawn(interrupts=[interrupt(0, eoi_tsc=None, iretq_tsc=None)], end_tsc=None, tsc_khz=0)
    handler, delivery = found.lanes[0].events[0], found.lanes[1].events[0]
    assert handler.span is not None and delivery.span is not None
    assert handler.span.open and delivery.span.open and handler.if_off is None
    assert found.stops == []
    (note,) = found.notes
    for part in ("when IRR was set", "an EOI", "an IRETQ", "the end of the run", "the counter's rate"):
        assert part in note
    assert "EOI not recorded" in handler.title and "IRETQ not recorded" in handler.title


@pytest.mark.parametrize(
    ("fields", "known"),
    [({}, True), ({"handled": True}, False), ({"if_on_entry": True}, False), ({"iretq_tsc": None}, False)],
)
def test_a_span_with_if_0_is_drawn_only_where_it_is_known(fields: dict[str, Any], known: bool) -> None:
    found = drawn(interrupts=[interrupt(0, **fields)])
    assert (found.lanes[0].events[0].if_off is not None) is known


def test_a_report_of_an_older_version_claims_neither_spans_nor_if() -> None:
    old = {
        name: value
        for name, value in interrupt(0).items()
        if name not in ("handled", "if_on_entry", "eoi_tsc", "iretq_tsc")
    }
    found = drawn(interrupts=[old])
    handler = found.lanes[0].events[0]
    assert handler.span is not None and handler.span.open and handler.if_off is None


def test_an_exception_has_no_time_in_service() -> None:
    found = drawn(interrupts=[interrupt(0, 6, name="#UD", in_service=False, eoi_tsc=None)])
    assert found.lanes[1].events[0].span is None
    assert "IRR" not in " ".join(found.notes)


def test_marks_checkpoints_and_actions_of_the_host() -> None:
    found = drawn(
        marks=[{"seq": 0, "cpu": 1, "name": "EOI", "tsc": 10}],
        checkpoints=[{"name": "armed", "tsc": 500, "actions": ["QMP inject-nmi"]}],
    )
    assert [lane.title for lane in found.lanes] == ["CPU 1"]
    assert found.flags[0].title == "mark 'EOI' on CPU 1 at 0.010 µs"
    assert [stop.label for stop in found.stops] == ["armed", "end"]
    assert found.stops[0].title == "checkpoint 'armed' at 0.500 µs\nthe host: QMP inject-nmi"


def test_many_interrupts_are_bounded_and_the_rest_is_counted() -> None:
    found = drawn(interrupts=[interrupt(n) for n in range(1000)])
    assert len(found.lanes[0].events) == 64
    assert found.notes[0] == "936 interrupts in the middle are not drawn."


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=80), st.sampled_from((0, 1, 999, 1_000_000, 2**63)))
def test_the_axis_keeps_the_order_and_stays_bounded(moments: list[int], khz: int) -> None:
    axis = make_axis(moments, khz)
    places = [axis.x(at) for at in sorted(moments)]
    assert places == sorted(places)
    assert places[0] >= 0 and places[-1] <= axis.width <= 80_000
    assert all(0 <= tick.x <= axis.width for tick in axis.ticks())
    assert len(axis.ticks()) <= 200


def test_a_shortened_gap_is_marked_with_its_length() -> None:
    axis = make_axis([1_000_000, 1_000_100], 1_000_000)
    assert not axis.linear
    assert [each.label for each in axis.breaks()] == ["1 ms"]


def test_times_as_text() -> None:
    assert [duration(ticks, 1_000_000) for ticks in (0, 168, 1104, 1_000_576, 2_000_000_000)] == [
        "0 ns", "168 ns", "1.104 µs", "1.000576 ms", "2 s",
    ]  # fmt: skip
    assert duration(1234, 0) == "1,234 ticks"
    assert moment(1_000_576, 1_000_000) == "1,000.576 µs"
