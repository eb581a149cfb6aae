"""The result: bytes, symbols, and for every line where it went and what it became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from harness.assembly.check import decode
from harness.assembly.source import Origin, SourceLine

__all__ = ["KINDS", "Assembled", "ListingLine", "Record"]

KINDS: Final = ("instruction", "data", "label", "directive")


class Record(NamedTuple):
    """Where a statement went: source line (index), text, kind (index into `KINDS`), offset and size in bytes."""

    line: int
    text: str
    kind: int
    offset: int
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class ListingLine:
    """A statement or a label of the listing. `mode` is the processor mode in bits; `data` is what it became."""

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
        while position < len(self.data):
            found = decode(self.mode, self.data[position:], self.address + position)
            if found is None:
                parts.append(f".byte {', '.join(f'{byte:#04x}' for byte in self.data[position:])}")
                break
            size, mnemonic, operands = found
            parts.append(f"{mnemonic} {operands}".strip())
            position += size
        return "; ".join(parts)


@dataclass(frozen=True)
class Assembled:
    """An assembled unit: `code` belongs at `address`; `symbols` are its own global labels with their addresses."""

    address: int
    code: bytes
    symbols: Mapping[str, int]
    source: Sequence[SourceLine]
    records: Sequence[Record]

    @cached_property
    def lines(self) -> tuple[ListingLine, ...]:
        """The listing: one entry per label and per statement, in source order."""
        return tuple(
            ListingLine(
                self.source[record.line].origin,
                record.text,
                self.address + record.offset,
                self.code[record.offset : record.offset + record.size],
                record.mode,
                KINDS[record.kind],
            )
            for record in self.records
        )

    def line_at(self, address: int) -> ListingLine | None:
        """The statement whose bytes hold `address`, or None."""
        for line in self.lines:
            if line.address <= address < line.address + len(line.data):
                return line
        return None
