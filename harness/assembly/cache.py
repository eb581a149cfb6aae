"""A cache of finished units on disk, and the names from outside, whose digest is part of each key.

The key is made of everything that the bytes depend on: the source, the address, the names from outside, the versions of
Keystone and Capstone and this package's own code.
"""

from __future__ import annotations

import marshal
import re
import sys
from array import array
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final

from harness.assembly.listing import Assembled
from harness.assembly.operands import RESERVED
from harness.assembly.source import SourceLine
from harness.disk_cache import DiskCache

__all__ = ["Names", "key", "load", "store"]

_DIGEST: Final = 32
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_CACHE: Final = DiskCache("assembly", b"trapgate assembly 2\n")


@cache
def _tools() -> bytes:
    """A digest of all that turns a source into bytes: this package's code and the versions of what it uses."""
    digest = blake2b(_CACHE.form + sys.version.encode(), digest_size=_DIGEST)  # `marshal` belongs to a version
    for name in ("keystone-engine", "capstone"):
        digest.update(f"{name} {version(name)}\n".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.digest()


class Names:
    """Constants and symbols, checked and digested once: many units can have them in common. Not to be changed."""

    def __init__(self, constants: Mapping[str, int], symbols: Mapping[str, int]) -> None:
        """Raises `ValueError` for a name that cannot be one, or is both constant and symbol."""
        self.constants = dict(constants)
        self.symbols = dict(symbols)
        for name in (*constants, *symbols):
            if name.lower() in RESERVED or not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name a constant or symbol: no identifier, or a register or keyword")
            if name in constants and name in symbols:
                raise ValueError(f"{name!r} is given both as a constant and as a symbol")

    def __contains__(self, name: object) -> bool:
        return name in self.constants or name in self.symbols

    @cached_property
    def digest(self) -> bytes:
        """Equal for equal names and values only."""
        digest = blake2b(digest_size=_DIGEST)
        for names in (self.constants, self.symbols):
            digest.update(repr(sorted(names.items())).encode())
        return digest.digest()


def key(source: Sequence[SourceLine], address: int, mode: int, *names: Names) -> str | None:
    """The name of a unit's entry; None if there is no cache. Equal keys mean equal bytes."""
    if _CACHE.folder is None:
        return None
    digest = blake2b(_tools() + b"".join([given.digest for given in names]), digest_size=_DIGEST)
    # Lines of an accepted source hold no line breaks, so with their number the separator is not ambiguous.
    digest.update(f"{address} {mode} {len(source)}\n".encode())
    digest.update("\n".join([line.text for line in source]).encode("utf-8", "surrogatepass"))
    digest.update(array("q", [line.block for line in source]).tobytes())
    return digest.hexdigest()


def load(name: str | None, source: Sequence[SourceLine], address: int) -> Assembled | None:
    """The unit of that key, with the places of `source`; None if there is none, or it is damaged."""
    payload = _CACHE.load(name)
    if payload is None:
        return None
    code, symbols, rows = marshal.loads(payload)
    return Assembled(address, code, symbols, source, rows)


def store(name: str | None, done: Assembled) -> None:
    """Store a unit; nothing is stored where that fails (a full disk, a read-only folder)."""
    _CACHE.store(name, marshal.dumps((done.code, dict(done.symbols), tuple(done.rows))))
