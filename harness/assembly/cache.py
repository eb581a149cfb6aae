"""Finished units on disk, so that what did not change is not assembled again.

The key is made of everything that the bytes depend on: the source, the address, the names from outside, the versions of
Keystone and Capstone and this package's own code. Where an entry is damaged, or the folder cannot be used, the unit is
assembled as if there were no cache.

`TRAPGATE_CACHE` names the folder; an empty value turns the cache off.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final

from harness.assembly.listing import Assembled, Table
from harness.assembly.source import SourceLine

__all__ = ["folder", "key", "load", "store"]

_FORMAT: Final = b"trapgate assembly 1\n"
_DIGEST: Final = 32
_MOST: Final = 4096
"""Entries; beyond them the older half is dropped when a process first writes."""


def folder() -> Path | None:
    """The folder of the cache, or None where there is to be none."""
    named = os.environ.get("TRAPGATE_CACHE")
    if named is not None:
        return Path(named) / "assembly" if named else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")  # noqa: PTH111 - Path.home() raises where there is no home
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    if not base or not os.path.isabs(base):  # noqa: PTH117
        return None
    return Path(base) / "trapgate" / "assembly"


@cache
def _tools() -> bytes:
    """A digest of all that turns a source into bytes: this package's code and the versions of what it uses."""
    digest = blake2b(_FORMAT, digest_size=_DIGEST)
    for name in ("keystone-engine", "capstone"):
        digest.update(f"{name} {version(name)}\n".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.digest()


def key(
    source: Sequence[SourceLine],
    address: int,
    mode: int,
    constants: Mapping[str, int],
    symbols: Mapping[str, int],
) -> str | None:
    """The name of a unit's entry; None if there is no cache. Equal keys mean equal bytes."""
    if folder() is None:
        return None
    digest = blake2b(_tools(), digest_size=_DIGEST)
    # Lines of an accepted source hold no control characters, so with their number the separator is not ambiguous.
    digest.update(f"{address} {mode} {len(source)}\n".encode())
    digest.update("\n".join([line.text for line in source]).encode("utf-8", "surrogatepass"))
    digest.update(array("q", [line.block for line in source]).tobytes())
    for names in (constants, symbols):
        digest.update(repr(sorted(names.items())).encode())
    return digest.hexdigest()


def load(name: str | None, source: Sequence[SourceLine], address: int) -> Assembled | None:
    """The unit of that key, with the places of `source`; None if there is none, or it is damaged."""
    place = folder()
    if name is None or place is None:
        return None
    try:
        content = (place / name).read_bytes()
    except OSError:
        return None
    start = len(_FORMAT) + _DIGEST
    payload = content[start:]
    if not content.startswith(_FORMAT) or content[len(_FORMAT) : start] != _sealed(name, payload):
        return None
    head, _, rest = payload.partition(b"\n")
    symbols, count, code_size, text_size, order = json.loads(head)
    if order != sys.byteorder:
        return None
    code, texts, columns = rest[:code_size], rest[code_size : code_size + text_size], rest[code_size + text_size :]
    arrays = []
    for position in range(5):
        column = array("q")
        column.frombytes(columns[position * count * 8 : (position + 1) * count * 8])
        arrays.append(column)
    return Assembled(address, code, symbols, source, Table(texts.decode(), *arrays))


def store(name: str | None, done: Assembled) -> None:
    """Keep a unit; where that fails (a full disk, a read-only folder) nothing is kept."""
    place = folder()
    if name is None or place is None:
        return
    table = done.table
    texts = table.texts.encode()
    head = [dict(done.symbols), len(table.lines), len(done.code), len(texts), sys.byteorder]
    columns = (table.lines, table.kinds, table.offsets, table.sizes, table.modes)
    payload = json.dumps(head).encode() + b"\n" + done.code + texts + b"".join(column.tobytes() for column in columns)
    temporary = None
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _prune(place)
        handle, temporary = tempfile.mkstemp(dir=place, prefix="new-")
        with os.fdopen(handle, "wb") as file:
            file.write(_FORMAT + _sealed(name, payload) + payload)
        os.replace(temporary, place / name)  # noqa: PTH105 - atomic: a reader sees the old entry, or the whole new one
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108


def _sealed(name: str, payload: bytes) -> bytes:
    """The digest of an entry; it covers the key, so that an entry under a wrong name is damaged, too."""
    return blake2b(payload, digest_size=_DIGEST, key=name.encode()[:64]).digest()


@cache
def _prune(place: Path) -> None:
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
