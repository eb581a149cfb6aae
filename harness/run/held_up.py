"""Verdicts of runs in real time whose QEMU the host delayed."""

from __future__ import annotations

import math

from harness.one_line import one_line
from harness.qemu.scheduling import Deprivation
from harness.run.outcome import Outcome
from harness.run.record import Verdict

__all__ = ["held_up"]

_STALL_MS = 2.0  # a fail in real time is not conclusive where a thread of QEMU waited that long for a processor
_PACED_SHARE = 0.2  # and that share of the guest's whole time: ordinary delays of a long wait add up
_PACED_STALL_MS = 100.0  # the same, where only a device works in real time: its guest waits for a second or more


def held_up(
    outcome: Outcome,
    denied: Deprivation,
    *,
    paced_only: bool,
    quiet_ms: float = math.inf,
    guest_ms: float = 0.0,
) -> Outcome:
    """An error where the host delayed QEMU so that the verdict is not conclusive; else the outcome unchanged.

    A stop of the whole process makes any verdict doubtful: a timer that is due meanwhile may expire after the guest has
    stopped waiting. The delay of a thread makes a fail doubtful, because its bounds require an idle host. A deviation
    has failed exactly as recorded. A pass is doubtful where the timers of QEMU's devices did not run for as long as the
    guest was quiet (`quiet_ms`): an interrupt that must not come may have been late. `paced_only`: the guest's own
    clock is not the host's.
    """
    verdict, reason = outcome.verdict, outcome.reason
    if verdict is Verdict.ERROR:
        return outcome
    delay = max(denied.waiting_ms, denied.stolen_ms)
    late = delay >= (max(_PACED_STALL_MS, _PACED_SHARE * guest_ms) if paced_only else _STALL_MS)
    missed = not paced_only and denied.timers_ms >= quiet_ms
    if not (denied.whole or (verdict is Verdict.FAIL and late) or (verdict is Verdict.PASS and missed)):
        return outcome
    if verdict is Verdict.PASS and missed and not denied.whole:
        text = (
            f"the host did not run QEMU's timers for {denied.timers_ms:.3g} ms, and the guest was quiet for "
            f"{quiet_ms:g} ms of real time, so that an interrupt that must not come may have been late: {verdict}"
        )
        return Outcome(Verdict.ERROR, text)
    first = one_line(reason)
    text = f"{denied} while its guest ran in real time, so that the outcome is not conclusive: {verdict}"
    return Outcome(Verdict.ERROR, f"{text} {first}".rstrip())
