"""Records for tests of reports."""

from __future__ import annotations

from harness.evidence.failures import Section, SectionKind
from harness.evidence.interrupts import InterruptRecord
from harness.run.record import FailureDetail, RunRecord, Verdict

__all__ = ["INTERRUPTS", "record"]

INTERRUPTS = (
    InterruptRecord(0, 0, 0x40, "", None, 8, 0x11004E, "program+0xe (hpet.py:12)", 2, 16, 0x50FFF8, 0, 272, True),
    InterruptRecord(1, 1, 13, "#GP", 0x18, 8, 0x110052, "program+0x12 (hpet.py:13)", 2, 16, 0x50FFF8, 0, 9000, False),
)

_REASONS = {
    Verdict.PASS: "",
    Verdict.FAIL: "assert [64, 13] == [64]",
    Verdict.DEVIATION: "assert 0 == 1 (recorded: docs/deviations.md#one)",
    Verdict.UNSUPPORTED: "/dev/kvm is missing",
    Verdict.ERROR: "QEMU was killed by SIGSEGV",
}


def record(
    verdict: Verdict, name: str = "one", target: str = "q35-tcg", *, ms: float = 1.5, area: str = "timers"
) -> RunRecord:
    """A record of that verdict."""
    bad = verdict in (Verdict.FAIL, Verdict.ERROR)
    detail = (
        FailureDetail(
            (Section("Assertion", "assert [64, 13] == [64]", SectionKind.VERDICT), Section("Serial", "@run\x1b[31m\n"))
        )
        if bad
        else None
    )
    return RunRecord(
        probe=f"{area}/hpet.py::{name}",
        target=target,
        verdict=verdict,
        rule="A one-shot comparator interrupts once.",
        citation="IA-PC HPET 1.0a, 2.3.9.2.1",
        ms=ms,
        reason=_REASONS[verdict],
        deviation="docs/deviations.md#one" if verdict is Verdict.DEVIATION else "",
        interrupts=INTERRUPTS,
        detail=detail or FailureDetail(),
        command_line="qemu-system-x86_64 -bios rom.bin" if bad else "",
        rerun=f"trapgate run {area}/hpet.py::{name} --target {target}",
    )
