"""Imports between rooms point down, also those that only the type checker makes, and no modules form a cycle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = (
    "pytest_items",
    "pytest_html",
    "pytest_plugin",
    "pytest_uncollected",
    "pytest_broken",
    "pytest_required",
    "pytest_settings",
)
_RUN = ("abi", "assembly", "evidence", "hardware", "image", "kernel", "one_line", "probes", "qemu")
ALLOWED: dict[str, tuple[str, ...]] = {
    "structure": (),
    "one_line": (),
    "disk_cache": (),
    "abi": ("structure",),
    "hardware": (),
    "assembly": ("disk_cache",),
    "kernel": ("abi", "assembly", "hardware"),
    "devices": ("abi", "hardware", "kernel"),
    "image": ("abi", "assembly", "kernel"),
    "qemu": ("abi", "hardware", "disk_cache", "one_line"),
    "evidence": ("abi", "assembly", "hardware", "image", "kernel", "one_line", "qemu"),
    "probes": ("evidence", "hardware", "disk_cache", "qemu"),
    "run": _RUN,
    "report": ("abi", "disk_cache", "evidence", "hardware", "one_line", "probes", "run"),
    "campaign": (
        "abi",
        "assembly",
        "devices",
        "evidence",
        "hardware",
        "image",
        "kernel",
        "one_line",
        "probes",
        "qemu",
        "run",
    ),
    "commands": (
        "assembly",
        "campaign",
        "disk_cache",
        "evidence",
        "image",
        "kernel",
        "one_line",
        "probes",
        "qemu",
        "report",
        "run",
    ),
    "cli": ("commands", "report"),
    "mypy_plugin": (),
    **dict.fromkeys(PLUGIN, ("evidence", "one_line", "probes", "qemu", "report", "run", *PLUGIN)),
}
"""Room (a package or module of harness/) → the rooms that it may import. docs/architecture.md explains them."""


def _modules() -> dict[str, Path]:
    paths = (ROOT / "harness").rglob("*.py")
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: path for name, path in names.items() if name != "harness"}  # whose names are imported on first use


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


GRAPH = {name: _imports(path) - {name} for name, path in MODULES.items()}


def _room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_imports_only_the_rooms_below() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, modules in sorted(GRAPH.items())
        for imported in sorted(modules)
        if _room(imported) not in (_room(module), *ALLOWED[_room(module)])
    ]
    assert wrong == []


def test_the_list_of_rooms_has_no_cycle_and_no_room_too_many() -> None:
    assert set(ALLOWED) == {_room(module) for module in MODULES}
    tuple(TopologicalSorter({room: below for room, below in ALLOWED.items() if room not in PLUGIN}).static_order())


def test_no_modules_form_a_cycle() -> None:
    """Imports under TYPE_CHECKING count: two modules that need each other's types are one module in two files."""
    tuple(TopologicalSorter(GRAPH).static_order())


def test_a_cycle_would_be_found() -> None:
    with pytest.raises(CycleError):
        tuple(TopologicalSorter({**GRAPH, "harness.abi": {"harness.run.execute"}}).static_order())


def test_the_document_names_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    missing = [room for room in ALLOWED if f"harness/{room}" not in text and room not in (*PLUGIN, "cli")]
    assert missing == []


def test_a_class_name_has_one_meaning() -> None:
    """Register maps may use a datasheet's name twice, as Command and Status; any other class has its name alone."""
    places: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    shared = {name: found for name, found in places.items() if len(found) > 1}
    wrong = {name: found for name, found in shared.items() if {_room(module) for module in found} != {"hardware"}}
    assert wrong == {}
