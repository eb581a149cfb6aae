"""Which probe files a change concerns: the changed ones, and those that import a changed file, directly or not.

Imports are compared by name alone, so that a file may count as changed which is not; none is missed that an `import`
statement names.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

__all__ = ["concerned", "own_packages"]

_THEIRS = {*sys.stdlib_module_names, "harness", "guest"}


def concerned(changed: Collection[Path], files: Collection[Path]) -> set[Path]:
    """Those of the files that are changed, or import what is changed through any of the files."""
    imports = {file: _imported(file) for file in files}
    found = set(changed)
    while True:
        names = {_module(path) for path in found}
        more = {file for file, imported in imports.items() if imported is None or imported & names} - found
        if not more:
            return found & set(files)
        found |= more


def own_packages(files: Iterable[Path]) -> set[Path]:
    """The folders of modules on `sys.path` that the files import, but for those of Python and installed packages."""
    tops = {name for file in files for name in _absolute(file)} - _THEIRS
    places = {path for name in tops for path in _places(name)}
    return {path for path in places if not {"site-packages", "dist-packages"} & set(path.parts)}


def _places(name: str) -> Iterator[Path]:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return
    if spec is not None and spec.submodule_search_locations is not None:
        yield from map(Path, spec.submodule_search_locations)
    elif spec is not None and spec.origin is not None and spec.has_location:
        yield Path(spec.origin).parent


def _module(path: Path) -> str:
    return path.parent.name if path.stem == "__init__" else path.stem


def _imported(file: Path) -> set[str] | None:
    """The names in import statements; None where the file cannot be read: it may import anything."""
    tree = _parsed(file)
    if tree is None:
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found.update(alias.name.split("."))
        if isinstance(node, ast.ImportFrom):
            found.update((node.module or "").split("."))
            if "*" in found or not node.module:
                found.add(file.resolve().parent.name)
    return found


def _absolute(file: Path) -> Iterator[str]:
    for node in ast.walk(_parsed(file) or ast.Module([], [])):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _parsed(file: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
