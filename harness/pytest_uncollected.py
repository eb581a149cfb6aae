"""Plain `pytest` names the probe files of the project that it did not collect."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness.probes.probe_places import probe_files, probes_root

__all__ = ["Uncollected"]

_MOST_FILES = 5_000  # Python files that are read: the search must not slow down a large project


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
        for path in islice(probe_files(config.rootpath, config.getini("norecursedirs")), _MOST_FILES):
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
