"""Finds the targets that options name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from harness.qemu.errors import TargetError
from harness.qemu.target import Target, load_targets
from harness.run.record import RunRecord, Verdict
from harness.run.rerun import with_require

__all__ = ["DEFAULT_TARGET", "find_targets", "hold_required", "required_targets"]

DEFAULT_TARGET = "q35-tcg"


def find_targets(values: Sequence[str], file: Path | None = None, qemu: str | None = None) -> list[Target]:
    """The targets of `--target` values (each a name, a comma list, or `all`), on the QEMU of `--qemu` if given.

    Raises TargetError where a name is unknown, with near matches.
    """
    known = load_targets(file)
    chosen: dict[str, Target] = {}
    for name in [part.strip() for value in values for part in value.split(",") if part.strip()] or [DEFAULT_TARGET]:
        if name == "all":
            chosen.update(known)
        elif name in known:
            chosen[name] = known[name]
        else:
            near = get_close_matches(name, list(known), n=3, cutoff=0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else "."
            raise TargetError(f"no target is named {name!r}{hint} Known: {', '.join(known)}, or all")
    return [replace(target, binary=qemu) if qemu else target for target in chosen.values()]


def required_targets(values: Sequence[str], targets: Sequence[Target]) -> frozenset[str]:
    """The names that `--require` values mean (each a name, a comma list, or `all`), among the targets of this run.

    Raises TargetError for a target that this run does not have: it would never be checked.
    """
    chosen = [target.name for target in targets]
    required: set[str] = set()
    for name in [part.strip() for value in values for part in value.split(",")]:
        if name != "all" and name not in chosen:
            raise TargetError(
                f"{name!r} is required and not among the targets of this run: {', '.join(chosen)}, or all"
            )
        required.update(chosen if name == "all" else [name])
    return frozenset(required)


def hold_required(record: RunRecord, required: frozenset[str]) -> RunRecord:
    """The record; a `fail` if this host cannot run it on a target that is required to work."""
    if record.lacking != "host" or record.target not in required:
        return record
    reason = f"{record.target} is required, and this host cannot run it: {record.reason}"
    return replace(record, verdict=Verdict.FAIL, reason=reason, rerun=with_require(record.rerun, record.target))
