"""The explanation of a run that did not pass, as titled sections of plain text.

The command line, the pytest plugin and the JUnit file show the same sections.
"""

from __future__ import annotations

import linecache
from dataclasses import replace
from pathlib import Path

from harness.evidence.failures import Section, SectionKind
from harness.probes.probe_places import shown
from harness.report.documents import with_documents
from harness.report.interrupts import interrupt_table
from harness.report.text import printable
from harness.run.record import RunRecord, Verdict

__all__ = ["explain", "source_excerpt"]

_BEFORE = 4  # lines of source above the one at fault


def explain(record: RunRecord, width: int = 100) -> tuple[Section, ...]:
    """The sections in reading order: rule, finding and place, evidence, and the command that repeats the run.

    `width`: columns that a table may take.
    """
    sections = [Section("Rule", f"{record.rule}\n{record.citation}", SectionKind.CONTEXT)]
    reason = Section("Reason", printable(with_documents(record.reason)), SectionKind.VERDICT)
    if record.verdict is Verdict.UNSUPPORTED:
        return (*sections, replace(reason, title="Unsupported"))
    detail = [replace(section, text=_tidy(section.text)) for section in record.detail.sections if section.text.strip()]
    excerpt = source_excerpt(record.detail.path, record.detail.line)
    if excerpt:
        title = f"{shown(Path(record.detail.path))}:{record.detail.line}"
        sections.append(Section(title, excerpt, SectionKind.CONTEXT))
    if record.reason and not any(section.kind is SectionKind.VERDICT for section in detail):
        sections.append(reason)
    found = [section for section in detail if section.kind is not SectionKind.EVIDENCE]
    sections += found
    if record.command_line or record.interrupts or record.marks:
        sections.append(Section("Interrupts", interrupt_table(record.interrupts, record.marks, width)))
    sections += [section for section in detail if section.kind is SectionKind.EVIDENCE]
    if record.attempts > 1:
        again = f"{record.attempts}: another process killed QEMU, which was started once more"
        sections.append(Section("Attempts", again, SectionKind.CONTEXT))
    if record.command_line:
        sections.append(Section("QEMU command line", record.command_line, SectionKind.CONTEXT))
    if record.rerun:
        sections.append(Section("Run it again", record.rerun, SectionKind.CONTEXT))
    return tuple(sections)


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in printable(text).strip("\n").split("\n"))


def source_excerpt(path: str, line: int) -> str:
    """The numbered source lines up to the one at fault, which is marked; empty where there is no source."""
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
