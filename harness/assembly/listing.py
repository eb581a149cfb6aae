"""The result: bytes, symbols, and a listing with the address and bytes of each statement."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from harness.assembly.round_trip import decode
from harness.assembly.source import Origin, SourceLine

__all__ = ["Assembled", "ListingLine", "Row"]

Row: TypeAlias = tuple[str, int, str, int, int, int]
"""A statement or label: text, index of the source line, kind, offset and size in bytes, mode in bits."""


@dataclass(frozen=True, slots=True)
class ListingLine:
    """A statement or a label of the listing: `data` is what it became.

    `mode` is the processor mode in bits, `kind` one of instruction, data, label and directive.
    """

    origin: Origin
    text: str
    address: int
    data: bytes
    mode: int
    kind: str

    def decoded(self) -> str:
        """The instruction as the decoder reads it back from the bytes; empty for what is not an instruction."""
        if self.kind != "instruction":
            return ""
        parts: list[str] = []
        position = 0
        while found := decode(self.mode, self.data[position:], self.address + position):
            size, mnemonic, operands = found
            parts.append(f"{mnemonic} {operands}".strip())
            position += size
        if position < len(self.data):
            parts.append(f".byte {', '.join(f'{byte:#04x}' for byte in self.data[position:])}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Assembled:
    """An assembled unit: `code` belongs at `address`; `symbols` are its own global labels with their addresses."""

    address: int
    code: bytes
    symbols: Mapping[str, int]
    source: Sequence[SourceLine]
    rows: Sequence[Row]

    @cached_property
    def lines(self) -> tuple[ListingLine, ...]:
        """The listing: one entry per label and per statement, in the order of the code."""
        return tuple(
            ListingLine(
                self.source[line].origin,
                text,
                self.address + offset,
                self.code[offset : offset + size],
                mode,
                kind,
            )
            for text, line, kind, offset, size, mode in self.rows
        )

    def line_at(self, address: int) -> ListingLine | None:
        """The statement whose bytes hold `address`, or None."""
        position = bisect_right(self.rows, address - self.address, key=lambda row: row[3])
        for line in reversed(self.lines[:position]):
            if line.data:
                return line if line.address <= address < line.address + len(line.data) else None
        return None
