"""The JUnit XML that GitLab, Jenkins and GitHub's actions read: a suite for each target, a case for each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from platform import node
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.report.atomic import write_atomic
from harness.report.failure import explain
from harness.report.text import printable
from harness.run.record import RunRecord, Verdict

__all__ = ["junit_xml", "write_junit"]


def write_junit(path: Path, records: Sequence[RunRecord], properties: Mapping[str, str] | None = None) -> None:
    """Write the report in one step. Raises OSError."""
    write_atomic(path, junit_xml(records, properties))


def junit_xml(records: Sequence[RunRecord], properties: Mapping[str, str] | None = None) -> bytes:
    """The document.

    `fail` is a `<failure>`, `error` an `<error>`; `unsupported` and `deviation` are `<skipped>` with their reason and a
    `type` that distinguishes them, because the format has no better means. Times are seconds.
    """
    root = Element("testsuites", {"name": "trapgate", **_totals(records)})
    suites: dict[str, list[RunRecord]] = {}
    for record in records:
        suites.setdefault(record.target, []).append(record)
    for target, runs in suites.items():
        suite = SubElement(root, "testsuite", {"name": target, "hostname": node(), **_totals(runs)})
        suite.set("timestamp", datetime.now(UTC).isoformat(timespec="seconds"))
        if properties:
            listed = SubElement(suite, "properties")
            for name, value in properties.items():
                SubElement(listed, "property", name=name, value=printable(value))
        for record in runs:
            suite.append(_case(record))
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _totals(records: Sequence[RunRecord]) -> dict[str, str]:
    counts = Counter(record.verdict for record in records)
    return {
        "tests": str(len(records)),
        "failures": str(counts[Verdict.FAIL]),
        "errors": str(counts[Verdict.ERROR]),
        "skipped": str(counts[Verdict.UNSUPPORTED] + counts[Verdict.DEVIATION]),
        "time": _seconds(sum(record.ms for record in records)),
    }


def _case(record: RunRecord) -> Element:
    file, _, name = record.probe.partition("::")
    classname = ".".join((record.target, *PurePosixPath(file).with_suffix("").parts))
    case = Element("testcase", classname=classname, name=name, file=file, time=_seconds(record.ms))
    if record.verdict is Verdict.PASS:
        return case
    message = printable(record.reason)
    text = "\n\n".join(f"{section.title}\n{section.text}" for section in explain(record))
    match record.verdict:
        case Verdict.FAIL:
            SubElement(case, "failure", type="AssertionError", message=message).text = text
        case Verdict.ERROR:
            SubElement(case, "error", type="trapgate.error", message=message).text = text
        case _:
            SubElement(case, "skipped", type=f"trapgate.{record.verdict}", message=message)
    return case


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.6f}"
