"""`trapgate run --watch`: a run for each change of the probes, until Ctrl-C.

Each run is a `trapgate run` in a process of its own. So no module of an earlier version is left, and probes that break
their process do not end the watch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.rule import Rule
from rich.text import Text

from harness.commands.options import Selection
from harness.commands.planning import usage_error
from harness.probes.dependents import concerned, own_packages
from harness.probes.loader import catalogue_root
from harness.probes.probe_places import is_loop, name_on_disk, probes_root, shown
from harness.report.terminal import make_console
from harness.report.text import plural, printable

__all__ = ["watch_runs"]

_READER_LEFT = 141
_PROGRAM = "import sys; from harness.cli import main; sys.argv[0] = 'trapgate'; main()"
_WAKE_MS = 200  # also the time between the start of the watch and the first run
_MOST_NAMES = 3


@dataclass(frozen=True)
class _Watched:
    """Folders whose Python files count, each without the folders below it, and further files."""

    folders: frozenset[Path]
    extra: frozenset[Path]

    @classmethod
    def of(cls, selection: Selection, extra: Sequence[Path | None]) -> _Watched:
        roots: set[Path] = set()
        above: set[Path] = set()
        places = [name_on_disk(name) for name in selection.names or ()]
        for place in places:
            if place is not None:
                file = place[0]
                roots.add(file if file.is_dir() else file.parent)
                root = probes_root(file)
                above |= {folder for folder in file.parents if folder.is_relative_to(root)}
        if None in places or not places:
            roots |= {folder.resolve() for folder in selection.probes or ()}
            roots |= {catalogue_root()} if selection.catalogue or not selection.probes else set()
        folders = above | {folder for root in roots for folder in _folders(root)}
        for package in own_packages(_sources(folders)):
            folders |= set(_folders(package))
        files = frozenset(path.parent.resolve() / path.name for path in extra if path is not None)
        return cls(frozenset(folders), files)

    @property
    def files(self) -> list[Path]:
        """The Python files that are there now."""
        return list(_sources(self.folders))

    @property
    def all_folders(self) -> list[str]:
        """Every folder where a change can count, and that exists."""
        return sorted(
            {str(folder) for folder in (*self.folders, *(file.parent for file in self.extra)) if folder.is_dir()}
        )

    def counts(self, path: Path) -> bool:
        """Whether a change of this path can change a result. What runs write, such as reports, does not count."""
        return path in self.extra or (path.suffix == ".py" and path.parent in self.folders)


def _folders(root: Path) -> Iterator[Path]:
    """The folder and those below it, without hidden ones, caches and virtual environments; each once."""
    seen: set[str] = set()
    for name, below, _ in os.walk(root, followlinks=True):
        real = os.path.realpath(name)
        if real in seen or is_loop(Path(name)):
            below.clear()
            continue
        seen.add(real)
        below[:] = [
            entry
            for entry in below
            if not entry.startswith(".") and entry != "__pycache__" and not Path(name, entry, "pyvenv.cfg").exists()
        ]
        yield Path(name).resolve()


def _sources(folders: Collection[Path]) -> Iterator[Path]:
    for folder in sorted(folders):
        yield from sorted(folder.glob("*.py"))


class _Watch:
    """Waits for changes. What changes while nobody waits is returned by the next call."""

    def __init__(self, selection: Selection, extra: Sequence[Path | None]) -> None:
        self._given = selection, extra
        self.watched = _Watched.of(selection, extra)
        if not self.watched.all_folders:
            usage_error("--watch: there is no folder to watch. To fix: name a file or a folder that exists")
        self._early, self._changes = _started(self.watched)

    def wait(self) -> set[Path]:
        """The changed files that count; at least one."""
        while True:
            found, self._early = self._early or next(self._changes), set()
            if not found:
                continue
            before, self.watched = self.watched, _Watched.of(*self._given)
            counting = {path for path in found if before.counts(path)}
            if self.watched.all_folders != before.all_folders:
                self._early, self._changes = _started(self.watched)
                counting |= set(_sources(self.watched.folders - before.folders))
            if counting:
                return counting


def _started(watched: _Watched) -> tuple[set[Path], Iterator[set[Path]]]:
    """The changes up to now, and those to come; empty sets where nothing changes for a time."""
    from watchfiles import watch  # not for --help

    found = watch(
        *watched.all_folders,
        watch_filter=None,
        recursive=False,
        rust_timeout=_WAKE_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    batches = ({Path(name) for _, name in batch} for batch in found)
    return next(batches), batches  # the watch begins with the first call of `next`


def watch_runs(selection: Selection, extra: Sequence[Path | None]) -> int:
    """Run the command line without `--watch`, once and at each change; returns the status of the last run.

    A change of one of the files `extra` (the target file, …) counts, too.
    """
    status, number, changed = 0, 1, set[Path]()
    try:
        watch = _Watch(selection, extra)
        while True:
            _heading(number, changed)
            status, ended = _round(_concerned(watch.watched, changed))
            if ended:
                return status
            note = f"\nWaiting for changes in {plural(len(watch.watched.all_folders), 'folder')}. Ctrl-C ends."
            make_console().print(Text(note, "dim"), soft_wrap=True)
            sys.stdout.flush()
            changed = watch.wait()
            number += 1
    except KeyboardInterrupt:
        return status


def _concerned(watched: _Watched, changed: set[Path]) -> list[Path]:
    """The probe files to run; none stands for all."""
    if not changed or changed & watched.extra:
        return []
    return sorted(concerned(changed, watched.files))


def _heading(number: int, changed: set[Path]) -> None:
    """A terminal shows the newest run alone; elsewhere a line separates the runs."""
    console = make_console()
    if console.is_terminal and not console.is_dumb_terminal:
        console.clear()
    if changed:
        names = [shown(path) for path in sorted(changed)]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        title = printable(f"run {number}: {', '.join(names[:_MOST_NAMES])}{more} changed")
        console.print(Rule(Text(title), align="left", style="dim"))
    sys.stdout.flush()


def _round(files: Sequence[Path]) -> tuple[int, bool]:
    """One run of all or of these files: its status, and whether it ends the watch."""
    words = sys.argv[1:]
    at = words.index("run") + 1
    rest = [word for word in words[at:] if word != "--watch"]
    command = [sys.executable, "-P", "-c", _PROGRAM, *words[:at], *(f"--changed={file}" for file in files), *rest]
    # A process group of its own: a signal of the terminal reaches this process alone, which passes it on once.
    process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *command], process_group=0)
    with _passed_on(process) as passed:
        code = process.wait()
    code = 128 - code if code < 0 else code
    return code, bool(passed) or code == _READER_LEFT


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass SIGINT, SIGTERM and SIGHUP on to the run, which ends its machines; the list has those that came."""
    passed: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        passed.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield passed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
