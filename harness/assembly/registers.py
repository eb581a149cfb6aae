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

    @property
    def needs_64(self) -> bool:
        """Whether only 64-bit mode has it."""
        needs_rex = self.kind == "general" and (self.size == 64 or (self.size == 8 and self.number > 3))
        return needs_rex or self.number > 7 or self.kind == "ip"


_NAMES: Final = {
    ("general", 64): "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15",
    ("general", 32): "eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d",
    ("general", 16): "ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w",
    ("general", 8): "al cl dl bl spl bpl sil dil r8b r9b r10b r11b r12b r13b r14b r15b",
    ("high", 8): "- - - - ah ch dh bh",
    ("ip", 64): "rip",
    ("ip", 32): "eip",
    ("segment", 16): "es cs ss ds fs gs",
    ("control", 64): "cr0 - cr2 cr3 cr4 - - - cr8",
    ("debug", 64): " ".join([f"dr{number}" for number in range(8)]),
    ("mmx", 64): " ".join([f"mm{number}" for number in range(8)]),
    ("xmm", 128): " ".join([f"xmm{number}" for number in range(16)]),
    ("ymm", 256): " ".join([f"ymm{number}" for number in range(16)]),
    ("x87", 80): " ".join([f"st({number})" for number in range(8)]),
}
"""The names of each kind and size, in the order of their numbers; `-` where there is no register."""


REGISTERS: Final = {
    name: AsmRegister(name, size, kind, number)
    for (kind, size), names in _NAMES.items()
    for number, name in enumerate(names.split())
    if name != "-"
}
"""Every register by its lower-case name."""
REGISTERS["st"] = REGISTERS["st(0)"]


def general_register(number: int, size: int) -> AsmRegister:
    """The general register of that number with another size (16, 32 or 64 bits)."""
    return REGISTERS[_NAMES["general", size].split()[number]]
