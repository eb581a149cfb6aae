"""From files to probes: finding, importing and checking them. The command line and the pytest plugin share it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType

from harness.probes.compiled import Compiled, compiled, known
from harness.probes.coverage import coverage_root, load_bullets
from harness.probes.lint import FunctionNode, function_findings, module_findings
from harness.probes.mistakes import remedy
from harness.probes.probe import Probe
from harness.probes.probe_code import probe_code
from harness.probes.probe_error import ProbeError
from harness.probes.probe_places import probe_files, probes_root, shipped_root, shown
from harness.qemu.devices import DEVICES

__all__ = [
    "Discovery",
    "LoadError",
    "LoadProblem",
    "catalogue_root",
    "discover",
    "load_file",
    "load_probes",
    "mentions_probe",
    "same_id",
]

_PACKAGE = "trapgate_probes"


@dataclass(frozen=True)
class LoadProblem:
    """One thing that is wrong with a probe file."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        where = shown(self.path)
        return f"{where}:{self.line}: {self.text}" if self.line else f"{where}: {self.text}"


class LoadError(ProbeError):
    """Probe files that cannot be used; `problems` holds every finding, `str()` shows one a line."""

    def __init__(self, problems: Sequence[LoadProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Discovery:
    """The probes of some paths, and the problems of the files that cannot be loaded."""

    probes: tuple[Probe, ...]
    problems: tuple[LoadProblem, ...]


def catalogue_root() -> Path:
    """The folder of the probes that ship: `probes` in the `guest` package, from a source tree or an installed wheel.

    Raises LoadError where the package is missing.
    """
    root = shipped_root()
    if root is None:
        raise LoadError([LoadProblem(Path("guest/probes"), 0, "the catalogue is not installed; reinstall trapgate")])
    return root


def load_probes(paths: Sequence[Path] = (), root: Path | None = None) -> list[Probe]:
    """The probes of folders, files and `file.py::name` paths; without paths, the catalogue that ships.

    `root` is the folder that ids are relative to; by default that of `harness.probes.probe_places.probes_root`. Raises
    LoadError with every problem of every file.
    """
    found = discover(paths, root)
    if found.problems:
        raise LoadError(found.problems)
    return list(found.probes)


def discover(paths: Sequence[Path] = (), root: Path | None = None) -> Discovery:
    """As `load_probes`, but a file that is not well formed does not hide the others."""
    probes: dict[tuple[Path, str], Probe] = {}
    problems: list[LoadProblem] = []
    for given in paths or (catalogue_root(),):
        path, _, name = str(given).partition("::")
        try:
            loaded = _load_path(Path(path), name, root, problems)
        except LoadError as error:
            problems += error.problems
            continue
        for found in loaded:
            if (problem := _unknown_coverage(found)) is None:
                probes.setdefault((found.path, found.name), found)
            else:
                problems.append(problem)
    return Discovery(tuple(probes.values()), tuple(dict.fromkeys(problems)))


def _unknown_coverage(found: Probe) -> LoadProblem | None:
    """What is wrong with the coverage ids of a probe outside of the catalogue, whose own a test checks."""
    if not found.covers or found.root == catalogue_root():
        return None
    ids = _coverage_ids()
    for name in found.covers:
        if name not in ids:
            near = get_close_matches(name, ids, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            text = (
                f"{found.name}: covers {name!r}, which is no coverage id; {hint}`trapgate list --coverage` lists them"
            )
            return LoadProblem(found.path, found.line, text)
    return None


@cache
def _coverage_ids() -> frozenset[str]:
    return frozenset(bullet.id for bullet in load_bullets(coverage_root()))


def _load_path(given: Path, name: str, root: Path | None, problems: list[LoadProblem]) -> list[Probe]:
    path = given.resolve()
    if path.is_dir() and not name:
        found: list[Probe] = []
        for file in probe_files(path):
            try:
                found += load_file(file, root) if mentions_probe(file) else []
            except LoadError as error:
                problems += error.problems
        return found
    if not path.is_file():
        what = "is a folder; ::NAME needs a file" if path.is_dir() else "no such file or folder"
        raise LoadError([LoadProblem(path, 0, what)])
    if path.suffix != ".py":
        what = "is an ELF image" if path.open("rb").read(4) == b"\x7fELF" else "is no Python file"
        raise LoadError([LoadProblem(path, 0, f"{what}. Expected: a file of probes, whose name ends with .py")])
    loaded = load_file(path, root)
    if not loaded:
        raise LoadError([LoadProblem(path, 0, "holds no probe; decorate one with @probe(spec=…)")])
    if name:
        loaded = [found for found in loaded if found.name == name.partition("[")[0]]
        if not loaded:
            raise LoadError([LoadProblem(path, 0, f"holds no probe named {name!r}")])
    return loaded


def same_id(found: Probe, other: Probe) -> str:
    """The problem of two probes with one id: the id would not identify the verdict."""
    return (
        f"has the id {found.id}, as {shown(other.path)}:{other.line} has. To fix: rename one, or run the folders one "
        "at a time, or name their common folder in pytest's ini option trapgate_probes"
    )


def mentions_probe(path: Path) -> bool:
    """Whether the text can hold a probe at all: a helper module in a probe folder is not executed."""
    try:
        return b"probe" in path.read_bytes()
    except OSError:
        return True  # the loader reports why


def load_file(path: Path, root: Path | None = None) -> list[Probe]:
    """The probes of one file, in source order; `root` as for `load_probes`.

    The file runs as a module of its own name below `root`, so that equal file names cannot meet and `from . import
    helper` works; its assertions are rewritten. Raises LoadError with file, line, reason and remedy.
    """
    if sys.flags.optimize:
        raise LoadError(
            [LoadProblem(path, 0, "python -O strips assertions; run without -O and without PYTHONOPTIMIZE")]
        )
    path = path.resolve()
    root = root.resolve() if root is not None else probes_root(path)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise LoadError([LoadProblem(path, 0, f"cannot be read: {error.strerror}")]) from error
    code = _compiled(source, path)
    module = _execute(code.code, path, root)
    probes = sorted(
        {
            id(value): replace(value, path=path, root=root)
            for value in vars(module).values()
            if isinstance(value, Probe) and value.function.__code__.co_filename == str(path)
        }.values(),
        key=lambda found: found.line,
    )
    shape = [(found.name, found.line, list(found.parameters)) for found in probes]
    if not code.passed(shape):
        problems = _findings(_parse(source, path), path, probes)
        if problems:
            raise LoadError(problems)
        code.keep(shape)
    return probes


def _compiled(source: bytes, path: Path) -> Compiled:
    """The file's code. A file with a forbidden form is refused before it is executed."""
    found = known(source, path)
    if found is not None:
        return found
    findings = module_findings(_parse(source, path))
    if findings:
        raise LoadError([LoadProblem(path, finding.line, finding.text) for finding in findings])
    try:
        return compiled(source, path)
    except SyntaxError as error:  # an error that only the compiler finds, such as `return` outside of a function
        raise LoadError([LoadProblem(path, error.lineno or 0, f"{type(error).__name__}: {error.msg}")]) from error


def _findings(tree: ast.Module, path: Path, probes: Sequence[Probe]) -> list[LoadProblem]:
    """What is wrong with the form of these probes."""
    functions = {
        min(d.lineno for d in node.decorator_list): node
        for node in ast.walk(tree)
        if isinstance(node, FunctionNode) and node.decorator_list
    }
    problems: list[LoadProblem] = []
    for found in probes:
        for name in found.needs:
            if name not in DEVICES:
                near = get_close_matches(name, DEVICES, n=1, cutoff=0.4)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                text = f"{found.name}: needs: no device is named {name!r}{hint} Known: {', '.join(sorted(DEVICES))}"
                problems.append(LoadProblem(path, found.line, text))
        node = functions.get(found.line)
        if node is None:
            text = f"{found.name}: is not defined by `def` below its own @probe; write it as a function of this file"
            problems.append(LoadProblem(path, found.line, text))
            continue
        problems += [LoadProblem(path, f.line, f.text) for f in function_findings(node, list(found.parameters))]
        if not found.spec:
            text = f"{found.name}: cites no source; add @probe(spec=…) above @probe.each"
            problems.append(LoadProblem(path, found.line, text))
    return sorted(problems, key=lambda problem: problem.line)


def _parse(source: bytes, path: Path) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # the lint reports it, with a remedy
            return ast.parse(source, str(path))
    except SyntaxError as error:
        text = f"{type(error).__name__}: {error.msg}"
        if error.text:
            text += f"\n    {error.text.strip()}"
        raise LoadError([LoadProblem(path, error.lineno or 0, text)]) from error
    except ValueError as error:  # null bytes
        raise LoadError([LoadProblem(path, 0, f"is not Python source: {error}")]) from error


def _execute(code: CodeType, path: Path, root: Path) -> ModuleType:
    name = _module_name(path, root)
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__package__ = name.rpartition(".")[0]
    module.__spec__ = importlib.util.spec_from_file_location(name, path)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and typing need the module there
    try:
        with probe_code():
            exec(code, module.__dict__)
    except Exception as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise LoadError([_import_problem(error, path)]) from error
    return module


def _import_problem(error: BaseException, path: Path) -> LoadProblem:
    """The exception of the file, with the traceback from the file's own line on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = next((i for i, frame in enumerate(frames) if frame.filename == str(path)), None)
    if own is None:
        return LoadProblem(path, 0, f"cannot be loaded: {type(error).__name__}: {error}")
    line = max((i, frame.lineno or 0) for i, frame in enumerate(frames) if frame.filename == str(path))[1]
    if isinstance(error, ProbeError):
        return LoadProblem(path, line, str(error))
    text = f"cannot be imported: {type(error).__name__}: {error}{remedy(error, path)}"
    if len(frames) > own + 1 and not isinstance(error, ImportError):
        text += "\n" + "".join(traceback.format_list(frames[own:])).rstrip()
    return LoadProblem(path, line, text)


def _module_name(path: Path, root: Path) -> str:
    """A name that no other file has, below packages that make relative imports work."""
    top = f"{_PACKAGE}_{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    parts = (
        path.relative_to(root).with_suffix("").parts if path.is_relative_to(root) else path.with_suffix("").parts[1:]
    )
    folder, name = root, top
    _ensure_package(name, folder)
    for part in parts[:-1]:
        folder, name = folder / part, f"{name}.{_identifier(part)}"
        _ensure_package(name, folder)
    return f"{name}.{_identifier(parts[-1])}"


def _identifier(part: str) -> str:
    clean = re.sub(r"\W", "_", part)
    return clean if clean == part else f"{clean}_{hashlib.sha256(part.encode()).hexdigest()[:6]}"


def _ensure_package(name: str, folder: Path) -> None:
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
