"""Small answers kept between processes, in the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Memory", "cache_folder"]

_FORMAT = 1


def cache_folder() -> Path:
    """`$TRAPGATE_CACHE`, or `trapgate` in the user's cache folder (XDG Base Directory Specification)."""
    if chosen := os.environ.get("TRAPGATE_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trapgate"


class Memory:
    """One JSON object, under the digest of what it depends on.

    Whatever is wrong with the folder or the file means "not known": nothing here ever fails a run.
    """

    def __init__(self, topic: str, depends_on: Sequence[object]) -> None:
        self._key = json.dumps([_FORMAT, topic, *depends_on])
        digest = hashlib.sha256(self._key.encode()).hexdigest()[:24]
        try:
            self._path: Path | None = cache_folder() / "qemu" / f"{topic}-{digest}.json"
        except RuntimeError:  # no home folder
            self._path = None

    def read(self) -> dict[str, Any]:
        """What was written, or an empty dictionary."""
        if self._path is None:
            return {}
        try:
            entry = json.loads(self._path.read_text(encoding="utf-8"))
            # The key stands in the file too: a truncated digest or a foreign file cannot speak for us.
            if entry["key"] != self._key or not isinstance(entry["value"], dict):
                return {}
            return dict(entry["value"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def write(self, value: dict[str, Any]) -> None:
        """Keep `value`; readers in other processes see the old file or the whole new one."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".new-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump({"key": self._key, "value": value}, file)
                Path(temporary).replace(self._path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError:
            pass
