"""A cache on disk. Entries have a checksum; parallel processes may share it.

`TRAPGATE_CACHE` names the folder; an empty value turns it off. An entry that is damaged, or a folder that cannot be
used (full, read-only), is as if there were no entry. Entries may be code, so a folder or an entry that another user
owns, or that others may write, is not used; a warning on standard error names it once.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

__all__ = ["DiskCache", "cache_state", "folder_of"]

_BASES: Final = ("XDG_CACHE_HOME", "HOME")  # what decides where the folder is
_DIGEST: Final = 32
_REFUSED: Final = (
    "belongs to another user or can be written by others, so it is not used. "
    "To fix: chmod go-w, or name another folder with TRAPGATE_CACHE"
)
_MOST: Final = 4096
"""Entries; beyond them the older half is dropped when a process first writes."""


def folder_of(kind: str) -> Path | None:
    """The folder of one kind of entries, or None where there is to be none."""
    return _folder(kind, *(os.environ.get(name) for name in ("TRAPGATE_CACHE", *_BASES)))


@cache
def _folder(kind: str, named: str | None, *bases: str | None) -> Path | None:
    if named is not None:
        return Path(named) / kind if named else None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path.home() raises
    if not base or not os.path.isabs(base):  # noqa: PTH117
        return None
    return Path(base) / "trapgate" / kind


def cache_state() -> tuple[str, str]:
    """The folder of the caches, and why it is not used; both may be empty: there is none, or it is used."""
    places = [place for kind in ("assembly", "probes", "qemu", "runs") if (place := folder_of(kind)) is not None]
    if not places:
        return "", "TRAPGATE_CACHE is empty" if os.environ.get("TRAPGATE_CACHE") == "" else "HOME is not set"
    base = places[0].parent
    refused = [place for place in places if place.exists() and _foreign(place.lstat())]
    if refused:
        return str(base), f"{refused[0]} {_REFUSED}"
    there = next(place for place in (places[0], *places[0].parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return str(base), f"{there} cannot be written"
    return str(base), ""


class DiskCache:
    """Entries of one kind, each a file under its key. `form` starts every file: change it with the payload's layout."""

    def __init__(self, kind: str, form: bytes) -> None:
        self.kind = kind
        self.form = form

    @property
    def folder(self) -> Path | None:
        """Where they are; None where there is no cache."""
        return folder_of(self.kind)

    def load(self, name: str | None) -> bytes | None:
        """The payload of that key; None if there is none, or it is damaged."""
        place = self.folder
        if name is None or place is None:
            return None
        if not _private(place):
            return None
        try:
            with os.fdopen(os.open(place / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                if _foreign(os.fstat(file.fileno())):
                    return None
                content = file.read()
        except OSError:
            return None
        start = len(self.form) + _DIGEST
        payload = content[start:]
        if not content.startswith(self.form) or content[len(self.form) : start] != _sealed(name, payload):
            return None
        return payload

    def store(self, name: str | None, payload: bytes) -> None:
        """Store a payload; a failure to write is ignored."""
        place = self.folder
        if name is None or place is None:
            return
        temporary = None
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _private(place):
                return
            prune(place)
            handle, temporary = tempfile.mkstemp(dir=place, prefix="new-")
            with os.fdopen(handle, "wb") as file:
                file.write(self.form + _sealed(name, payload) + payload)
            # atomic: a reader sees the old entry, or the whole new one
            os.replace(temporary, place / name)  # noqa: PTH105
        except OSError:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108


def _foreign(status: os.stat_result) -> bool:
    """Whether another user may have written it."""
    return status.st_uid != os.geteuid() or bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _private(place: Path) -> bool:
    """Whether only this user can have written into the folder. A folder that is not there yet holds nothing foreign."""
    try:
        foreign = _foreign(place.lstat())
    except OSError:
        return True
    if foreign:
        _warn(place)
    return not foreign


@cache
def _warn(place: Path) -> None:
    print(f"trapgate: the cache {place} {_REFUSED}", file=sys.stderr)


def _sealed(name: str, payload: bytes) -> bytes:
    """The digest of an entry; it covers the key, so that an entry under a wrong name is damaged, too."""
    return blake2b(payload, digest_size=_DIGEST, key=name.encode()[:64]).digest()


@cache
def prune(place: Path) -> None:
    """Drop the older half of too many entries, once in a process."""
    entries = list(place.iterdir())
    if len(entries) <= _MOST:
        return
    ages: list[tuple[float, Path]] = []
    for path in entries:
        with contextlib.suppress(OSError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages)[: len(ages) // 2]:
        with contextlib.suppress(OSError):
            path.unlink()
