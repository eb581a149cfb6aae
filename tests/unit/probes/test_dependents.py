"""Which probe files a changed file concerns."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.probes.dependents import concerned, own_packages


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = {
        "a/one.py": "from . import _helper\n",
        "a/two.py": "from ..b import deep\n",
        "a/three.py": "import os\n",
        "a/_helper.py": "from .base import X\n",
        "a/base.py": "X = 1\n",
        "b/__init__.py": "",
        "b/deep.py": "",
        "c/package/__init__.py": "",
        "c/user.py": "from .package import *\n",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in texts}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("a/three.py", {"a/three.py"}),
        ("a/_helper.py", {"a/_helper.py", "a/one.py"}),
        ("a/base.py", {"a/base.py", "a/_helper.py", "a/one.py"}),
        ("b/deep.py", {"b/deep.py", "a/two.py"}),
        ("b/__init__.py", {"b/__init__.py", "a/two.py"}),
        ("c/package/__init__.py", {"c/package/__init__.py", "c/user.py"}),
    ],
)
def test_a_file_concerns_itself_and_what_imports_it(files: dict[str, Path], changed: str, expected: set[str]) -> None:
    assert concerned({files[changed]}, files.values()) == {files[name] for name in expected}


def test_a_deleted_module_concerns_its_users(files: dict[str, Path]) -> None:
    gone = files.pop("a/base.py")
    gone.unlink()
    assert concerned({gone}, files.values()) == {files["a/_helper.py"], files["a/one.py"]}


def test_a_file_that_cannot_be_read_may_import_anything(files: dict[str, Path]) -> None:
    files["a/three.py"].write_text("def (\n", encoding="utf-8")
    assert files["a/three.py"] in concerned({files["b/deep.py"]}, files.values())


def test_own_packages_are_those_on_the_path_that_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib/mine_of_this_test").mkdir(parents=True)
    (tmp_path / "lib/mine_of_this_test/__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "lib/single_of_this_test.py").write_text("", encoding="utf-8")
    probe = tmp_path / "probe.py"
    text = "import os, rich, harness, nowhere\nfrom mine_of_this_test.x import y\nimport single_of_this_test\n"
    probe.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "lib")])
    assert own_packages([probe]) == {tmp_path / "lib/mine_of_this_test", tmp_path / "lib"}
