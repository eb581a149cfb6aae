"""The line that QEMU's log has for each interrupt or exception that a processor begins to deliver.

The format is that of QEMU's `do_interrupt_all` (target/i386/tcg/seg_helper.c), with `-d int`. Only TCG writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FORMAT", "DeliveryLine", "begins_delivery", "parse_delivery_line"]

FORMAT = "N: v=… e=… i=… cpl=… IP=… pc=… SP=…"
"""The form of the line, for messages."""
_BEGINS = re.compile(r" {0,6}\d{1,10}: v=")
_LINE = re.compile(
    r" {0,6}(\d{1,10}): v=([0-9a-f]{2}) e=([0-9a-f]{4,8}) i=([01]) cpl=([0-3])"
    r" IP=([0-9a-f]{4}):([0-9a-f]{8,16}) pc=([0-9a-f]{8,16}) SP=([0-9a-f]{4}):([0-9a-f]{8,16})"
    r"(?: CR2=([0-9a-f]{8,16})| env->regs\[R_EAX\]=[0-9a-f]{8,16})"
)


@dataclass(frozen=True)
class DeliveryLine:
    """One delivery that QEMU began. It may have failed: then the exception that it raised is the next delivery."""

    number: int  # counts all of this QEMU process
    vector: int
    error_code: int  # 0 where there is none
    software: bool  # by INT n, INT3 or INTO, whose address `rip` is
    cpl: int
    cs: int
    rip: int
    pc: int  # linear: CS base + RIP
    ss: int
    rsp: int
    cr2: int | None


def begins_delivery(line: str) -> bool:
    """Whether the line begins as that of a delivery does."""
    return _BEGINS.match(line) is not None


def parse_delivery_line(line: str) -> DeliveryLine | None:
    """The delivery; `None` for any other line, and for a damaged one."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    number, vector, error, software, cpl, cs, rip, pc, ss, rsp, cr2 = match.groups()
    return DeliveryLine(
        number=int(number),
        vector=int(vector, 16),
        error_code=int(error, 16),
        software=software == "1",
        cpl=int(cpl),
        cs=int(cs, 16),
        rip=int(rip, 16),
        pc=int(pc, 16),
        ss=int(ss, 16),
        rsp=int(rsp, 16),
        cr2=None if cr2 is None else int(cr2, 16),
    )
