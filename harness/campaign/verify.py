"""Repeats runs of warm machines on fresh ones. A difference is an error: the warm machine held state of an earlier
run."""

from __future__ import annotations

from dataclasses import replace

from harness.campaign.compare import warm_difference
from harness.evidence.failures import Section
from harness.probes.probe import Case
from harness.run.execute import Executor
from harness.run.record import FailureDetail, RunRecord, Verdict

__all__ = ["a_second_moved_the_turns", "run_verified"]


def run_verified(executor: Executor, case: Case) -> RunRecord:
    """One run; where it passed or deviated as recorded, a second one on a fresh machine, under TCG with QEMU's own log
    of the interrupts as a second source.

    An error where the two differ in verdict, interrupts or, where virtual time counts instructions, in frozen state.
    """
    warm = executor.run(case)
    if warm.verdict not in (Verdict.PASS, Verdict.DEVIATION):
        return warm
    logged = executor.target.accelerator == "tcg"
    cold = executor.run(case, replace(executor.options, cold=True, second_source=logged))
    difference = _difference(executor, case, cold, warm)
    if difference is None or (cold.verdict is warm.verdict and a_second_moved_the_turns(executor, case, cold)):
        return replace(warm, ms=warm.ms + cold.ms)
    reason = f"a warm machine and a fresh one differ: {difference}"
    sections = (
        Section("Warm", f"{warm.verdict} {warm.reason}".rstrip()),
        Section("Fresh", f"{cold.verdict} {cold.reason}".rstrip()),
    )
    return replace(
        warm,
        verdict=Verdict.ERROR,
        reason=reason,
        detail=FailureDetail((*sections, *cold.detail.sections), cold.detail.path, cold.detail.line),
        command_line=cold.command_line,
        ms=warm.ms + cold.ms,
    )


def _difference(executor: Executor, case: Case, cold: RunRecord, warm: RunRecord) -> str | None:
    if executor.target.deterministic:
        return warm_difference(case, cold, warm)
    if cold.verdict is warm.verdict:
        return None
    return f"the verdict is {warm.verdict} {warm.reason}".rstrip() + f", cold {cold.verdict} {cold.reason}".rstrip()


def a_second_moved_the_turns(executor: Executor, case: Case, cold: RunRecord) -> bool:
    """Whether at least two of three further warm runs equal the cold one.

    The RTC's seconds continue through a reset (rtc_reset() in QEMU's hw/rtc/mc146818rtc.c), so that one may end in a
    warm run: QEMU then schedules the next processor earlier, and several processors run in another order.
    """
    if case.probe.cpus == 1 or not executor.target.deterministic:
        return False
    return [warm_difference(case, cold, executor.run(case)) for _ in range(3)].count(None) >= 2
