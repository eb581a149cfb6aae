"""Plain `pytest` says which probe files of the project it did not collect."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from harness.run.probe_places import is_loop, probes_root

__all__ = ["Uncollected"]

_MOST_FILES = 5_000  # Python files looked at: the search must not slow down a large project


class Uncollected:
    """Compares what was collected with what the project holds, at the end of a session that was given no path."""

    def __init__(self, holds_probe: Callable[[Path], bool]) -> None:
        self._holds_probe = holds_probe
        self._collected: set[Path] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember the files that gave items."""
        self._collected.add(item.path.resolve())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember the files that could not be collected: pytest reports these itself."""
        if report.failed:
            self._collected.add(Path(report.fspath).resolve())

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """The same with xdist, where the workers collect."""
        files = {name.partition("::")[0] for name in ids}
        self._collected.update(Path(node.config.rootpath, file).resolve() for file in files)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """A line for each folder of probes."""
        roots: dict[Path, list[Path]] = {}
        for path in _python_files(config.rootpath, config.getini("norecursedirs")):
            real = path.resolve()
            if real not in self._collected and self._holds_probe(path):
                roots.setdefault(probes_root(real), []).append(path)
        for files in roots.values():
            folder = Path(os.path.commonpath([file.parent for file in files])).relative_to(config.rootpath).as_posix()
            number = f"{len(files)} probe file{'' if len(files) == 1 else 's'}"
            terminalreporter.write_line(
                f"trapgate: {number} below {folder} not collected, because no folder of the ini option trapgate_probes "
                f"holds {'it' if len(files) == 1 else 'them'}. "
                f"To fix: run `pytest {folder}`, or set trapgate_probes = {folder}",
                yellow=True,
            )


def _python_files(root: Path, left_out: list[str]) -> Iterator[Path]:
    """The Python files that pytest may collect, below the root, in the folders that it recurses into."""
    number = 0
    seen: set[str] = set()
    for directory, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "_"))
            and not any(fnmatch(name, pattern) for pattern in left_out)
            and not Path(directory, name, "pyvenv.cfg").exists()
            and not is_loop(Path(directory, name))
        )
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith((".", "_")) and name != "conftest.py":
                number += 1
                if number > _MOST_FILES:
                    return
                yield Path(directory, name)
