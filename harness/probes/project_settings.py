"""The defaults of a project: the table `[tool.trapgate]` of its pyproject.toml.

The nearest pyproject.toml in a folder, or above it, that has the table counts. Paths are relative to that file. Only
standard modules are imported: the pytest plugin loads this module early.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.probes.probe_error import ProbeError

__all__ = ["FILE", "OPTIONS", "TABLE", "ProjectSettings", "SettingsError", "find_settings", "read_settings"]

FILE = "pyproject.toml"
TABLE = "[tool.trapgate]"
OPTIONS = {
    "probes": "--probes",
    "targets": "--target",
    "target-file": "--target-file",
    "qemu": "--qemu",
    "deviations": "--deviations",
}
"""The keys of the table, and the option of the command line that each is the default of."""


class SettingsError(ProbeError):
    """The table cannot be used; the text names file and key."""


@dataclass(frozen=True)
class ProjectSettings:
    """The table. Paths are absolute; a key that is missing is None or empty."""

    file: Path | None = None
    probes: tuple[Path, ...] = ()
    targets: tuple[str, ...] = ()
    target_file: Path | None = None
    qemu: str | None = None
    deviations: Path | None = None

    @property
    def given(self) -> dict[str, str]:
        """Key → value as text, of the keys that the table has."""
        values = {
            "probes": ", ".join(map(str, self.probes)),
            "targets": ", ".join(self.targets),
            "target-file": str(self.target_file or ""),
            "qemu": self.qemu or "",
            "deviations": str(self.deviations or ""),
        }
        return {key: value for key, value in values.items() if value}


def find_settings(folder: Path) -> ProjectSettings:
    """The settings for work in this folder; all empty where no pyproject.toml has the table. Raises SettingsError."""
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        found = read_settings(place / FILE)
        if found is not None:
            return found
    return ProjectSettings()


def read_settings(path: Path) -> ProjectSettings | None:
    """The table of this file; None where the file or the table is missing. Raises SettingsError."""
    try:
        source = path.read_bytes()
    except OSError:
        return None
    if b"trapgate" not in source:  # another project's file, which may even be broken
        return None
    try:
        document: Any = tomllib.loads(source.decode("utf-8"))
    except ValueError as error:
        if f"{TABLE[:-1]}".encode() not in source:
            return None
        raise SettingsError(f"{path}: is not TOML: {error}") from error
    tools = document.get("tool")
    table = tools.get("trapgate") if isinstance(tools, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: tool.trapgate: {table!r}. Expected: a table, {TABLE}")
    for key in table:
        if key not in OPTIONS:
            near = get_close_matches(key, OPTIONS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise SettingsError(f"{path}: {TABLE}: unknown key {key!r}{hint} Known: {', '.join(OPTIONS)}")
    return _settings(path, table)


def _settings(path: Path, table: dict[str, Any]) -> ProjectSettings:
    def texts(key: str, *, many: bool = False) -> Sequence[str]:
        value = table.get(key)
        if value is None:
            return ()
        values = value if many and isinstance(value, list) else [value]
        if not values or not all(isinstance(entry, str) and entry.strip() and "\0" not in entry for entry in values):
            expected = "a string or a list of strings" if many else "a string"
            raise SettingsError(f"{path}: {TABLE}: {key} = {value!r}. Expected: {expected}, not empty")
        return values

    def one_path(key: str) -> Path | None:
        return next((path.parent / entry for entry in texts(key)), None)

    program = next(iter(texts("qemu")), None)
    if program is not None and "/" in program:  # else a name on PATH
        program = str(path.parent / program)
    return ProjectSettings(
        file=path,
        probes=tuple((path.parent / entry).resolve() for entry in texts("probes", many=True)),
        targets=tuple(texts("targets", many=True)),
        target_file=one_path("target-file"),
        qemu=program,
        deviations=one_path("deviations"),
    )
