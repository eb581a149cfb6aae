"""Why a run did not end well: `RunFailure` is caused by the guest or the target, `RunBroken` by the harness or QEMU."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.assembly import Origin

__all__ = [
    "RESET_BY_GUEST",
    "HostTrouble",
    "MonitorBroke",
    "ProbeBroken",
    "ResetUnseen",
    "RunBroken",
    "RunFailure",
    "Section",
    "SectionKind",
    "WitnessDisagreement",
    "unknown",
]

RESET_BY_GUEST = "the guest reset the machine"


class SectionKind(StrEnum):
    """What a section of a report is for; the order of the members is that of the report, but for `CONTEXT`."""

    VERDICT = "verdict"  # the basis of the verdict: the assertion, or the reason
    FINDING = "finding"  # further findings: causes, values, the Python error
    EVIDENCE = "evidence"  # registers, console, controllers, the output of QEMU
    CONTEXT = "context"  # the rule, the source, how to run it again


@dataclass(frozen=True)
class Section:
    """A titled section of plain text."""

    title: str
    text: str
    kind: SectionKind = SectionKind.EVIDENCE


class RunFailure(Exception):  # noqa: N818
    """The verdict of the run is `fail`.

    `sections` add to the report. `origin`: the place in the probe. `cpu`: the processor that failed, where one did.
    `by_reset`: the guest reset the machine.
    """

    def __init__(
        self,
        reason: str,
        sections: tuple[Section, ...] = (),
        *,
        origin: Origin | None = None,
        cpu: int | None = None,
        by_reset: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sections = sections
        self.origin = origin
        self.cpu = cpu
        self.by_reset = by_reset


class RunBroken(Exception):  # noqa: N818
    """The verdict of the run is `error`: nothing follows about the rule."""

    def __init__(self, reason: str, sections: tuple[Section, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sections = sections


class WitnessDisagreement(RunBroken):
    """Memory, console and QMP differ about one run, so none of them is evidence."""


class ProbeBroken(RunBroken):
    """The probe's code below the yield is wrong."""


class ResetUnseen(RunBroken):
    """Unexpected reset on a warm machine: its registers are lost, so the run is repeated cold."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{RESET_BY_GUEST} ({why})")


class MonitorBroke(RunBroken):
    """QEMU failed: it ended, or stopped with an internal error. The only error that may be a known deviation."""


class HostTrouble(RunBroken):
    """The host did not let QEMU run, or delayed it, so that nothing follows from what the guest did."""


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """`the program has no value 'sen'. Did you mean seen?`"""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(map(repr, known[:12])) or 'none'}"
    return f"the program has no {kind} {name!r}. {hint}"
