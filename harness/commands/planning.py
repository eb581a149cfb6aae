"""From the command line's words to cases and targets."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import typer
from rich.text import Text

from harness.qemu.errors import QemuError, QemuStartError
from harness.qemu.target import Target
from harness.report.terminal import make_console
from harness.report.text import plural
from harness.run.loader import Discovery, LoadError, Problem, catalogue_root, discover, shown
from harness.run.probe import Case, Probe
from harness.run.record import FailureDetail, RunRecord, Verdict
from harness.run.selection import Keywords, SelectionError, select

__all__ = ["broken_records", "check_programs", "find_cases", "usage_error"]


def usage_error(message: str) -> NoReturn:
    """Say what was wrong with the call, and leave with exit code 2."""
    make_console(stderr=True).print(Text.assemble(("trapgate: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(2)


def check_programs(targets: Iterable[Target]) -> None:
    """Refuse a QEMU program that cannot serve any run: once, before the first run. Raises QemuError."""
    from harness.qemu.features import features  # starts QEMU where its answer is not known yet

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
            raise QemuError(f"{program}: {' '.join(str(error).splitlines()[:2])}") from error


def broken_records(problems: Iterable[Problem], target: str) -> tuple[RunRecord, ...]:
    """An `error` for each file that cannot be loaded, with all its problems, as a run on `target`."""
    files: dict[Path, list[Problem]] = {}
    for problem in problems:
        files.setdefault(problem.path, []).append(problem)
    return tuple(
        RunRecord(
            probe=shown(path),
            target=target,
            verdict=Verdict.ERROR,
            rule="",
            citation="",
            ms=0.0,
            reason=str(found[0]).splitlines()[0],
            detail=FailureDetail(
                (("The file cannot be loaded", "\n".join(map(str, found))),), str(path), found[0].line
            ),
            rerun=shlex.join(["trapgate", "run", shown(path)]),
        )
        for path, found in files.items()
    )


def find_cases(
    names: Sequence[str],
    folders: Sequence[Path] = (),
    keywords: Keywords | None = None,
    broken: list[Problem] | None = None,
) -> list[Case]:
    """The cases that the names mean: in the catalogue, or in `folders` instead of it, or in files named by their path.

    A probe file that cannot be loaded ends the command (exit code 2), unless the names have nothing to do with it, or
    `broken` is a list and other cases are left: then the problems are added to it.
    Raises SelectionError and LoadError.
    """
    roots = [folder.resolve() for folder in folders] or [catalogue_root()]
    places = _places(names, roots)
    found = discover(places, roots[0]) if places else discover(roots)
    outside = [name for name in names if _is_outside(name, found.probes, roots)]
    if outside:
        more = discover([Path(name.partition("[")[0]) for name in outside])
        found = Discovery((*found.probes, *more.probes), (*found.problems, *more.problems))
    concerned = [problem for problem in found.problems if _concerns(problem, names, roots)]
    if concerned and (broken is None or not found.probes):
        raise LoadError(concerned)
    unconcerned = sorted({shown(problem.path) for problem in found.problems if problem not in concerned})
    if unconcerned:
        files = plural(len(unconcerned), "probe file")
        note = f"{files} that cannot be loaded, and that nobody asked for: {', '.join(unconcerned)}"
        make_console(stderr=True).print(note, soft_wrap=True)
    _refuse_equal_ids(found.probes)
    if concerned and broken is not None:
        broken += concerned
        try:
            return select(found.probes, names, keywords)
        except SelectionError as error:  # what a name means may be in the broken file
            raise LoadError(concerned) from error
    return select(found.probes, names, keywords)


def _places(names: Sequence[str], roots: Sequence[Path]) -> list[Path]:
    """The files and folders that hold all that the names mean, where each name tells its place: no other is loaded."""
    places = []
    for name in names:
        text = name.partition("[")[0].partition("::")[0].rstrip("/").removeprefix("./")
        place = (roots[0] / text).resolve()
        if not text or len(roots) > 1 or not place.exists() or not place.is_relative_to(roots[0]):
            return []
        places.append(place)
    return places


def _is_outside(name: str, probes: Sequence[Probe], roots: Sequence[Path]) -> bool:
    """Whether a name is a path on disk that neither the roots nor their ids know."""
    path = Path(name.partition("[")[0].partition("::")[0])
    if not path.exists() or any(path.resolve().is_relative_to(root) for root in roots):
        return False
    try:
        return not select(probes, [name])
    except SelectionError:
        return True


def _concerns(problem: Problem, names: Sequence[str], roots: Sequence[Path]) -> bool:
    """Whether a broken file may hold what one of the names means; a name that tells no place may mean any file."""
    for name in names:
        text = name.partition("[")[0].partition("::")[0].rstrip("/").removeprefix("./")
        places = [place.resolve() for base in (*roots, Path.cwd()) if text and (place := base / text).exists()]
        if places:
            if any(problem.path.is_relative_to(place) for place in places):
                return True
        elif not text.endswith(".py") or problem.path.as_posix().endswith(f"/{text}"):
            return True
    return not names


def _refuse_equal_ids(probes: Iterable[Probe]) -> None:
    seen: dict[str, Probe] = {}
    for found in probes:
        before = seen.setdefault(found.id, found)
        if before is not found:
            text = f"has the id {found.id}, as {shown(before.path)} has; rename one, or run the folders one at a time"
            raise LoadError([Problem(found.path, found.line, text)])
