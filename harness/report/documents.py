"""Paths of the documents that ship: `docs/json.md` in a source tree, the installed copy's path elsewhere."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.probes.probe_places import shown

__all__ = ["document", "with_documents"]

_NAME = re.compile(r"(?<![\w./-])docs/[\w./-]+\.(?:md|json)\b")


def document(name: str) -> str:
    """The path of a document, such as `docs/json.md`, that exists here; the name itself where it does not ship."""
    path = _shipped(name)
    return shown(path) if path is not None else name


def with_documents(text: str) -> str:
    """A text in which the names of shipped documents are paths that exist here."""
    return _NAME.sub(lambda found: document(found[0]), text) if "docs/" in text else text


@cache
def _shipped(name: str) -> Path | None:
    """`docs` is a folder of the package `guest`: in a source tree a symbolic link to the one at the top."""
    spec = find_spec("guest")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, name).resolve()
        if path.is_file():
            return path
    return None
