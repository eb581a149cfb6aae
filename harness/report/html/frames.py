"""Interrupt frames, decoded for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.evidence.interrupts import InterruptRecord
from harness.hardware.cpu import Rflags
from harness.hardware.exceptions import EXCEPTIONS, CetErrorCode, PageFaultErrorCode, SelectorErrorCode
from harness.hardware.register import Register
from harness.report.html.decoded import set_fields
from harness.report.html.moments import duration, moment

__all__ = ["NOT_RECORDED", "FrameRow", "frame_row", "vector_title"]

NOT_RECORDED = "not recorded"
_CODES: dict[int, type[Register]] = {
    **dict.fromkeys((10, 11, 12, 13), SelectorErrorCode),
    14: PageFaultErrorCode,
    21: CetErrorCode,
}


@dataclass(frozen=True)
class FrameRow:
    """One interrupt of the table: the columns, and what its frame holds, as titles and texts."""

    seq: int
    cpu: int
    vector: str
    depth: int
    time: str
    place: str
    in_service: str
    eoi: str
    iretq: str
    fields: Sequence[tuple[str, str]]


def vector_title(interrupt: InterruptRecord) -> str:
    """`0dh #GP`, `50h`."""
    return f"{interrupt.vector:02x}h {interrupt.name}".rstrip()


def frame_row(interrupt: InterruptRecord, khz: int) -> FrameRow:
    """The row of one interrupt."""
    flags = Rflags(interrupt.rflags)
    masked = "IF=1: a trap gate" if interrupt.if_on_entry else "IF=0: the gate cleared it"
    fields = [
        ("CS:RIP", f"{interrupt.cs:02x}:{interrupt.rip:x}  {interrupt.where}".rstrip()),
        ("RFLAGS", _joined(f"{flags:#x}", set_fields(Rflags, flags), f"(IF={flags.IF} in this code)")),
        ("SS:RSP", f"{interrupt.ss:02x}:{interrupt.rsp:x}"),
        ("Error code", _error_code(interrupt)),
        ("CR2", f"{interrupt.cr2:#x}" + ("" if interrupt.vector == 14 else "  (not written by this one)")),
        ("In the handler", f"{masked}; {'the probe has a handler' if interrupt.handled else 'the runtime only'}"),
    ]
    return FrameRow(
        seq=interrupt.seq,
        cpu=interrupt.cpu,
        vector=vector_title(interrupt),
        depth=interrupt.depth,
        time=moment(interrupt.tsc, khz),
        place=interrupt.where or f"{interrupt.rip:#x}",
        in_service="yes" if interrupt.in_service else "no",
        eoi=_after(interrupt, interrupt.eoi_tsc, khz) if interrupt.in_service else "none",
        iretq=_after(interrupt, interrupt.iretq_tsc, khz),
        fields=fields,
    )


def _after(interrupt: InterruptRecord, ticks: int | None, khz: int) -> str:
    return NOT_RECORDED if ticks is None else f"+{duration(max(ticks - interrupt.tsc, 0), khz)}"


def _error_code(interrupt: InterruptRecord) -> str:
    code = interrupt.error_code
    if code is None:
        return "none was pushed"
    register = _CODES.get(interrupt.vector) if interrupt.name else None
    decoded = (set_fields(register, code) or "no field is set") if register is not None else ""
    row = EXCEPTIONS.get(interrupt.vector) if interrupt.name else None
    return _joined(f"{code:#x}", decoded, f"({row.name})" if row is not None else "")


def _joined(*parts: str) -> str:
    return "  ".join(filter(None, parts))
