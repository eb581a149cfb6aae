"""`xp /Nxw`: physical memory, as its owner (RAM or a device) answers dword reads."""

from __future__ import annotations

import re

from harness.qemu.errors import DumpError, QemuError

__all__ = ["parse_memory"]

_WHAT = "xp"
_LINE = re.compile(r"([0-9a-f]{8,16}): (0x[0-9a-f]{8}(?: 0x[0-9a-f]{8}){0,3})")
_NOTHING = "Cannot access memory"


def parse_memory(text: str, address: int, length: int) -> bytes:
    """The `length` bytes from `address` on. Raises QemuError where nothing answers, DumpError."""
    words: list[int] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if line.endswith(_NOTHING):
            raise QemuError(f"nothing answers at physical address {address + 4 * len(words):#x}")
        match = _LINE.fullmatch(line.rstrip())
        wanted = address + 4 * len(words)
        if match is None or int(match[1], 16) != wanted:
            raise DumpError(_WHAT, line, text, f"{wanted:016x}: 0x…, at most four words")
        words += [int(value, 16) for value in match[2].split()]
    if len(words) != length // 4:
        raise DumpError(_WHAT, "", text, f"{length // 4} words")
    return b"".join(word.to_bytes(4, "little") for word in words)
