"""Records of deviations that users have in a file of their own, in addition to those of the probes.

    [[deviation]]
    probes = "timers/hpet.py::one_shot_*"
    cases = "*"
    targets = "q35-tcg"
    versions = ">=10,<10.0.7"
    kind = "bug"
    sees = "waited for vector"
    ref = "https://tracker.example/1234"

The fields are those of `Deviation`, and `probes`, a glob over probe ids. `ref = ""` is a draft, which does not count.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from harness.probes.deviation import Deviation
from harness.probes.probe_error import ProbeError

__all__ = ["OwnRecord", "RecordsError", "draft", "load_records"]

_FIELDS = {field.name: field.default is MISSING for field in fields(Deviation)} | {"probes": True, "versions": True}
_HEAD = re.compile(r"\s*\[\[\s*deviation\s*\]\]")


class RecordsError(Exception):
    """A file of records that cannot be used: FILE:LINE, what is wrong, what was expected."""


@dataclass(frozen=True)
class OwnRecord:
    """A deviation of the probes whose id `probes` matches."""

    probes: str
    deviation: Deviation

    def covers(self, probe: str) -> bool:
        """Whether it is one of that probe."""
        return fnmatch(probe, self.probes)


def load_records(path: Path, probes: Collection[str] | None = None) -> tuple[tuple[OwnRecord, ...], int]:
    """The records of a file, and the number of its drafts. `probes` are the ids of all that there are, where known.

    Raises RecordsError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordsError(f"{path}: cannot be read: {error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecordsError(f"{path}: is not TOML: {error}") from error
    tables = document.get("deviation", [])
    if set(document) - {"deviation"} or not isinstance(tables, list):
        names = ", ".join(sorted(set(document) - {"deviation"})) or "deviation"
        raise RecordsError(f"{path}: {names}: expected tables [[deviation]] only")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if _HEAD.match(line)]
    found, drafts = [], 0
    for table, line in zip(tables, [*lines, *[1] * len(tables)], strict=False):
        record = _record(table, f"{path}:{line}", probes)
        if record is None:
            drafts += 1
        else:
            found.append(record)
    return tuple(found), drafts


def _record(table: Any, place: str, probes: Collection[str] | None) -> OwnRecord | None:
    for key in table:
        if key not in _FIELDS:
            near = get_close_matches(key, _FIELDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise RecordsError(f"{place}: unknown field {key!r}{hint} Known: {', '.join(sorted(_FIELDS))}")
    missing = [name for name, needed in _FIELDS.items() if needed and name not in table]
    if missing:
        raise RecordsError(f"{place}: {', '.join(missing)}: missing. A record needs {', '.join(_needed())}")
    pattern, is_draft = table["probes"], table["ref"] == ""
    values = {name: value for name, value in table.items() if name != "probes"}
    try:
        record = Deviation(**values | ({"ref": "draft"} if is_draft else {}))
    except ProbeError as error:
        raise RecordsError(f"{place}: {error}") from error
    if not isinstance(pattern, str) or not pattern:
        raise RecordsError(f"{place}: probes = {pattern!r}: expected a glob over probe ids")
    if probes is not None and not any(fnmatch(probe, pattern) for probe in probes):
        raise RecordsError(f"{place}: probes = {pattern!r} matches no probe. See `trapgate list`")
    return None if is_draft else OwnRecord(pattern, record)


def _needed() -> list[str]:
    return [name for name, needed in _FIELDS.items() if needed]


def draft(failures: Iterable[tuple[str, str, str, str, str]]) -> str:
    """A file of drafts: one for each (probe, case, kind of target, version, reason)."""
    head = "# Drafts. Each needs its class and a reference (ref) before it counts; widen cases, targets and versions.\n"
    return head + "".join(_draft(*failure) for failure in failures)


def _draft(probe: str, case: str, target: str, version: str, reason: str) -> str:
    rows: Sequence[tuple[str, str]] = (
        ("probes", _literally(probe)),
        ("cases", _literally(case) if case else "*"),
        ("targets", target),
        ("versions", f"=={version}"),
        ("kind", "bug"),
        ("sees", re.escape(reason)),
        ("ref", ""),
    )
    return "\n[[deviation]]\n" + "".join(f"{name} = {_quoted(value)}\n" for name, value in rows)


def _literally(text: str) -> str:
    """A glob that only this text matches."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'
