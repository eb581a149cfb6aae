"""Everything a person needs to understand a run that did not pass, as titled sections of plain text.

The command line, the pytest plugin and the JUnit file show the same sections.
"""

from __future__ import annotations

import linecache
from pathlib import Path

from harness.probes.probe_places import shown
from harness.report.documents import with_documents
from harness.report.interrupts import interrupt_table
from harness.report.text import printable
from harness.run.record import RunRecord, Verdict

__all__ = ["explain", "source_excerpt"]

_FINDINGS = ("Assertion", "Reason", "Why", "Error", "Values")  # what was found comes first, then the evidence
_BEFORE = 4  # lines of source above the one at fault


def explain(record: RunRecord, width: int = 100) -> tuple[tuple[str, str], ...]:
    """The sections in reading order: rule, what was found and where, evidence, and how to do it again.

    `width`: columns that a table may take.
    """
    sections = [("Rule", f"{record.rule}\n{record.citation}")]
    if record.verdict is Verdict.UNSUPPORTED:
        return (*sections, ("Unsupported", printable(with_documents(record.reason))))
    detail = [(title, _tidy(text)) for title, text in record.detail.sections if text.strip()]
    titles = " ".join(title.lower() for title, _ in detail)
    excerpt = source_excerpt(record.detail.path, record.detail.line)
    if excerpt:
        sections.append((f"{shown(Path(record.detail.path))}:{record.detail.line}", excerpt))
    if "assertion" not in titles and "reason" not in titles and record.reason:
        sections.append(("Reason", printable(with_documents(record.reason))))
    found = [section for section in detail if section[0].startswith(_FINDINGS)]
    sections += found
    booted = record.command_line or record.interrupts or record.marks
    if booted and "interrupt" not in titles:
        sections.append(("Interrupts", interrupt_table(record.interrupts, record.marks, width)))
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
