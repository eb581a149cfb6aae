"""Shell completion of the names of probes and targets: `trapgate --install-completion`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

import typer

from harness.probes.loader import LoadError, catalogue_root, discover
from harness.probes.probe import Probe
from harness.probes.project_settings import ProjectSettings, SettingsError, find_settings
from harness.qemu.errors import QemuError
from harness.qemu.target import load_targets

__all__ = ["complete_names", "complete_targets", "end_word_at_colons"]


def end_word_at_colons(environment: MutableMapping[str, str]) -> None:
    """Bash ends a word at `::`: where that is the word at the cursor, the one to complete is an empty one behind it."""
    words = environment.get("COMP_WORDS", "").split()
    if environment.get("_TRAPGATE_COMPLETE") == "complete_bash" and words and set(words[-1]) == {":"}:
        environment["COMP_CWORD"] = str(len(words))


def complete_targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """The targets with this prefix, of those that ship and of `--target-file`; in a comma list for the last name."""
    try:
        known = load_targets(ctx.params.get("target_file") or _settings().target_file)
    except QemuError:
        known = load_targets()
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in (*known, "all")]


def complete_names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Areas and files; behind `::` the probes of the file, behind `[` the cases of the probe. With their rules."""
    roots = list(ctx.params.get("probes") or _settings().probes)
    try:
        if ctx.params.get("catalogue") or not roots:
            roots.append(catalogue_root())
        probes = discover(roots).probes
    except LoadError:
        return []
    before = _before_colons(ctx.params.get("names") or (), incomplete)
    found = _names(probes, before + incomplete)
    return [(name.removeprefix(before), rule) for name, rule in found if name.startswith(before + incomplete)]


def _settings() -> ProjectSettings:
    try:
        return find_settings(Path.cwd())
    except (SettingsError, OSError):
        return ProjectSettings()


def _before_colons(names: Iterable[str], incomplete: str) -> str:
    """The part of a name that bash splits off: it ends a word at `::`, so that `a.py::p` is three words."""
    words = [*names]
    if words and words[-1] == incomplete:
        words.pop()
    if len(words) >= 2 and words[-1] == "::":
        return "".join(words[-2:])
    return ""


def _names(probes: Iterable[Probe], text: str) -> Iterator[tuple[str, str]]:
    """Each name of the kind that the text has reached, once."""
    seen: set[str] = set()
    for probe in probes:
        if "[" in text:
            entries = [(case.id, probe.rule) for case in probe.cases()]
        elif "::" in text:
            entries = [(probe.id, probe.rule)]
        else:
            entries = [(probe.area, ""), (probe.relative, "")]
        for name, rule in entries:
            if name not in seen:
                seen.add(name)
                yield name, rule
