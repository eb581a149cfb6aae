"""Everything a person needs to understand a run that did not pass, as titled sections of plain text.

The command line, the pytest plugin and the JUnit file show the same sections.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from pathlib import Path

from harness.report.text import printable
from harness.run.loader import shown
from harness.run.record import InterruptRecord, RunRecord, Verdict

__all__ = ["explain", "interrupt_table", "source_excerpt"]

_FINDINGS = ("Assertion", "Reason", "Why", "Error", "Values")  # what was found comes first, then the evidence
_FIRST, _LAST = 24, 8  # interrupts that a long table shows
_BEFORE = 4  # lines of source above the one at fault


def explain(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """The sections in reading order: rule, what was found and where, evidence, and how to do it again."""
    sections = [("Rule", f"{record.rule}\n{record.citation}")]
    if record.verdict is Verdict.UNSUPPORTED:
        return (*sections, ("Unsupported", printable(record.reason)))
    detail = [(title, _tidy(text)) for title, text in record.detail.sections if text.strip()]
    titles = " ".join(title.lower() for title, _ in detail)
    excerpt = source_excerpt(record.detail.path, record.detail.line)
    if excerpt:
        sections.append((f"{shown(Path(record.detail.path))}:{record.detail.line}", excerpt))
    if "assertion" not in titles and "reason" not in titles and record.reason:
        sections.append(("Reason", printable(record.reason)))
    found = [section for section in detail if section[0].startswith(_FINDINGS)]
    sections += found
    booted = record.command_line or record.interrupts
    if booted and "interrupt" not in titles:
        sections.append(("Interrupts", interrupt_table(record.interrupts)))
    sections += [section for section in detail if section not in found]
    if record.attempts > 1:
        sections.append(("Attempts", f"{record.attempts}: QEMU was killed from outside and started once more"))
    if record.command_line and "command" not in titles:
        sections.append(("QEMU command line", record.command_line))
    if record.rerun and "again" not in titles and "rerun" not in titles:
        sections.append(("Run it again", record.rerun))
    return tuple(sections)


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in printable(text).strip("\n").split("\n"))


def source_excerpt(path: str, line: int) -> str:
    """The lines that lead to the one at fault, numbered, that one marked; empty where there is no source."""
    if not path or line < 1:
        return ""
    linecache.checkcache(path)
    numbered = [(n, linecache.getline(path, n).rstrip("\n")) for n in range(max(1, line - _BEFORE), line + 1)]
    if not numbered or not numbered[-1][1]:
        return ""
    while numbered and not numbered[0][1].strip():
        numbered.pop(0)
    indent = min((len(text) - len(text.lstrip()) for _, text in numbered if text.strip()), default=0)
    width = len(str(line))
    return "\n".join(
        f"{'>' if number == line else ' '} {number:>{width}} │ {text[indent:]}".rstrip() for number, text in numbered
    )


def interrupt_table(interrupts: Sequence[InterruptRecord]) -> str:
    """What the recorder saw, one interrupt a line.

    Columns: sequence number, CPU, vector with its architectural name (indented by the handlers that it interrupted),
    error code, CS:RIP, TSC ticks since the guest's start, whether the local APIC had the vector in service, and where
    RIP is in the source.
    """
    if not interrupts:
        return "none"
    head = ("#", "CPU", "vector", "error", "CS:RIP", "TSC", "in service", "where")
    rows = [head, *(_row(interrupt) for interrupt in interrupts[:_FIRST])]
    left_out = len(interrupts) - _FIRST - _LAST
    if left_out > 0:
        rows += [_row(interrupt) for interrupt in interrupts[-_LAST:]]
    else:
        rows += [_row(interrupt) for interrupt in interrupts[_FIRST:]]
    if not any(row[3] for row in rows[1:]):
        rows = [(*row[:3], *row[4:]) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {"#", "CPU", "TSC"}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(row, widths, rows[0], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    if left_out > 0:
        lines.insert(1 + _FIRST, f"… {left_out} more, in the JSON report …")
    return "\n".join(lines)


def _row(interrupt: InterruptRecord) -> tuple[str, ...]:
    error = "" if interrupt.error_code is None else f"{interrupt.error_code:#x}"
    return (
        str(interrupt.seq),
        str(interrupt.cpu),
        f"{'  ' * interrupt.depth}{interrupt.vector:#04x} {interrupt.name}".rstrip(),
        error,
        f"{interrupt.cs:02x}:{interrupt.rip:x}",
        str(interrupt.tsc),
        "yes" if interrupt.in_service else "no",
        printable(interrupt.where),
    )
