"""Where probe files are, and the folder that the ids of their probes are relative to.

The root depends on the place of the file alone, so that a probe has one id however it is reached:

1. the catalogue that ships, for its own files;
2. else the nearest folder above the file that a configuration file above it names: `trapgate_probes` of pytest, or
   `probes` of the table `[tool.trapgate]`;
3. else the nearest folder above it that is named `probes`;
4. else the folder above the file's own, so that the id is FOLDER/FILE.

Only standard modules are imported: the pytest plugin loads this module early.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.probes.project_settings import ProjectSettings, SettingsError, read_settings

__all__ = ["configured_folder", "is_loop", "name_on_disk", "probe_files", "probes_root", "shipped_root", "shown"]

_ROOT_NAME = "probes"
_INI_FILES = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
_TOML_FILES = {
    "pytest.toml": (("pytest",),),
    ".pytest.toml": (("pytest",),),
    "pyproject.toml": (("tool", "pytest", "ini_options"), ("tool", "pytest")),
}
_SETTING = "trapgate_probes"


def shown(path: Path) -> str:
    """A path as messages show it: below the working directory if it is there, else in full."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return str(path)


@cache
def shipped_root() -> Path | None:
    """The folder of the probes that ship: `probes` in the `guest` package; None where that is not installed."""
    spec = find_spec("guest")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        root = Path(folder, _ROOT_NAME).resolve()
        if root.is_dir():
            return root
    return None


def probes_root(file: Path) -> Path:
    """The folder that the ids of this file's probes are relative to: see the top of this module."""
    file = file.resolve()
    shipped = shipped_root()
    if shipped is not None and file.is_relative_to(shipped):
        return shipped
    return _own_root(file.parent)


def configured_folder(folder: Path) -> Path | None:
    """The first folder of probes that the nearest configuration file in this folder, or above it, names."""
    folder = folder.resolve()
    return next((roots[0] for place in (folder, *folder.parents) if (roots := _configured(place))), None)


@cache
def _own_root(folder: Path) -> Path:
    above = (folder, *folder.parents)
    for place in above:
        roots = [root for root in _configured(place) if folder.is_relative_to(root)]
        if roots:
            return max(roots, key=lambda root: len(root.parts))
    return next((place for place in above if place.name == _ROOT_NAME), folder.parent)


@cache
def _configured(folder: Path) -> tuple[Path, ...]:
    """The folders that the configuration files in this folder name as probes."""
    found: list[str] = []
    for name, section in _INI_FILES.items():
        if (folder / name).is_file():
            found += _from_ini(folder / name, section)
    for name, tables in _TOML_FILES.items():
        if (folder / name).is_file():
            found += _from_toml(folder / name, tables)
    try:
        settings = read_settings(folder / "pyproject.toml") or ProjectSettings()
    except SettingsError:  # each command reports it
        settings = ProjectSettings()
    return tuple(dict.fromkeys([*((folder / entry).resolve() for entry in found), *settings.probes]))


def _from_ini(path: Path, section: str) -> list[str]:
    from iniconfig import IniConfig, ParseError  # as pytest reads them

    try:
        return shlex.split(IniConfig(str(path)).get(section, _SETTING) or "")
    except (OSError, ValueError, ParseError):
        return []  # pytest reports errors of its own file


def _from_toml(path: Path, tables: tuple[tuple[str, ...], ...]) -> list[str]:
    try:
        document: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    for keys in tables:
        table = document
        for key in keys:
            table = table.get(key, {}) if isinstance(table, dict) else {}
        value = table.get(_SETTING) if isinstance(table, dict) else None
        if isinstance(value, str):
            return shlex.split(value)
        if isinstance(value, list):
            return [entry for entry in value if isinstance(entry, str)]
    return []


def probe_files(folder: Path, left_out: Sequence[str] = ()) -> Iterator[Path]:
    """The Python files below a folder that may hold probes, sorted. Symbolic links are followed, each folder once.

    Left out: names that start with `_` or `.` (helpers, hidden), `conftest.py`, virtual environments, and folders whose
    name matches one of the patterns `left_out` (`fnmatch`).
    """
    seen: set[str] = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
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
                yield Path(directory, name)


def is_loop(folder: Path) -> bool:
    """Whether the folder is a symbolic link to one that holds the link."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def name_on_disk(name: str) -> tuple[Path, str] | None:
    """The existing path that a name of probes begins with, and the rest (`one_shot[pin2]`); None where none exists."""
    text, separator, rest = name.partition("::")
    try:
        if not separator and not Path(text).exists():
            text, bracket, label = text.partition("[")
            rest = f"{bracket}{label}"
        path = Path(text).resolve()
        return (path, rest) if text and path.exists() else None
    except (OSError, ValueError):  # a name that is too long, or has a null byte
        return None
