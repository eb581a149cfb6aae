"""Assembly text to trusted bytes: every statement becomes exactly what it says, or is refused with the reason."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from harness.assembly import cache
from harness.assembly.call_site import source_from_call
from harness.assembly.errors import AssemblyError, Problem
from harness.assembly.listing import Assembled, ListingLine
from harness.assembly.operands import RESERVED
from harness.assembly.registers import REGISTERS
from harness.assembly.source import Origin, SourceLine, source_from_text
from harness.assembly.unit import Unit

__all__ = [
    "Assembled",
    "AssemblyError",
    "ListingLine",
    "Origin",
    "Problem",
    "SourceLine",
    "assemble",
    "source_from_call",
    "source_from_text",
]

_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_TAKEN = frozenset({*REGISTERS, *RESERVED})
_good: set[str] = set()
"""Names that were looked at before: most units get the same hundreds of them."""


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """No cycle collection meanwhile: nothing made here is garbage, and looking it through takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def assemble(
    source: Sequence[SourceLine],
    *,
    address: int,
    mode: Literal[16, 32, 64] = 64,
    constants: Mapping[str, int] | None = None,
    symbols: Mapping[str, int] | None = None,
) -> Assembled:
    """Assemble a unit to stand at `address`, starting in processor mode `mode` (bits).

    `constants` are plain numbers; `symbols` are addresses of what was assembled elsewhere. Raises `AssemblyError` with
    every problem found; raises `ValueError` for an address, a mode or a name from outside that cannot be.
    """
    if mode not in (16, 32, 64):
        raise ValueError(f"mode {mode}: a processor mode has 16, 32 or 64 bits")
    if not 0 <= address < 1 << 64:
        raise ValueError(f"address {address:#x} does not fit into 64 bits")
    constants, symbols = constants or {}, symbols or {}
    for name in (constants.keys() | symbols.keys()) - _good:
        if name.lower() in _TAKEN or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a constant or symbol: no identifier, or a register or keyword")
        _good.add(name)
    for name in constants.keys() & symbols.keys():
        raise ValueError(f"{name!r} is given both as a constant and as a symbol")
    key = cache.key(source, address, mode, constants, symbols)
    done = cache.load(key, source, address)
    if done is None:
        with _without_collector():
            done = Unit(source, address, mode, constants, symbols).assemble()
        cache.store(key, done)
    return done
