"""An image as an ELF64 executable: what QEMU's `-kernel`, GDB and pyelftools read.

System V ABI, "Object Files"; Multiboot Specification 0.6.96; Xen's PVH note (xen/include/public/elfnote.h).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from harness import abi
from harness.assembly import Assembled
from harness.image.dwarf import debug_sections
from harness.image.image import Image, Parameters

__all__ = ["elf"]

_PAGE = 0x1000
_XEN_ELFNOTE_PHYS32_ENTRY = 18


@dataclass
class _Section:
    name: str
    kind: int  # sh_type
    data: bytes
    address: int = 0
    flags: int = 0
    link: int = 0
    info: int = 0
    entry: int = 0
    align: int = 1
    offset: int = 0


def elf(image: Image, parameters: Parameters, boot: Literal["multiboot", "pvh"] = "multiboot") -> bytes:
    """The image with symbols and line information.

    `boot`: QEMU takes a file with a multiboot header for a multiboot kernel, so a PVH image carries none. Runtime and
    program are one segment: a multiboot loader with the header's address fields copies the file in one piece.
    """
    segments = image.segments(parameters)
    runtime_at = segments[0][0]
    code = bytearray()
    for address, data in segments:
        code += bytes(address - runtime_at - len(code)) + data
    header = image.runtime.symbols["multiboot_header"] - runtime_at
    if boot == "multiboot":
        struct.pack_into("<I", code, header + 20, runtime_at + len(code))  # load_end_addr
    else:
        struct.pack_into("<I", code, header, 0)
    sections = [
        _Section("", 0, b""),
        _Section(".text", 1, bytes(code), runtime_at, 0x7, align=_PAGE),
    ]
    entry = image.runtime.symbols["entry32"]
    if boot == "pvh":
        entry = image.runtime.symbols["entry_pvh"]
        note = struct.pack("<III4sQ", 4, 8, _XEN_ELFNOTE_PHYS32_ENTRY, b"Xen\0", entry)
        sections.append(_Section(".note.Xen", 7, note, align=4))
    sections += _symbols(image, strings=len(sections) + 1)
    units = [(_first_file(unit), unit) for unit in (image.runtime, image.program)]
    for name, data in debug_sections(units).items():
        sections.append(_Section(name, 1, data))
    return _file(sections, entry)


def _first_file(unit: Assembled) -> str:
    """The first real file that a unit's code comes from."""
    files = [line.origin.file for line in unit.lines if line.kind == "instruction"]
    return next((file for file in files if "(generated)" not in file), "program")


def _symbols(image: Image, strings: int) -> list[_Section]:
    """.symtab and .strtab: labels are functions in .text up to the next label, regions of the layout are absolute."""
    names = bytearray(b"\0")
    table = bytearray(24)

    def add(name: str, kind: int, section: int, address: int, size: int) -> None:
        nonlocal names, table
        table += struct.pack("<IBBHQQ", len(names), kind, 0, section, address, size)
        names += name.encode() + b"\0"

    for unit in (image.runtime, image.program):
        ordered = sorted(unit.symbols.items(), key=lambda item: item[1])
        ends = [address for _, address in ordered[1:]] + [unit.address + len(unit.code)]
        for (name, address), end in zip(ordered, ends, strict=True):
            add(name, 0x12, 1, address, end - address)
    for name, address in abi.symbols().items():
        if name not in image.runtime.symbols and name not in image.program.symbols:
            add(name, 0x10, 0xFFF1, address, 0)
    return [
        _Section(".symtab", 2, bytes(table), link=strings, info=1, entry=24, align=8),
        _Section(".strtab", 3, bytes(names)),
    ]


def _file(sections: list[_Section], entry: int) -> bytes:
    names = bytearray()
    offsets: list[int] = []
    sections.append(_Section(".shstrtab", 3, b""))
    for section in sections:
        offsets.append(len(names))
        names += section.name.encode() + b"\0"
    sections[-1].data = bytes(names)

    loads = [section for section in sections if section.address]
    notes = [section for section in sections if section.kind == 7]
    body = bytearray(64 + 56 * (len(loads) + len(notes)))
    for section in sections[1:]:
        body += bytes(-len(body) % section.align)
        section.offset = len(body)
        body += section.data
    body += bytes(-len(body) % 8)
    table = len(body)
    for section, name in zip(sections, offsets, strict=True):
        body += struct.pack(
            "<IIQQQQIIQQ",
            name,
            section.kind,
            section.flags,
            section.address,
            section.offset,
            len(section.data),
            section.link,
            section.info,
            section.align,
            section.entry,
        )
    programs = b"".join(_program_header(1, section) for section in loads)
    programs += b"".join(_program_header(4, section) for section in notes)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        2,
        62,
        1,
        entry,
        64,
        table,
        0,
        64,
        56,
        len(loads) + len(notes),
        64,
        len(sections),
        len(sections) - 1,
    )
    body[: len(head) + len(programs)] = head + programs
    return bytes(body)


def _program_header(kind: int, section: _Section) -> bytes:
    size = len(section.data)
    return struct.pack(
        "<IIQQQQQQ",
        kind,
        7 if kind == 1 else 4,
        section.offset,
        section.address,
        section.address,
        size,
        size,
        section.align,
    )
