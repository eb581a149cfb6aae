"""What two runs of one case must have in common, and in what they may differ for reasons that are no defect."""

from __future__ import annotations

from dataclasses import dataclass

from harness.qemu.devices import DEVICES
from harness.qemu.target import Target
from harness.run.probe import Case
from harness.run.record import InterruptRecord, RunRecord

__all__ = ["Difference", "first_difference", "host_timed"]


@dataclass(frozen=True)
class Difference:
    """How a run differs from the first. `timing`: only in when, not in what."""

    text: str
    timing: bool = False


def host_timed(case: Case) -> bool:
    """Whether a device of the case answers when the host's threads do, so that virtual time is not exact.

    Those are disks (their backends work in threads), networks and entropy.
    """
    return any(
        device.backing or device.network or name.startswith("virtio")
        for name in case.probe.needs
        if (device := DEVICES.get(name)) is not None
    )


def first_difference(case: Case, target: Target, first: RunRecord, other: RunRecord) -> Difference | None:
    """The first difference between two runs of a case on a target, or None.

    Verdicts must agree everywhere. Where virtual time counts instructions, so must the sequence of interrupts (vector,
    processor, error code), and where besides nothing depends on the host, their RIP and the tick at which each came.
    """
    if first.verdict is not other.verdict:
        return Difference(f"the verdict is {_verdict(other)}, it was {_verdict(first)}")
    if not target.deterministic:
        return None
    for mine, theirs in zip(first.interrupts, other.interrupts, strict=False):
        if _what(mine) != _what(theirs):
            return Difference(f"interrupt {mine.seq} is {_shown(theirs)}, it was {_shown(mine)}")
    if len(first.interrupts) != len(other.interrupts):
        return Difference(f"{len(other.interrupts)} interrupts came, there were {len(first.interrupts)}")
    if first.host_acted or host_timed(case):
        return None
    for mine, theirs in zip(first.interrupts, other.interrupts, strict=True):
        if (mine.tsc, mine.rip) != (theirs.tsc, theirs.rip):
            return Difference(
                f"interrupt {mine.seq} ({_shown(mine)}) came at tick {theirs.tsc} at {theirs.where}; "
                f"it came at tick {mine.tsc} at {mine.where}",
                timing=True,
            )
    return None


def _what(interrupt: InterruptRecord) -> tuple[int, int, int | None]:
    return interrupt.vector, interrupt.cpu, interrupt.error_code


def _shown(interrupt: InterruptRecord) -> str:
    code = "" if interrupt.error_code is None else f" with error code {interrupt.error_code:#x}"
    return f"vector {interrupt.vector:#04x}{code} on CPU {interrupt.cpu}"


def _verdict(record: RunRecord) -> str:
    reason = record.reason.partition("\n")[0]
    return f"{record.verdict} ({reason})" if reason else str(record.verdict)
