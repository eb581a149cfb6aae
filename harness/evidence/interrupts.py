"""The events of a run: interrupts and marks, which the guest records in one order, and stops at checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CheckpointStop", "InterruptRecord", "Mark"]


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
    handled: bool = False  # the probe had a handler for the vector
    if_on_entry: bool = False  # RFLAGS.IF was 1 behind the gate: a trap gate leaves it
    # Ticks since the guest's start, for reports: no seal covers them. None: not recorded, or the moment had not come.
    eoi_tsc: int | None = field(default=None, compare=False)  # the runtime's EOI, not that of a probe
    iretq_tsc: int | None = field(default=None, compare=False)  # before the IRETQ of the runtime's stub

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


@dataclass(frozen=True)
class CheckpointStop:
    """A stop of the guest at a checkpoint, and what the host did meanwhile."""

    name: str
    tsc: int  # ticks since the guest's start
    actions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data with the field names of the documented schema."""
        return {"name": self.name, "tsc": self.tsc, "actions": list(self.actions)}
