"""DWARF line information: which line of assembly or Python each address comes from.

DWARF Debugging Information Format Version 4: one compilation unit, sections .debug_abbrev, .debug_info, .debug_line.
pyelftools reads DWARF but does not write it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from harness.assembly import ListingLine

__all__ = ["debug_sections"]

_DW_LANG_MIPS_ASSEMBLER = 0x8001  # the code that GNU as uses for assembly on every processor
_OPCODE_LENGTHS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
_LNS_COPY, _LNS_ADVANCE_PC, _LNS_ADVANCE_LINE, _LNS_SET_FILE = 1, 2, 3, 4


def debug_sections(units: Sequence[Iterable[ListingLine]], low: int, high: int) -> dict[str, bytes]:
    """The three sections for code between `low` and `high`; each unit is a contiguous run of addresses."""
    name, producer, directory = b"trapgate\0", b"trapgate\0", b".\0"
    abbrev = bytes([1, 0x11, 0])  # DW_TAG_compile_unit, no children
    for attribute, form in (
        (0x25, 0x08),
        (0x13, 0x05),
        (0x03, 0x08),
        (0x1B, 0x08),
        (0x11, 0x01),
        (0x12, 0x07),
        (0x10, 0x17),
    ):
        abbrev += bytes([attribute, form])
    abbrev += bytes([0, 0, 0])
    die = bytes([1]) + producer + struct.pack("<H", _DW_LANG_MIPS_ASSEMBLER) + name + directory
    die += struct.pack("<QQI", low, high - low, 0)
    body = struct.pack("<HIB", 4, 0, 8) + die
    info = struct.pack("<I", len(body)) + body
    return {".debug_abbrev": abbrev, ".debug_info": info, ".debug_line": _line_table(units)}


def _line_table(units: Sequence[Iterable[ListingLine]]) -> bytes:
    files: dict[str, int] = {}
    program = b"".join(_sequence(list(unit), files) for unit in units)
    names = b"".join(name.encode() + b"\0\0\0\0" for name in files)  # directory, time, length: unknown
    header = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + _OPCODE_LENGTHS + b"\0" + names + b"\0"
    body = struct.pack("<HI", 4, len(header)) + header + program
    return struct.pack("<I", len(body)) + body


def _sequence(lines: Sequence[ListingLine], files: dict[str, int]) -> bytes:
    """Rows for one run of addresses, in order of addresses, ended by DW_LNE_end_sequence."""
    rows = [line for line in lines if line.data and line.kind == "instruction"]
    if not rows:
        return b""
    out = bytearray(b"\0\x09\x02" + struct.pack("<Q", rows[0].address))  # DW_LNE_set_address
    address, line, file = rows[0].address, 1, 1
    for row in rows:
        number = files.setdefault(row.origin.file, len(files) + 1)
        if number != file:
            out += bytes([_LNS_SET_FILE]) + _uleb(number)
            file = number
        if row.address != address:
            out += bytes([_LNS_ADVANCE_PC]) + _uleb(row.address - address)
            address = row.address
        if row.origin.line != line:
            out += bytes([_LNS_ADVANCE_LINE]) + _sleb(row.origin.line - line)
            line = row.origin.line
        out.append(_LNS_COPY)
    end = rows[-1].address + len(rows[-1].data)
    return bytes(out) + bytes([_LNS_ADVANCE_PC]) + _uleb(end - address) + b"\0\x01\x01"


def _uleb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _sleb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        done = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        out.append(low | (0 if done else 0x80))
        if done:
            return bytes(out)
