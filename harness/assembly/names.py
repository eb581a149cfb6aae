"""Names from outside a unit: plain numbers, and addresses of what was assembled elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b

from harness.assembly.operands import RESERVED

__all__ = ["Names"]

_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)


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
        digest = blake2b(digest_size=32)
        for names in (self.constants, self.symbols):
            digest.update(repr(sorted(names.items())).encode())
        return digest.digest()
