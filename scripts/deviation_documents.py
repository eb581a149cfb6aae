#!/usr/bin/env python3
"""Write the facts of the catalogue's records into their documents, and the index docs/deviations.md.

usage: .venv/bin/python scripts/deviation_documents.py [--check]

A record (`Deviation`) owns its class and its versions. Each document repeats them in the lines `- Class:` and
`- Versions:`; the index has a section for each class. A test compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from harness.probes.deviation import KINDS, Deviation
from harness.probes.loader import load_probes
from harness.probes.probe import Probe

__all__ = ["NEWEST", "documents", "index", "with_facts"]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "deviations"
INDEX = ROOT / "docs" / "deviations.md"
NEWEST = "11.1.3"
"""The newest QEMU that the catalogue was run with."""
OLDEST = "7.2.22"
NEWEST_LINUX = "6.18"
"""The newest Linux whose KVM the catalogue was run with."""
TITLES = {
    "bug": "Bugs",
    "unimplemented": "Unimplemented functions and checks",
    "by design": "Differences by design",
    "manual silent or contradictory": "The manual is silent or contradicts itself",
}


def documents(probes: Iterable[Probe]) -> Mapping[Path, list[Deviation]]:
    """The records of each document of the project."""
    found: dict[Path, list[Deviation]] = {}
    for probe in probes:
        for record in probe.deviations:
            if record.ref.startswith("docs/"):
                found.setdefault(ROOT / record.ref, []).append(record)
    return dict(sorted(found.items()))


def in_newest(records: Iterable[Deviation]) -> bool:
    """Whether the newest QEMU, under KVM with the newest Linux, still has the deviation."""
    return any(record.in_version(NEWEST) and record.in_linux(NEWEST_LINUX) for record in records)


def with_facts(text: str, records: list[Deviation]) -> str:
    """The document with the lines that its records own, behind its `- Targets:`."""
    other = re.sub(r"(?m)^- (Class|Versions): .*\n(  .*\n)*", "", text)
    match = re.search(r"(?m)^- Targets: .*\n(  .*\n)*", other)
    if match is None:
        raise SystemExit(f"no Targets: {text.splitlines()[0]}")
    return other[: match.end()] + "\n".join(_facts(records)) + "\n" + other[match.end() :]


def _facts(records: list[Deviation]) -> list[str]:
    kinds = sorted({record.kind for record in records})
    bounds = dict.fromkeys(record.versions for record in records)
    versions = " Another part: ".join(map(_history, ["*"] if "*" in bounds else bounds))
    newest = f"QEMU {NEWEST} has it." if in_newest(records) else f"QEMU {NEWEST} does not have it."
    kernels = {record.linux for record in records}
    if "*" not in kernels:
        versions, newest = _history(kernels.pop(), "Linux"), f"Linux {NEWEST_LINUX} does not have it."
    return [f"- Class: {', '.join(kinds)}.", *_wrapped(f"- Versions: {versions} {newest}")]


def _history(versions: str, of: str = "") -> str:
    """First bad and first good versions, in words; `of` names a program other than QEMU."""
    if versions == "*":
        return f"first bad: unknown, {OLDEST} has it; first good: none."
    branches = [SpecifierSet(branch) for branch in re.split(r"\s+or\s+", versions)]
    bad = [part.version for branch in branches for part in branch if part.operator == ">="]
    good = [part.version for branch in branches for part in branch if part.operator == "<"]
    whole = any(all(part.operator == "<" for part in branch) for branch in branches)
    if of:
        return f"first bad: {of}, unknown; first good: {of} {', '.join(sorted(good, key=Version))} (`{versions}`)."
    first_bad = f"unknown, before {min(good, key=Version)}" if whole else min(bad, key=Version)
    return f"first bad: {first_bad}; first good: {', '.join(sorted(good, key=Version)) or 'none'} (`{versions}`)."


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > 120:
            lines.append(line)
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def index(found: Mapping[Path, list[Deviation]], frame: str) -> str:
    """The index: the text of `frame` around a table for each class, split by what the newest QEMU has."""
    head, _, rest = frame.partition("\n## ")
    tail = rest[rest.index("## How they are recorded") :]
    sections = [head.rstrip()]
    for kind in KINDS:
        sections.append(f"## {TITLES[kind]}")
        for title, wanted in ((f"In QEMU {NEWEST}", True), (f"Not in QEMU {NEWEST}", False)):
            rows = [
                _row(path)
                for path, records in found.items()
                if kind in {record.kind for record in records} and in_newest(records) is wanted
            ]
            if rows:
                sections.append("\n".join([f"### {title}\n", "| deviation | targets |", "|---|---|", *rows]))
    return "\n\n".join([*sections, tail])


def _row(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    match = re.search(r"(?m)^- Targets: (.*\n(?:  .*\n)*)", text)
    targets = " ".join(match[1].split()).rstrip(".") if match else ""
    return f"| [{text.splitlines()[0].removeprefix('# ')}](deviations/{path.name}) | {targets} |"


def main() -> None:
    """Rewrite the documents and the index; with --check only name those that differ."""
    found = documents(load_probes())
    stale = []
    wanted = {path: with_facts(path.read_text(encoding="utf-8"), records) for path, records in found.items()}
    wanted[INDEX] = index(found, INDEX.read_text(encoding="utf-8"))
    for path, text in wanted.items():
        if text != path.read_text(encoding="utf-8"):
            stale.append(path.relative_to(ROOT).as_posix())
            if sys.argv[1:] != ["--check"]:
                path.write_text(text, encoding="utf-8")
    if stale and sys.argv[1:] == ["--check"]:
        raise SystemExit(f"stale. To fix: run scripts/deviation_documents.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
