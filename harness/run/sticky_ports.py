"""Finds programs that may write I/O ports whose state survives `system_reset`: their machine serves no further run.

The check reads the text of the program, so it costs microseconds. It allows ports by name; a port that it does not
know, or cannot resolve, counts as one that survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["sticky_port"]

_OUT = re.compile(r"^[ \t]*(?:rep[a-z]*[ \t]+)?out(?:s[bwd]?)?\b[ \t]*([^,\n#]*)", re.IGNORECASE | re.MULTILINE)
_DX = re.compile(r"mov\s+e?dx\s*,\s*(0x[0-9a-f]+|[0-9]+)\s*(?:#.*)?", re.IGNORECASE)
_CHANGES_DX = re.compile(
    r"\b[er]?dx\b|\bd[lh]\b|^\s*(?:call|mul|div|imul|idiv|rdtsc|cpuid|rdmsr|cdq|cqo|rdtscp)\b|:\s*$"
)
_LOOK_BACK = 600  # characters in which the port of `out dx, al` must be set
_READS_DX = re.compile(r"\s*(?:in|out)\b", re.IGNORECASE)
# Data directives whose text has the opcode of OUT or OUTS (SDM vol. 2B, "OUT", "OUTS"): E6, E7, EE, EF, 6E, 6F.
_HIDDEN = re.compile(r"\.(?:byte|word|short|long|int|quad|octa)\b[^\n]*(?:e[67ef]|6[ef])", re.IGNORECASE)

# Ports whose device has a reset method in QEMU that restores them all, or that guest/runtime/start.asm writes anew.
_RESTORED = frozenset(
    (
        *range(0x10),  # 8237, first controller
        *(0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1),  # 8259, ELCR
        *(0x40, 0x41, 0x42, 0x43, 0x61),  # 8254, port B: the runtime
        *(0x60, 0x64),  # 8042
        *(0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B, 0x8F),  # 8237, page registers: the runtime
        *range(0xC0, 0xE0),  # 8237, second controller
        *(0xF0, 0xF1),  # FERR#
        *range(0x170, 0x178),
        *range(0x1F0, 0x1F8),
        *range(0x376, 0x377),
        *range(0x3F0, 0x400),  # floppy, IDE, COM1
        0x505,  # pvpanic
        *range(0x600, 0x606),  # ACPI PM1 event and control
        *range(0xCF8, 0xD00),  # PCI configuration, reset control
        *range(0x2000, 0x2018),  # interrupt lines of pc-testdev
    )
)


def sticky_port(texts: Iterable[str]) -> str | None:
    """Why a program with these statements may leave port state that survives a reset; `None` where it cannot."""
    text = "\n".join(texts)
    if found := _HIDDEN.search(text):
        return f"data that may be an OUT instruction: {found.group().strip()}"
    for found in _OUT.finditer(text):
        port = _port(text, found)
        if port is None:
            return f"OUT to a port that is not a constant: {found.group().strip()}"
        if port not in _RESTORED:
            return f"OUT to port {port:#x}, which a reset does not restore"
    return None


def _port(text: str, found: re.Match[str]) -> int | None:
    operand = found.group(1).strip().lower()
    try:
        return int(operand, 0)
    except ValueError:
        pass
    if operand != "dx":
        return None
    start = max(0, found.start() - _LOOK_BACK)
    lines = text[start : found.start()].split("\n")
    for line in reversed(lines[1:] if start else lines):  # the first one may be cut
        if written := _DX.fullmatch(line.strip()):
            return int(written.group(1), 0)
        if _CHANGES_DX.search(line) and not _READS_DX.match(line):
            return None
    return None
