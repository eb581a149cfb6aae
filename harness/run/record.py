"""The outcome of one run, as reports show it and JSON keeps it."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.evidence.failures import Section
from harness.evidence.interrupts import CheckpointStop, InterruptRecord, Mark

__all__ = ["AtFault", "FailureDetail", "RunRecord", "Verdict"]


class Verdict(StrEnum):
    """The result of a run."""

    PASS = "pass"
    FAIL = "fail"
    DEVIATION = "deviation"  # a recorded difference between target and manual, seen again exactly
    UNSUPPORTED = "unsupported"  # the target lacks what the probe needs; the reason names it
    ERROR = "error"  # the probe's code, QEMU, the host or the harness broke: nothing follows about the rule


class AtFault(StrEnum):
    """What broke in a run whose verdict is `error`."""

    PROBE = "probe"  # its Python code, or a program that cannot be assembled
    QEMU = "qemu"
    HOST = "host"
    HARNESS = "harness"


@dataclass(frozen=True)
class FailureDetail:
    """The explanation of a run that did not pass: titled sections of plain text, in order."""

    sections: tuple[Section, ...] = ()
    path: str = ""  # file and line of the assertion or of the guest instruction at fault
    line: int = 0


@dataclass(frozen=True)
class RunRecord:
    """One boot of one case on one target, and its verdict."""

    probe: str  # case id
    target: str
    verdict: Verdict
    rule: str
    citation: str
    ms: float  # wall-clock milliseconds from the call to the verdict
    reason: str = ""  # one line; empty for a pass
    attempts: int = 1
    interrupts: tuple[InterruptRecord, ...] = ()
    detail: FailureDetail = field(default_factory=FailureDetail)
    command_line: str = ""  # of QEMU, ready to paste
    rerun: str = ""  # the `trapgate run …` that repeats it
    marks: tuple[Mark, ...] = ()
    values: Mapping[str, int | None] = field(default_factory=dict)  # None: never written
    parts_ms: Mapping[str, float] = field(default_factory=dict)  # build, assemble, start, run, dumps, judge
    snapshot: bytes = field(default=b"", repr=False)  # `SNAPSHOT` of harness/abi.py at the end of a run that had one
    host_acted: bool = False  # the host stopped, read or changed the machine in the middle of the run
    host_triggered: bool = False  # the probe called run.trigger
    at_fault: AtFault | None = None  # of an `error`
    deviation: str = ""  # the reference of the deviation that is seen again, or of a `fail` since it disappeared
    ended_by_reset: bool = False  # the guest reset the machine, and the run ended there
    cpu: int | None = None  # the processor that failed, where one did
    tsc_khz: int = 0  # ticks of the guest's counter in a millisecond of guest time; 0: not known
    end_tsc: int | None = None  # ticks from the guest's start to the snapshot at its end
    checkpoints: tuple[CheckpointStop, ...] = ()
    console: str = ""  # what the program itself printed on COM1, shortened; of a run that ended
    lacking: str = ""  # of an `unsupported`: "host" (this QEMU or host), or "target" (never has it)

    @property
    def ok(self) -> bool:
        """Whether the verdict is a success for CI."""
        return self.verdict in (Verdict.PASS, Verdict.DEVIATION, Verdict.UNSUPPORTED)

    def to_json(self) -> dict[str, Any]:
        """The documented record, schema 1."""
        return {
            "probe": self.probe,
            "target": self.target,
            "verdict": str(self.verdict),
            "rule": self.rule,
            "citation": self.citation,
            "ms": round(self.ms, 3),
            "interrupts": [i.to_json() for i in self.interrupts],
            "marks": [mark.to_json() for mark in self.marks],
            "values": dict(self.values),
            "reason": self.reason,
            "attempts": self.attempts,
            "at_fault": str(self.at_fault or ""),
            "lacking": self.lacking,
            "deviation": self.deviation,
            "ended_by_reset": self.ended_by_reset,
            "cpu": self.cpu,
            "tsc_khz": self.tsc_khz,
            "end_tsc": self.end_tsc,
            "checkpoints": [stop.to_json() for stop in self.checkpoints],
            "console": self.console,
            "frozen": b64encode(zlib.compress(self.snapshot)).decode() if self.snapshot else "",
            "command_line": self.command_line,
            "rerun": self.rerun,
        }
