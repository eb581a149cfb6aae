"""Finds the cases and targets that the command line names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer
from rich.text import Text

from harness.probes.loader import LoadError, LoadProblem, catalogue_root, discover, mentions_probe, same_id
from harness.probes.probe import Case, Probe
from harness.probes.probe_places import name_on_disk, probe_files, shipped_root, shown
from harness.probes.selection import Keywords, SelectionError, select
from harness.qemu.errors import QemuError, QemuStartError
from harness.qemu.target import Target
from harness.report.terminal import make_console
from harness.report.text import plural

__all__ = ["check_programs", "find_cases", "usage_error"]


def usage_error(message: str) -> NoReturn:
    """Print the usage error, and exit with code 2."""
    make_console(stderr=True).print(Text.assemble(("trapgate: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(2)


def check_programs(targets: Iterable[Target]) -> None:
    """Refuse a QEMU program that cannot serve any run: once, before the first run. Raises QemuError."""
    from harness.qemu.features import features  # starts QEMU where the answer is not cached

    for target in {target.binary: target for target in targets}.values():
        wanted = Path(target.binary or "")
        if wanted.parent != Path() and wanted.is_dir():
            raise QemuError(f"{wanted}: is a folder. Expected: the QEMU program, as qemu-system-x86_64")
        if wanted.parent != Path() and wanted.is_file() and not os.access(wanted, os.X_OK):
            raise QemuError(f"{wanted}: is not executable. To fix: chmod +x, or give another --qemu")
        program = str(target.find_binary())
        try:
            features(program)
        except QemuStartError as error:
            raise QemuError(f"{program}: {error.summary}") from error


def find_cases(
    names: Sequence[str],
    folders: Sequence[Path] = (),
    keywords: Keywords | None = None,
    broken: list[LoadProblem] | None = None,
    *,
    catalogue: bool = False,
) -> list[Case]:
    """The cases that the names select: files and folders on disk first, then what is in `folders`, or in the catalogue.

    `catalogue` adds the catalogue to `folders`. A probe file that cannot be loaded ends the command (exit code 2),
    unless the names cannot select it, or `broken` is a list and other cases are left: then the problems are added to
    the list. Raises SelectionError and LoadError.
    """
    roots = [folder.resolve() for folder in folders]
    if catalogue or not roots:
        roots.append(catalogue_root())
    missing = [LoadProblem(root, 0, "no such folder") for root in roots if not root.exists()]
    if missing:
        raise LoadError(missing)
    places = {name: _place(name, roots, own=bool(folders)) for name in names}
    chosen = [place for place in places.values() if place is not None]
    found = discover([*(roots if len(chosen) < len(places) or not names else ()), *chosen])
    concerned = [problem for problem in found.problems if _concerns(problem, places, roots)]
    if concerned and (broken is None or not found.probes):
        raise LoadError(concerned)
    unconcerned = sorted({shown(problem.path) for problem in found.problems if problem not in concerned})
    if unconcerned:
        files = plural(len(unconcerned), "probe file")
        note = f"{files} that cannot be loaded, and that this call does not select: {', '.join(unconcerned)}"
        make_console(stderr=True).print(note, soft_wrap=True)
    _refuse_equal_ids(found.probes)
    if concerned and broken is not None:
        broken += concerned
        try:
            return select(found.probes, names, keywords)
        except SelectionError as error:  # the broken file may hold what a name selects
            raise LoadError(concerned) from error
    return select(found.probes, names, keywords)


def _place(name: str, roots: Sequence[Path], *, own: bool) -> Path | None:
    """The file or folder that holds everything a name can select, where there is one; no other is loaded.

    A path that exists has priority over the same name below a root; a folder has it only if it may hold a probe.
    """
    text = name.partition("[")[0].partition("::")[0].rstrip("/").removeprefix("./")
    inside = [place for root in roots if text and (place := (root / text).resolve()).exists()]
    here = name_on_disk(name)
    if here is not None and (here[0].is_file() or any(map(mentions_probe, probe_files(here[0])))):
        other = next((place for place in inside if place != here[0]), None)
        if own and other is not None and not name.startswith((".", "/")):
            raise SelectionError(
                f"{name!r} is both {shown(here[0])} and {shown(other)}. To fix: write ./{name} or {shown(other)}"
            )
        return here[0]
    return inside[0] if len(roots) == 1 and inside and inside[0].is_relative_to(roots[0]) else None


def _concerns(problem: LoadProblem, places: Mapping[str, Path | None], roots: Sequence[Path]) -> bool:
    """Whether a broken file may hold what one of the names selects; a name without a place may be in any file."""
    for name, known in places.items():
        text = name.partition("[")[0].partition("::")[0].rstrip("/").removeprefix("./")
        found = [known] if known is not None else [root / text for root in roots if text and (root / text).exists()]
        if found:
            if any(problem.path.is_relative_to(place.resolve()) for place in found):
                return True
        elif not text.endswith(".py") or problem.path.as_posix().endswith(f"/{text}"):
            return True
    return not places


def _refuse_equal_ids(probes: Iterable[Probe]) -> None:
    seen: dict[str, Probe] = {}
    for found in probes:
        before = seen.setdefault(found.id, found)
        if before is not found:
            if found.root == shipped_root():  # the user's own probe is the one to change
                found, before = before, found
            raise LoadError([LoadProblem(found.path, found.line, same_id(found, before))])
