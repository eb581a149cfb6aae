"""Compares the bullets of the coverage files with the probes that name them."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.probes.probe import Case
from harness.probes.probe_places import shown

__all__ = ["Bullet", "Coverage", "CoverageAnswer", "CoverageError", "State", "coverage_root", "load_bullets", "measure"]

_ID = re.compile(r"[a-z][a-z0-9]*\.[a-z0-9]+(-[a-z0-9]+)*")
_REQUIRED = ("id", "text", "citation")
_OPTIONAL = ("unsupported",)


class CoverageError(Exception):
    """Coverage files that cannot be used: one line for each thing that is wrong, with its file and line."""


class State(StrEnum):
    """The state of a bullet."""

    COVERED = "covered"
    UNSUPPORTED = "unsupported"
    MISSING = "missing"


@dataclass(frozen=True)
class Bullet:
    """One fact that the catalogue must state.

    `id` is a topic, a dot and a slug. `citation` names a manual and the section's title. `unsupported` is empty, or has
    what was tried and why no target here can show it.
    """

    id: str
    text: str
    citation: str
    unsupported: str
    path: Path
    line: int

    @property
    def area(self) -> str:
        """The name of its file."""
        return self.path.stem


@dataclass(frozen=True)
class CoverageAnswer:
    """A bullet and the cases of the probes that name it."""

    bullet: Bullet
    cases: tuple[Case, ...]

    @property
    def probes(self) -> tuple[str, ...]:
        """The ids of the probes, in the catalogue's order."""
        return tuple(dict.fromkeys(case.probe.id for case in self.cases))

    @property
    def state(self) -> State:
        """A bullet with a probe is covered, also if its entry has `unsupported`."""
        if self.cases:
            return State.COVERED
        return State.UNSUPPORTED if self.bullet.unsupported else State.MISSING


@dataclass(frozen=True)
class Coverage:
    """All answers, in the order of the files, and everything that is wrong with them, a line each."""

    answers: tuple[CoverageAnswer, ...]
    problems: tuple[str, ...]

    @property
    def areas(self) -> tuple[str, ...]:
        """The areas that have bullets."""
        return tuple(dict.fromkeys(answer.bullet.area for answer in self.answers))


def coverage_root() -> Path:
    """The folder of the coverage files, from a source tree or an installed wheel. Raises CoverageError without one."""
    spec = importlib.util.find_spec("guest")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        root = Path(folder, "docs", "coverage").resolve()
        if root.is_dir():
            return root
    raise CoverageError("docs/coverage: the coverage files are not installed; reinstall trapgate")


def load_bullets(folder: Path) -> tuple[Bullet, ...]:
    """The bullets of all `AREA.toml` in a folder, by file name, each file in its own order.

    Raises CoverageError, with every fault of every file, where one is not TOML, has no bullets, or an entry lacks or
    misspells a field.
    """
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise CoverageError(f"{shown(folder)}: no coverage files (AREA.toml) here")
    bullets: list[Bullet] = []
    faults: list[str] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            document = tomllib.loads(text)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            faults.append(f"{shown(path)}: {error}")
            continue
        entries = document.get("bullet")
        if set(document) != {"bullet"} or not isinstance(entries, list) or not entries:
            faults.append(f"{shown(path)}:1: expected [[bullet]] entries and nothing else")
            continue
        lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[bullet]]")]
        # a table array written inline has no headings to point at
        for entry, line in zip(entries, lines if len(lines) == len(entries) else [1] * len(entries), strict=True):
            fault = _fault(entry)
            if fault:
                faults.append(f"{shown(path)}:{line}: {fault}")
            else:
                fields = {name: str(entry.get(name, "")) for name in (*_REQUIRED, *_OPTIONAL)}
                bullets.append(Bullet(**fields, path=path, line=line))
    if faults:
        raise CoverageError("\n".join(faults))
    return tuple(bullets)


def _fault(entry: Any) -> str:
    """What is wrong with one entry; empty if nothing is."""
    if not isinstance(entry, dict):
        return "a bullet is a table with id, text and citation"
    for name in entry:
        if name not in (*_REQUIRED, *_OPTIONAL):
            return f"unknown field {name!r}. Expected: {', '.join(_REQUIRED)} and perhaps {', '.join(_OPTIONAL)}"
    for name in _REQUIRED:
        if name not in entry:
            return f"{name} is missing"
    for name, value in entry.items():
        if not isinstance(value, str) or not value.strip():
            return f"{name} must be a text that is not empty"
    if not _ID.fullmatch(entry["id"]):
        return f"id {entry['id']!r}: expected a topic, a dot and lower-case words joined by '-', as lapic.timer-stop"
    return ""


def measure(bullets: Sequence[Bullet], cases: Iterable[Case], areas: Sequence[str] = ()) -> Coverage:
    """Compare the probes with the bullets; with `areas`, only theirs.

    Problems are: an id that two bullets share, a probe that names an unknown id, a bullet that is neither covered nor
    unsupported, and one that is both. Raises CoverageError for an area without bullets.
    """
    known = {bullet.id: bullet for bullet in reversed(bullets)}
    unknown_areas = set(areas) - {bullet.area for bullet in bullets}
    if unknown_areas:
        listed = ", ".join(dict.fromkeys(bullet.area for bullet in bullets))
        raise CoverageError(f"no coverage file for {', '.join(sorted(unknown_areas))}; there are {listed}")
    chosen = [bullet for bullet in bullets if not areas or bullet.area in areas]
    members: dict[str, list[Case]] = {}
    problems = [
        f"{shown(bullet.path)}:{bullet.line}: {bullet.id} is taken by {shown(first.path)}:{first.line}; rename one"
        for bullet in chosen
        if (first := known[bullet.id]) is not bullet
    ]
    reported: set[tuple[str, str]] = set()
    for case in cases:
        found = case.probe
        for name in dict.fromkeys(found.covers):
            if name in known:
                members.setdefault(name, []).append(case)
            elif (found.id, name) not in reported and (not areas or found.area in areas):
                reported.add((found.id, name))
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else "write its entry, or correct it"
                problems.append(f"{shown(found.path)}:{found.line}: {found.name} covers {name}, which is no id; {hint}")
    answers = tuple(CoverageAnswer(bullet, tuple(members.get(bullet.id, ()))) for bullet in chosen)
    for answer in answers:
        bullet = answer.bullet
        place = f"{shown(bullet.path)}:{bullet.line}: {bullet.id}"
        if answer.state is State.MISSING:
            problems.append(f"{place} is missing: no probe covers it, and it has no reason in `unsupported`")
        elif answer.cases and bullet.unsupported:
            problems.append(
                f"{place} is unsupported by its entry, and {answer.probes[0]} covers it. To fix: remove one of the two"
            )
    return Coverage(answers, tuple(problems))
