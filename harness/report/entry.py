"""A run's entry in the JSON report: its record, and the sections that explain it where it did not pass."""

from __future__ import annotations

from typing import Any

from harness.report.failure import explain
from harness.run.record import RunRecord, Verdict

__all__ = ["report_entry"]

_ELSEWHERE = ("Rule", "Reason", "Interrupts", "QEMU command line", "Run it again")  # fields of the entry have these


def report_entry(record: RunRecord) -> dict[str, Any]:
    """Plain data as docs/json.md describes it."""
    sections = () if record.verdict is Verdict.PASS else explain(record)
    return {
        **record.to_json(),
        "file": record.detail.path,
        "line": record.detail.line,
        "sections": [
            {"title": section.title, "text": section.text, "kind": str(section.kind)}
            for section in sections
            if section.title not in _ELSEWHERE
        ],
    }
