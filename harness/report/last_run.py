"""The report of the last `trapgate run`, in the disk cache: `trapgate report` shows it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from harness.disk_cache import DiskCache

__all__ = ["load_last_run", "store_last_run"]

_CACHE = DiskCache("runs", b"trapgate run 1\n")
_KEY = "last"


def store_last_run(document: Mapping[str, Any]) -> None:
    """Replace the stored report. A cache that cannot be written is no error."""
    if _CACHE.folder is not None:
        _CACHE.store(_KEY, zlib.compress(json.dumps(document, default=str).encode(), 1))


def load_last_run() -> object:
    """The stored report, or None."""
    payload = _CACHE.load(_KEY)
    return None if payload is None else json.loads(zlib.decompress(payload))
