"""The report of the last `trapgate run` in a folder, in the disk cache: `trapgate report` shows it."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from harness.disk_cache import DiskCache

__all__ = ["load_last_run", "store_last_run"]

_CACHE = DiskCache("runs", b"trapgate run 2\n")
_SLOTS = 64  # so many folders at most have a stored report, a megabyte each for a whole catalogue


def store_last_run(document: Mapping[str, Any]) -> None:
    """Replace the stored report of the current folder. A cache that cannot be written is no error."""
    folder = _folder()
    if folder and _CACHE.folder is not None:
        content = json.dumps({"folder": folder, "report": document}, default=str)
        _CACHE.store(_slot(folder), zlib.compress(content.encode(), 1))


def load_last_run() -> object:
    """The stored report of the current folder, or None."""
    folder = _folder()
    payload = _CACHE.load(_slot(folder)) if folder else None
    content = json.loads(zlib.decompress(payload)) if payload is not None else {}
    return content["report"] if content.get("folder") == folder else None


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - its name is the key
    except OSError:  # the folder was removed
        return ""


def _slot(folder: str) -> str:
    digest = blake2b(os.fsencode(folder), digest_size=8).digest()
    return f"last-{int.from_bytes(digest, 'little') % _SLOTS}"
