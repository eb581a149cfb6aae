"""Reports for tests of the HTML page."""

from __future__ import annotations

from typing import Any

__all__ = ["HOSTILE", "interrupt", "report", "run"]

HOSTILE = "</script><script>alert(1)</script>]]>\u2028\u202e\x1b[31m<img src=x onerror=alert(1)>\"'&amp;{{ 7*7 }}"


def interrupt(seq: int, vector: int = 0x40, **fields: Any) -> dict[str, Any]:
    """An interrupt as the JSON report has it."""
    plain = {
        "seq": seq,
        "cpu": 0,
        "vector": vector,
        "name": "",
        "error_code": None,
        "cs": 8,
        "rip": 0x110000 + seq,
        "where": "program+0x2 (timer.py:7)",
        "rflags": 0x202,
        "ss": 16,
        "rsp": 0x51FFC0,
        "cr2": 0,
        "tsc": 1000 * (seq + 1),
        "in_service": True,
        "depth": 0,
        "handled": False,
        "if_on_entry": False,
        "eoi_tsc": 1000 * (seq + 1) + 300,
        "iretq_tsc": 1000 * (seq + 1) + 400,
    }
    return plain | fields


def run(name: str = "timers/one.py::one", verdict: str = "pass", **fields: Any) -> dict[str, Any]:
    """A record as the JSON report has it."""
    plain = {
        "probe": name,
        "target": "q35-tcg",
        "verdict": verdict,
        "rule": "A timer interrupts once.",
        "citation": "SDM vol. 3A, APIC Timer",
        "ms": 1.5,
        "interrupts": [],
        "marks": [],
        "values": {},
        "reason": "" if verdict == "pass" else "assert 1 == 2",
        "attempts": 1,
        "tsc_khz": 1_000_000,
        "end_tsc": 9000,
    }
    return plain | fields


def report(*runs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A whole report."""
    return {"schema": 1, "complete": True, "cause": "", "runs": list(runs)} | fields
