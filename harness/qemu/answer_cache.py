"""Results of queries to a QEMU program, stored in the disk cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from harness.disk_cache import DiskCache

__all__ = ["AnswerCache"]

_CACHE: Final = DiskCache("qemu", b"trapgate qemu 2\n")


class AnswerCache:
    """One JSON object, under the digest of what it depends on.

    An error of the folder or the entry means "not known": the cache never fails a run.
    """

    def __init__(self, topic: str, depends_on: Sequence[object]) -> None:
        key = json.dumps([topic, *depends_on])
        self._name = f"{topic}-{hashlib.sha256(key.encode()).hexdigest()}"

    def read(self) -> dict[str, Any]:
        """The stored object, or an empty dictionary."""
        payload = _CACHE.load(self._name)
        if payload is None:
            return {}
        try:
            value = json.loads(payload)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def write(self, value: dict[str, Any]) -> None:
        """Store `value`; readers in other processes see the old entry or the whole new one."""
        _CACHE.store(self._name, json.dumps(value).encode())
