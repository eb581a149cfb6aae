"""Probes import from `harness` and `harness.devices` only; docs/api.md lists what these two export."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import harness
import harness.devices

ROOT = Path(__file__).parents[2]
PUBLIC = ("harness", "harness.devices")
PROBE_FILES = sorted([*(ROOT / "guest/probes").rglob("*.py"), *(ROOT / "tests/data").rglob("*.py")])
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "images/README.md", *(ROOT / "docs").rglob("*.md")])
# Text that a test writes into a probe file begins at the start of a line or after the opening quotes.
IMPORT = re.compile(r"^(?:from|import) (harness[\w.]*)", re.MULTILINE)


def _imports(text: str, where: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text, where)):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _texts_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_probe_imports_an_internal_module() -> None:
    assert len(PROBE_FILES) > 90
    deeper = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in PROBE_FILES
        for module in _imports(path.read_text(), str(path))
        if module.partition(".")[0] == "harness" and module not in PUBLIC
    ]
    assert deeper == []


def test_no_document_imports_an_internal_module() -> None:
    found = [(path.name, module) for path in DOCUMENTS for module in IMPORT.findall(path.read_text())]
    assert ("tutorial.md", "harness") in found
    assert [entry for entry in found if entry[1] not in PUBLIC] == []


def test_no_probe_text_of_a_test_imports_an_internal_module() -> None:
    found = [
        (path.name, module)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for text in _texts_in(path)
        if "@probe" in text
        for module in IMPORT.findall(text)
    ]
    assert len(found) > 10
    assert [entry for entry in found if entry[1] not in PUBLIC] == []


def _documented(package: str) -> set[str]:
    text = (ROOT / "docs/api.md").read_text()
    sections = re.findall(rf"^## `{re.escape(package)}`:.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    rows = [row for section in sections for row in section.splitlines() if row.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize("package", PUBLIC)
def test_the_document_lists_what_the_package_exports(package: str) -> None:
    module = import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    assert _documented(package) == set(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_the_type_checker_and_the_interpreter_find_the_same_object() -> None:
    """`harness` imports on first use; the branch for type checkers names the same modules."""
    tree = ast.parse(Path(harness.__file__).read_text())
    checked = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness.")
        for alias in node.names
    }
    assert checked == harness._MODULE_OF_NAME
    assert set(checked) == set(harness.__all__)


def test_a_wrong_name_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="Kernl"):
        exec("from harness import Kernl", {})


def test_the_builder_imports_no_driver() -> None:
    code = "import sys, harness.kernel.builder; print([m for m in sys.modules if m.startswith('harness.devices')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("statement", ["import harness", "from harness import *; import harness.devices"])
def test_the_public_names_load_nothing_that_runs_machines(statement: str) -> None:
    """A probe file is read for its declarations too: by `trapgate list`, an editor, the plugin's collection."""
    executing = ["asyncio", "elftools", "keystone", "pexpect", "qemu.qmp", "uvloop", "harness.qemu.machine"]
    code = f"{statement}\nimport sys\nprint(sorted(set({executing}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
