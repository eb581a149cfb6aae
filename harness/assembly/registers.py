"""The registers that a statement can name."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["REGISTERS", "AsmRegister", "general_register"]


class AsmRegister(NamedTuple):
    """A register: `size` in bits, `number` as encoded (bit 3 and up go to REX or VEX)."""

    name: str
    size: int
    kind: str  # general, high (ah to bh), ip, segment, control, debug, mmx, xmm, ymm, x87
    number: int
    needs_64: bool = False


def _registers() -> dict[str, AsmRegister]:
    table: dict[str, AsmRegister] = {}

    def add(name: str, size: int, kind: str, number: int, needs_64: bool = False) -> None:
        table[name] = AsmRegister(name, size, kind, number, needs_64)

    for number, stem in enumerate(("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")):
        add(stem, 16, "general", number)
        add("e" + stem, 32, "general", number)
        add("r" + stem, 64, "general", number, True)
        if number < 4:
            add(stem[0] + "l", 8, "general", number)
            add(stem[0] + "h", 8, "high", number + 4)
        else:
            add(stem + "l", 8, "general", number, True)
    for number in range(8, 16):
        for suffix, size in (("", 64), ("d", 32), ("w", 16), ("b", 8)):
            add(f"r{number}{suffix}", size, "general", number, True)
    for number, name in enumerate(("es", "cs", "ss", "ds", "fs", "gs")):
        add(name, 16, "segment", number)
    for number in (0, 2, 3, 4, 8):
        add(f"cr{number}", 64, "control", number, number == 8)
    for number in range(8):
        add(f"dr{number}", 64, "debug", number)
        add(f"mm{number}", 64, "mmx", number)
    for number in range(16):
        add(f"xmm{number}", 128, "xmm", number, number > 7)
        add(f"ymm{number}", 256, "ymm", number, number > 7)
    for number in range(8):
        add(f"st({number})", 80, "x87", number)
    table["st"] = table["st(0)"]
    add("rip", 64, "ip", 0, True)
    add("eip", 32, "ip", 0, True)
    return table


REGISTERS: Final[dict[str, AsmRegister]] = _registers()
"""Every register by its lower-case name."""


def general_register(number: int, size: int) -> AsmRegister:
    """The general register of that number with another size (16, 32 or 64 bits)."""
    return _GENERAL[number, size]


_GENERAL: Final = {
    (register.number, register.size): register for register in REGISTERS.values() if register.kind == "general"
}
