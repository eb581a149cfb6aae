"""The path of an interrupt from its source to a processor as a list of gates, each open, closed or not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import wrap

__all__ = ["DeliveryGate", "DeliveryPath", "GateOpening", "closed", "gate", "open_gate", "unknown_gate"]

_WIDTH = 78  # a report indents it by two
_LINES = 25
_NAME = 28  # columns of a gate's name
_OTHERS = 3  # other sources that are named


class GateOpening(StrEnum):
    """Whether a gate lets the interrupt pass."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class DeliveryGate:
    """One gate. `name` is the register and field of the datasheet, `shows` what the evidence has there.

    `opens`: the field and the value that open it; empty where it is not closed.
    """

    name: str
    state: GateOpening
    shows: str
    opens: str = ""


@dataclass(frozen=True)
class DeliveryPath:
    """The gates between the likely source of `vector` and a processor. `str()` is the text of the report.

    `source` is empty where no source names the vector. `others` are further sources that name it, each with its first
    closed gate. `certain`: the evidence shows the request itself, so that the first closed gate is the cause.
    """

    vector: int
    source: str
    gates: tuple[DeliveryGate, ...]
    others: tuple[str, ...] = ()
    certain: bool = False
    note: str = ""

    @property
    def first_closed(self) -> DeliveryGate | None:
        """The first closed gate from the source to the processor; `None` without one."""
        return next((gate for gate in self.gates if gate.state is GateOpening.CLOSED), None)

    @property
    def sentence(self) -> str:
        """The first closed gate and the field that opens it."""
        shut = self.first_closed
        if not self.source:
            text = (
                f"No source names vector {self.vector:#04x}: no IO APIC entry, LVT entry, ICR or 8259 input has it. "
                "Messages of devices (MSI) were not examined."
            )
            return (
                f"{text} Closed to any source: {shut.name} ({shut.shows}); it opens with {shut.opens}."
                if shut
                else text
            )
        if shut is not None:
            how = "is" if self.certain else "is likely"
            return f"Vector {self.vector:#04x} {how} stopped at {shut.name} ({shut.shows}); it opens with {shut.opens}."
        text = f"No gate of vector {self.vector:#04x} is closed as far as is known"
        if not self.certain:
            return f"{text}: its source likely sent no request."
        unknown = [each.name for each in self.gates if each.state is GateOpening.UNKNOWN]
        return f"{text}: it likely came too late{f', or {unknown[0]} was closed' if unknown else ''}."

    def __str__(self) -> str:
        lines = wrap(self.sentence, _WIDTH)
        if self.note:
            lines += wrap(self.note, _WIDTH)
        if self.gates:
            lines += ["", *wrap(f"From {self.source or 'any source'}:", _WIDTH)]
        tail = [_cut(f"Also named by {other}") for other in self.others[:_OTHERS]]
        if len(self.others) > _OTHERS:
            tail.append(f"Also named by {len(self.others) - _OTHERS} more sources")
        room = _LINES - len(lines) - len(tail)
        rows = [_row(each) for each in self.gates]
        if len(rows) > room:
            rows = _without_open(self.gates, room)
        return "\n".join([*lines, *rows, *tail][:_LINES])


def _row(each: DeliveryGate) -> str:
    mark = "CLOSED" if each.state is GateOpening.CLOSED else str(each.state)
    return _cut(f"  {mark:<9}  {each.name:<{_NAME}}  {each.shows}")


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _without_open(gates: Sequence[DeliveryGate], room: int) -> list[str]:
    """As many rows as there is room for; open gates are left out first."""
    kept = [each for each in gates if each.state is not GateOpening.OPEN][: max(room - 1, 0)]
    return [*map(_row, kept), f"  … {len(gates) - len(kept)} more gates"]


def gate(name: str, shut: bool | None, shows: str, opens: str) -> DeliveryGate:
    """A gate that is closed if `shut`, open if not, and not known where that is `None`."""
    if shut is None:
        return unknown_gate(name, shows)
    return closed(name, shows, opens) if shut else open_gate(name, shows)


def closed(name: str, shows: str, opens: str) -> DeliveryGate:
    """A closed gate, and what opens it."""
    return DeliveryGate(name, GateOpening.CLOSED, shows, opens)


def open_gate(name: str, shows: str) -> DeliveryGate:
    """An open gate."""
    return DeliveryGate(name, GateOpening.OPEN, shows)


def unknown_gate(name: str, shows: str) -> DeliveryGate:
    """A gate whose state the evidence does not show."""
    return DeliveryGate(name, GateOpening.UNKNOWN, shows)
