"""`xp /Nxw`: physical memory, as whoever owns it answers dword reads."""

from __future__ import annotations

from harness.qemu.errors import DumpError, QemuError

__all__ = ["parse_memory"]


def parse_memory(text: str, address: int, length: int) -> bytes:
    """The `length` bytes from `address` on. Raises QemuError where nothing answers, DumpError."""
    words: list[int] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if line.endswith("Cannot access memory"):
            raise QemuError(f"nothing answers at physical address {address + 4 * len(words):#x}")
        at, colon, values = line.partition(":")
        try:
            if not colon or int(at, 16) != address + 4 * len(words):
                raise ValueError
            words += [int(value, 16) for value in values.split()]
        except ValueError:
            raise DumpError("xp", line, text) from None
    if len(words) != length // 4:
        raise DumpError("xp", "", text, f"{length // 4} words")
    return b"".join(word.to_bytes(4, "little") for word in words)
