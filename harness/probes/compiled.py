"""A cache of checked and compiled probe files, by a digest of everything that the code depends on."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Final

from harness.disk_cache import DiskCache

__all__ = ["Compiled", "compiled", "known"]

_CACHE: Final = DiskCache("probes", b"trapgate probe code 1\n")
_JUDGES: Final = ("assertions.py", "compiled.py", "excuse.py", "lint.py", "loader.py")

ProbeSignatures = Sequence[tuple[str, int, Sequence[str]]]
"""Name, line and parameters of each probe, with which its form was checked."""


class Compiled:
    """The code of one probe file, and the signatures of the probes that were checked in it."""

    def __init__(self, name: str | None, code: CodeType, passed: ProbeSignatures | None = None) -> None:
        self._name = name
        self.code = code
        self._passed = passed

    def passed(self, probes: ProbeSignatures) -> bool:
        """Whether exactly these probes of this source were checked before without a finding."""
        return self._passed is not None and _plain(probes) == _plain(self._passed)

    def keep(self, probes: ProbeSignatures) -> None:
        """Store the code, and that these probes have no finding."""
        if self._name is not None:
            _CACHE.store(self._name, marshal.dumps((self.code, _plain(probes))))


def known(source: bytes, path: Path) -> Compiled | None:
    """The cached code of a file with this source at this path; None if there is none."""
    name = _key(source, path)
    payload = _CACHE.load(name)
    return None if payload is None else Compiled(name, *marshal.loads(payload))


def compiled(source: bytes, path: Path) -> Compiled:
    """The code of a probe file, its assertions rewritten. Raises SyntaxError."""
    from harness.probes.assertions import compile_rewritten  # loads pytest: not for a file that is in the cache

    return Compiled(_key(source, path), compile_rewritten(source, str(path)))


def _plain(probes: ProbeSignatures) -> list[tuple[str, int, list[str]]]:
    return [(name, line, list(parameters)) for name, line, parameters in probes]


def _key(source: bytes, path: Path) -> str | None:
    if _CACHE.folder is None:
        return None
    return blake2b(_tools() + str(path).encode("utf-8", "surrogateescape") + b"\0" + source, digest_size=32).hexdigest()


@cache
def _tools() -> bytes:
    digest = blake2b(f"{sys.version} pytest {version('pytest')}\n".encode(), digest_size=32)
    for name in _JUDGES:
        content = Path(__file__).with_name(name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.digest()
