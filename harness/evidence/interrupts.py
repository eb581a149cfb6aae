"""The entries of the guest's recorder: interrupts and marks, in one order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["InterruptRecord", "Mark"]


@dataclass(frozen=True)
class InterruptRecord:
    """One interrupt or exception of the guest's recorder."""

    seq: int
    cpu: int
    vector: int
    name: str  # "#GP", "NMI", or "" where the vector has no architectural name
    error_code: int | None
    cs: int
    rip: int
    where: str  # symbolised RIP, `program+0x12 (guest/probes/…py:41)`
    rflags: int
    ss: int
    rsp: int
    cr2: int
    tsc: int  # ticks since the guest's start
    in_service: bool  # the local APIC had the vector in service
    depth: int = 0  # handlers active on the processor when this one came

    def to_json(self) -> dict[str, Any]:
        """Plain data with the field names of the documented schema."""
        return dict(vars(self))


@dataclass(frozen=True)
class Mark:
    """A moment that the program named with `k.mark`."""

    seq: int  # in one order with the interrupts
    cpu: int
    name: str
    tsc: int  # ticks since the guest's start

    def to_json(self) -> dict[str, Any]:
        """Plain data with the field names of the documented schema."""
        return dict(vars(self))
