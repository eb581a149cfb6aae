"""DWARF line information: which line of assembly or Python each address comes from.

DWARF Debugging Information Format Version 4, "Line Number Information" and "Compilation Unit Entries": sections
.debug_abbrev, .debug_info, .debug_line, a compilation unit for the runtime and one for the program. File names are
relative to the folder that the image was built in, so that the bytes do not depend on where that is.
pyelftools reads DWARF but does not write it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from harness.assembly import Assembled, ListingLine

__all__ = ["debug_sections"]

_DW_LANG_MIPS_ASSEMBLER = 0x8001  # the code that GNU as uses for assembly on every processor
_OPCODE_LENGTHS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
_LNS_COPY, _LNS_ADVANCE_PC, _LNS_ADVANCE_LINE, _LNS_SET_FILE = 1, 2, 3, 4
_ABBREVIATION = (
    (0x25, 0x08),  # DW_AT_producer, DW_FORM_string
    (0x13, 0x05),  # DW_AT_language, DW_FORM_data2
    (0x03, 0x08),  # DW_AT_name, DW_FORM_string
    (0x1B, 0x08),  # DW_AT_comp_dir, DW_FORM_string
    (0x11, 0x01),  # DW_AT_low_pc, DW_FORM_addr
    (0x12, 0x07),  # DW_AT_high_pc, DW_FORM_data8
    (0x10, 0x17),  # DW_AT_stmt_list, DW_FORM_sec_offset
)


def debug_sections(units: Sequence[tuple[str, Assembled]]) -> dict[str, bytes]:
    """The three sections for units with their names (the file that a debugger shows each one as)."""
    abbrev = bytes([1, 0x11, 0])  # DW_TAG_compile_unit, no children
    abbrev += b"".join(bytes(pair) for pair in _ABBREVIATION) + bytes([0, 0, 0])
    info, lines = b"", b""
    for name, unit in units:
        die = b"\x01trapgate\0" + struct.pack("<H", _DW_LANG_MIPS_ASSEMBLER) + name.encode() + b"\0.\0"
        die += struct.pack("<QQI", unit.address, len(unit.code), len(lines))
        body = struct.pack("<HIB", 4, 0, 8) + die
        info += struct.pack("<I", len(body)) + body
        lines += _line_table(unit.lines)
    return {".debug_abbrev": abbrev, ".debug_info": info, ".debug_line": lines}


def _line_table(lines: Sequence[ListingLine]) -> bytes:
    files: dict[str, int] = {}
    program = b"".join(_sequence(run, files) for run in _runs(lines))
    names = b"".join(name.encode() + b"\0\0\0\0" for name in files)  # directory, time, length: unknown
    header = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + _OPCODE_LENGTHS + b"\0" + names + b"\0"
    body = struct.pack("<HI", 4, len(header)) + header + program
    return struct.pack("<I", len(body)) + body


def _runs(lines: Sequence[ListingLine]) -> Iterator[list[ListingLine]]:
    """Runs of instructions without anything between them: data has no line."""
    run: list[ListingLine] = []
    for line in lines:
        if not line.data:
            continue
        if run and (line.kind != "instruction" or line.address != run[-1].address + len(run[-1].data)):
            yield run
            run = []
        if line.kind == "instruction":
            run.append(line)
    if run:
        yield run


def _sequence(rows: Sequence[ListingLine], files: dict[str, int]) -> bytes:
    """A row wherever the source line changes, in order of addresses, ended by DW_LNE_end_sequence."""
    address, line, file = rows[0].address, 1, 1
    out = bytearray(b"\0\x09\x02" + struct.pack("<Q", address))  # DW_LNE_set_address
    last = None
    for row in rows:
        place = (row.origin.file, row.origin.line)
        if place == last:
            continue
        last = place
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
