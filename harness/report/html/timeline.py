"""The timeline of one run: lanes, spans and marks with their places. What was not recorded is not drawn.

The template `timeline.svg.j2` draws it. Places are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.evidence.interrupts import InterruptRecord, Mark
from harness.report.html.axis import Axis, Break, Tick, make_axis
from harness.report.html.controllers import pins_of_vectors
from harness.report.html.frames import NOT_RECORDED, vector_title
from harness.report.html.model import ReportedRun
from harness.report.html.moments import duration, moment

__all__ = ["Event", "Lane", "MarkFlag", "Span", "StopLine", "Timeline", "timeline"]

_FIRST, _LAST = 56, 8  # interrupts of a long run that are drawn
_MARKS = 60
_LANES = 16  # interrupt sources that have a lane
_LEFT, _TOP, _RIGHT = 24.0, 34.0, 60.0
_LEVEL, _SOURCE = 17.0, 26.0  # height of one nesting level, and of a lane of a source
_DEEP, _THIN = 8, 7.0  # levels from which on a level is thin, and its height
_MOST_LEVELS = 40
_OPEN = 12.0  # length of a span whose end was not recorded
_LETTER = 6.4  # width of a letter


@dataclass(frozen=True)
class Span:
    """A stretch of time. `open`: its end was not recorded, so that its length says nothing."""

    x: float
    y: float
    width: float
    height: float
    open: bool = False


@dataclass(frozen=True)
class Event:
    """One interrupt in one lane. `kind`: exception, nmi, apic (in service at the local APIC) or other."""

    seq: int
    kind: str
    title: str
    label: str
    x: float
    y: float
    span: Span | None = None
    if_off: Span | None = None


@dataclass(frozen=True)
class MarkFlag:
    """A mark of the program."""

    x: float
    y: float
    label: str
    title: str


@dataclass(frozen=True)
class StopLine:
    """A checkpoint, or the end of the run: a line through all lanes."""

    x: float
    label: str
    title: str
    actions: Sequence[str] = ()


@dataclass(frozen=True)
class Lane:
    """A processor or an interrupt source."""

    title: str
    note: str
    y: float
    height: float
    events: Sequence[Event]


@dataclass(frozen=True)
class Timeline:
    """The whole drawing, and what it cannot show."""

    summary: str
    width: float
    height: float
    left: float
    top: float
    axis_y: float
    linear: bool
    lanes: Sequence[Lane]
    flags: Sequence[MarkFlag]
    stops: Sequence[StopLine]
    ticks: Sequence[Tick]
    breaks: Sequence[Break]
    notes: Sequence[str] = field(default_factory=tuple)


def timeline(run: ReportedRun) -> Timeline | None:
    """The timeline of a run; None where nothing was recorded of it."""
    if not (run.interrupts or run.marks or run.checkpoints):
        return None
    return _Drawing(run).finish()


class _Drawing:
    """Places everything, from top to bottom."""

    def __init__(self, run: ReportedRun) -> None:
        self._run = run
        self._khz = run.tsc_khz
        found = list(run.interrupts)
        self._left_out = max(len(found) - _FIRST - _LAST, 0)
        self._shown = found[:_FIRST] + found[-_LAST:] if self._left_out else found
        self._marks = list(run.marks)[:_MARKS]
        moments = [*(time for each in self._shown for time in (each.tsc, each.eoi_tsc, each.iretq_tsc))]
        moments += [mark.tsc for mark in self._marks] + [stop.tsc for stop in run.checkpoints] + [run.end_tsc]
        self._axis: Axis = make_axis([time for time in moments if time is not None], self._khz)
        self._y = _TOP
        self._pins = False  # whether a lane names pins of the IO APIC

    def finish(self) -> Timeline:
        cpus = sorted({each.cpu for each in self._shown} | {mark.cpu for mark in self._marks}) or [0]
        lanes = [self._processor(cpu) for cpu in cpus]
        flags = [flag for lane, cpu in zip(lanes, cpus, strict=True) for flag in self._flags(cpu, lane)]
        lanes += self._sources()
        return Timeline(
            summary=self._summary(cpus),
            width=_LEFT + self._axis.width + _RIGHT,
            height=self._y + 34,
            left=_LEFT,
            top=_TOP,
            axis_y=self._y + 4,
            linear=self._axis.linear,
            lanes=lanes,
            flags=flags,
            stops=self._stops(),
            ticks=[Tick(_LEFT + tick.x, tick.label) for tick in self._axis.ticks()],
            breaks=[Break(_LEFT + each.x, each.label) for each in self._axis.breaks()],
            notes=self._notes(),
        )

    def _x(self, ticks: int) -> float:
        return _LEFT + self._axis.x(ticks)

    def _processor(self, cpu: int) -> Lane:
        own = [each for each in self._shown if each.cpu == cpu]
        deepest = min(max((each.depth for each in own), default=0), _MOST_LEVELS - 1)
        marks = 16.0 if any(mark.cpu == cpu for mark in self._marks) else 0.0
        step = _LEVEL if deepest < _DEEP else _THIN
        height = (deepest + 1) * step + 16 + marks
        bottom = self._y + height - 8
        events = [self._handler(each, bottom, step) for each in own]
        nested = f"nested {max(each.depth for each in own)} deep" if deepest else ""
        lane = Lane(f"CPU {cpu}", nested, self._y, height, events)
        self._y += height + 6
        return lane

    def _handler(self, each: InterruptRecord, bottom: float, step: float) -> Event:
        """From the delivery to the IRETQ, at the height of its depth."""
        x, level = self._x(each.tsc), min(each.depth, _MOST_LEVELS - 1)
        top = bottom - (level + 1) * step
        span = self._span(each.tsc, each.iretq_tsc, top, step - 3 if step == _LEVEL else step - 1)
        if_off = None
        if not each.if_on_entry and not each.handled and each.iretq_tsc is not None:
            if_off = Span(x, bottom + 2, span.width, 0)
        label = vector_title(each)
        label = label if len(label) * _LETTER < span.width else label[:3]
        fits = step == _LEVEL and len(label) * _LETTER < span.width
        return Event(each.seq, _kind(each), self._title(each), label if fits else "", x, top, span, if_off)

    def _span(self, start: int, end: int | None, y: float, height: float) -> Span:
        x = self._x(start)
        if end is None:
            return Span(x, y, _OPEN, height, open=True)
        return Span(x, y, max(self._x(end) - x, 1.5), height)

    def _sources(self) -> list[Lane]:
        """A lane for each vector, in the order of arrival."""
        pins = pins_of_vectors(self._run.frozen)
        groups: dict[tuple[int, str], list[InterruptRecord]] = {}
        for each in self._shown:
            groups.setdefault((each.vector, each.name), []).append(each)
        lanes = []
        for (vector, _), own in list(groups.items())[:_LANES]:
            middle = self._y + _SOURCE / 2
            events = [self._delivery(each, middle) for each in own]
            from_pin = pins.get(vector, []) if any(each.in_service for each in own) else []
            note = f"pin {', '.join(map(str, from_pin[:4]))} ¹" if from_pin else ""
            self._pins |= bool(note)
            lanes.append(Lane(vector_title(own[0]), note, self._y, _SOURCE, events))
            self._y += _SOURCE
        return lanes

    def _delivery(self, each: InterruptRecord, middle: float) -> Event:
        """The delivery, and the time in service: from there to the runtime's EOI."""
        span = self._span(each.tsc, each.eoi_tsc, middle - 4, 8) if each.in_service else None
        return Event(each.seq, _kind(each), self._title(each), "", self._x(each.tsc), middle, span)

    def _title(self, each: InterruptRecord) -> str:
        lines = [
            f"{vector_title(each)} on CPU {each.cpu} at {moment(each.tsc, self._khz)}, depth {each.depth}",
            f"interrupted {each.where or hex(each.rip)}",
        ]
        if each.error_code is not None:
            lines.append(f"error code {each.error_code:#x}")
        if each.in_service:
            lines.append(f"in service (ISR set); EOI {self._after(each, each.eoi_tsc)}")
        lines.append(f"IRETQ {self._after(each, each.iretq_tsc)}")
        return "\n".join(lines)

    def _after(self, each: InterruptRecord, end: int | None) -> str:
        return NOT_RECORDED if end is None else f"{duration(max(end - each.tsc, 0), self._khz)} later"

    def _flags(self, cpu: int, lane: Lane) -> list[MarkFlag]:
        """The marks of one processor; a label that would cover the one before is left to the title."""
        found: list[MarkFlag] = []
        free = 0.0
        for mark in self._marks:
            if mark.cpu != cpu:
                continue
            x = self._x(mark.tsc)
            label = mark.name if x >= free and len(mark.name) <= 24 else ""
            if label:
                free = x + 10 + len(label) * _LETTER
            found.append(MarkFlag(x, lane.y + 3, label, self._mark_title(mark)))
        return found

    def _mark_title(self, mark: Mark) -> str:
        return f"mark {mark.name!r} on CPU {mark.cpu} at {moment(mark.tsc, self._khz)}"

    def _stops(self) -> list[StopLine]:
        found: list[StopLine] = []
        for stop in self._run.checkpoints[:_LANES]:
            actions = "".join(f"\nthe host: {action}" for action in stop.actions)
            title = f"checkpoint {stop.name!r} at {moment(stop.tsc, self._khz)}{actions}"
            found.append(StopLine(self._x(stop.tsc), stop.name[:24], title, stop.actions))
        if self._run.end_tsc is not None:
            found.append(
                StopLine(self._x(self._run.end_tsc), "end", f"end of the run at {moment(self._run.end_tsc, self._khz)}")
            )
        return found

    def _summary(self, cpus: Sequence[int]) -> str:
        run = self._run
        number = len(run.interrupts)
        parts = [f"{number} interrupt{'' if number == 1 else 's'} on CPU {', '.join(map(str, cpus))}"]
        if run.marks:
            parts.append(f"{len(run.marks)} mark{'' if len(run.marks) == 1 else 's'}")
        if run.checkpoints:
            parts.append(f"{len(run.checkpoints)} checkpoint{'' if len(run.checkpoints) == 1 else 's'}")
        if run.end_tsc is not None:
            parts.append(f"{duration(run.end_tsc, self._khz)} of guest time")
        return ", ".join(parts)

    def _notes(self) -> list[str]:
        """What the drawing leaves out or cannot show."""
        notes = []
        if self._left_out:
            notes.append(f"{self._left_out} interrupts in the middle are not drawn.")
        if len(self._run.marks) > _MARKS:
            notes.append(f"{len(self._run.marks) - _MARKS} marks are not drawn.")
        if self._pins:
            notes.append("¹ The IO APIC pins whose entries have this vector at the end of the run.")
        sources = {(each.vector, each.name) for each in self._shown}
        if len(sources) > _LANES:
            notes.append(f"{len(sources) - _LANES} interrupt sources have no lane of their own.")
        missing = []
        if any(each.in_service for each in self._shown):
            missing.append("when IRR was set")
            if any(each.in_service and each.eoi_tsc is None for each in self._shown):
                missing.append("an EOI that the probe sends, or that had not come")
        if any(each.iretq_tsc is None for each in self._shown):
            missing.append("an IRETQ that the runtime did not execute")
        if any(each.handled for each in self._shown):
            missing.append("RFLAGS.IF in handlers of the probe")
        if self._run.end_tsc is None:
            missing.append("the end of the run")
        if not self._khz:
            missing.append("the counter's rate (times are ticks)")
        if missing:
            notes.append(f"Not recorded: {'; '.join(missing)}.")
        return notes


def _kind(each: InterruptRecord) -> str:
    if each.in_service:
        return "apic"
    if each.vector == 2:
        return "nmi"
    return "exception" if each.name else "other"
