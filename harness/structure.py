"""Structures at fixed offsets, which guest and host share."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["Struct"]

_WIDTHS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Struct:
    """Named, fixed offsets: `fields` maps name to (offset, size in bytes)."""

    def __init__(self, prefix: str, size: int, **fields: tuple[int, int]) -> None:
        self.prefix = prefix
        self.size = size
        self.fields = fields
        form, at = "<", 0
        for name, (offset, width) in sorted(fields.items(), key=lambda field: field[1]):
            if offset % width or offset < at or offset + width > size:
                raise ValueError(f"{prefix}.{name} is misaligned, or overlaps, or is outside the {size}-byte structure")
            form += f"{offset - at}x{_WIDTHS[width]}"
            at = offset + width
        self._names = sorted(fields, key=lambda name: fields[name])
        self._form = struct.Struct(form)

    def offset(self, name: str) -> int:
        """Offset of the field, in bytes."""
        return self.fields[name][0]

    def read(self, data: bytes | memoryview, name: str, base: int = 0) -> int:
        """The unsigned little-endian field `name` of the structure at `base`."""
        offset, width = self.fields[name]
        return int.from_bytes(data[base + offset : base + offset + width], "little")

    def read_all(self, data: bytes | memoryview, base: int = 0) -> dict[str, int]:
        """All fields of the structure at `base`, as `read` gives them."""
        return dict(zip(self._names, self._form.unpack_from(data, base), strict=True))

    def constants(self) -> dict[str, int]:
        """`PREFIX_NAME` → offset, and `PREFIX_SIZE`."""
        return {f"{self.prefix}_{name}": offset for name, (offset, _) in self.fields.items()} | {
            f"{self.prefix}_SIZE": self.size
        }
