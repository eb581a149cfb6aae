"""Keystone, kept on a short lead: it is only ever given single instructions in a form that was understood before.

Numbers are plain, symbols are gone, sizes are written out. What comes back is only a proposal that `check` has to
confirm. Where a whole run of instructions is not confirmed, each gets a slot of 16 bytes, filled up with INT3, so that
the one that vanishes or swallows its neighbour shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import keystone

__all__ = ["FILLING", "propose", "propose_joined"]

FILLING: Final = b"\xcc"
"""INT3: what fills a slot up."""

_MODES: Final = {16: keystone.KS_MODE_16, 32: keystone.KS_MODE_32, 64: keystone.KS_MODE_64}
_SLOT: Final = 16
_SEPARATOR: Final = "\n.balign 16, 0xcc\n"
_BATCH: Final = 256


def propose(mode: int, statements: Sequence[str]) -> list[bytes | str]:
    """For each instruction the 16 bytes of its slot, or Keystone's reason (text) for refusing it."""
    results: list[bytes | str] = []
    for start in range(0, len(statements), _BATCH):
        results.extend(_batch(mode, statements[start : start + _BATCH]))
    return results


def propose_joined(mode: int, statements: Sequence[str]) -> bytes:
    """The bytes of all instructions, one after the other; empty if Keystone refuses any."""
    pieces: list[bytes] = []
    for start in range(0, len(statements), _BATCH):
        outcome = _run(mode, "\n".join(statements[start : start + _BATCH]))
        if isinstance(outcome, str):
            return b""
        pieces.append(outcome)
    return b"".join(pieces)


def _batch(mode: int, statements: Sequence[str]) -> list[bytes | str]:
    outcome = _run(mode, _SEPARATOR.join(statements) + _SEPARATOR)
    if not isinstance(outcome, str) and len(outcome) == _SLOT * len(statements):
        return [outcome[start : start + _SLOT] for start in range(0, len(outcome), _SLOT)]
    if len(statements) == 1:
        return [outcome if isinstance(outcome, str) else "the assembler made nothing of it"]
    middle = len(statements) // 2
    return _batch(mode, statements[:middle]) + _batch(mode, statements[middle:])


def _run(mode: int, text: str) -> bytes | str:
    engine = keystone.Ks(keystone.KS_ARCH_X86, _MODES[mode])
    try:
        data, _ = engine.asm(text, 0, as_bytes=True)
    except keystone.KsError as error:
        return str(error)
    return bytes(data or b"")
