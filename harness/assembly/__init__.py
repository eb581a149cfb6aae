"""The assembler: every statement becomes exactly its instruction, or is refused with a reason."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import Literal

from harness.assembly import cache
from harness.assembly.cache import Names
from harness.assembly.listing import Assembled, ListingLine
from harness.assembly.source import AssemblyError, AssemblyProblem, Origin, SourceLine, source_from_text

__all__ = [
    "Assembled",
    "AssemblyError",
    "AssemblyProblem",
    "ListingLine",
    "Names",
    "Origin",
    "SourceLine",
    "assemble",
    "source_from_text",
]

_NONE = Names({}, {})


def assemble(
    source: Sequence[SourceLine],
    *,
    address: int,
    mode: Literal[16, 32, 64] = 64,
    constants: Mapping[str, int] | None = None,
    symbols: Mapping[str, int] | None = None,
    common: Names = _NONE,
) -> Assembled:
    """Assemble a unit for `address`, starting in processor mode `mode` (bits).

    `constants` are plain numbers; `symbols` are addresses of what was assembled elsewhere; `common` are more of both,
    which many units share. Raises `AssemblyError` with
    every problem found; raises `ValueError` for an invalid address, mode or name from outside.
    """
    if mode not in (16, 32, 64):
        raise ValueError(f"mode {mode}: a processor mode has 16, 32 or 64 bits")
    if not 0 <= address < 1 << 64:
        raise ValueError(f"address {address:#x} does not fit into 64 bits")
    own = Names(constants or {}, symbols or {})
    for name in (*own.constants, *own.symbols):
        if name in common:
            raise ValueError(f"{name!r} is given twice: it is among the common names as well")
    key = cache.key(source, address, mode, common, own)
    done = cache.load(key, source, address)
    if done is None:
        from harness.assembly.items import SymbolTable
        from harness.assembly.unit import Unit  # loads Keystone; most units are in the cache

        table = SymbolTable(common.constants | own.constants, common.symbols | own.symbols)
        collects = gc.isenabled()
        gc.disable()  # collections would take a quarter of a cold build
        try:
            done = Unit(source, address, mode, table).assemble()
        finally:
            if collects:
                gc.enable()
        cache.store(key, done)
    return done
