"""Many instructions before the witness at once.

One call of the decoder for a run of instructions costs a sixth of a call for each. What a run cannot settle (an
instruction that the decoder does not know, or shows in an unusual way) is decoded and compared on its own by `check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.check import LEGACY_PREFIXES, NO_OPERAND_SIZE, decode_run, disagreement
from harness.assembly.concrete import Concrete, ConcreteMemory, ConcreteValue
from harness.assembly.registers import Register
from harness.assembly.transfers import TRANSFERS

__all__ = ["Claim", "complaints"]

Decoded: TypeAlias = tuple[int, str, str]

_SIZES: Final = {
    0: "",
    8: "byte ptr ",
    16: "word ptr ",
    32: "dword ptr ",
    64: "qword ptr ",
    128: "xmmword ptr ",
    256: "ymmword ptr ",
}
_UNUSUAL: Final = NO_OPERAND_SIZE | {"sal", "ljmp", "lcall"}
"""What `check` looks at more closely than word by word."""


class Claim(NamedTuple):
    """Bytes, the instruction that they are said to be, and the address that they are to stand at.

    `address_size` is that of `check.disagreement`.
    """

    concrete: Concrete
    data: bytes
    address: int = 0
    address_size: bool = False


def complaints(mode: int, claims: Sequence[Claim]) -> list[str | None]:
    """For each claim why it is wrong; None where it is right."""
    told: list[str | None] = []
    position = 0
    for claim, decoded in zip(claims, _decode_each(mode, [claim.data for claim in claims]), strict=True):
        if decoded is not None and _plainly_right(claim, decoded, claim.address - position):
            told.append(None)
        else:
            told.append(disagreement(claim.concrete, claim.data, claim.address, address_size=claim.address_size))
        position += len(claim.data)
    return told


def _decode_each(mode: int, pieces: Sequence[bytes]) -> list[Decoded | None]:
    """The instruction (size, mnemonic, operands) that each piece begins with, decoded as if they followed each other.

    None where the decoder knows none, and where an instruction does not begin where its piece does.
    """
    code = b"".join(pieces)
    results: list[Decoded | None] = []
    position = 0
    found = iter(decode_run(mode, code, 0))
    following = next(found, None)
    for piece in pieces:
        while following is not None and following[0] < position:
            following = next(found, None)
        if following is None and position < len(code):  # the decoder stopped before this piece: let it go on from here
            found = iter(decode_run(mode, code[position:], position))
            following = next(found, None)
        results.append(following[1:] if following is not None and following[0] == position else None)
        position += len(piece)
    return results


def _plainly_right(claim: Claim, decoded: Decoded, moved: int) -> bool:
    """Whether an instruction without prefixes decodes to the very words that it was written in.

    It was decoded `moved` bytes before its address, which matters to the target of a relative transfer. False says
    nothing yet: `disagreement` knows the other ways to be right.
    """
    concrete, data, _, address_size = claim
    mode = concrete.mode
    size, mnemonic, operands = decoded
    if mnemonic != concrete.mnemonic or size != len(data) or data[0] in LEGACY_PREFIXES:
        return False
    if address_size or concrete.prefixes or mnemonic in _UNUSUAL:
        return False
    if concrete.size == (32 if mode == 16 else 16):
        return False
    wanted = concrete.operands
    if not wanted:
        return True
    shown = operands.split(", ")
    if len(shown) != len(wanted):
        return False
    for want, text in zip(wanted, shown, strict=True):
        if isinstance(want, Register):
            if want.name != text or (mode == 16 and want.size > 64):
                return False
        elif isinstance(want, ConcreteValue):
            try:
                value = int(text, 0) + moved if mnemonic in TRANSFERS else int(text, 0)
                if (value - want.value) & ((1 << want.width) - 1):
                    return False
            except ValueError:
                return False
        elif want.segment is not None or want.width != mode or _memory(want) != text:
            return False
    return True


def _memory(memory: ConcreteMemory) -> str | None:
    """How the decoder writes an address; None for what it writes in ways of its own."""
    size = _SIZES.get(memory.size)
    if size is None or memory.size == 0:
        return None
    parts: list[str] = []
    if memory.base is not None:
        parts.append(memory.base.name)
    if memory.index is not None:
        parts.append(f"{memory.index.name}*{memory.scale}" if memory.scale > 1 else memory.index.name)
    text = " + ".join(parts)
    number = memory.displacement
    if number or not text:
        if not text:
            return f"{size}[{number & (1 << memory.width) - 1:#x}]" if number & ~9 else None
        sign = " - " if number < 0 else " + "
        number = abs(number)
        text = f"{text}{sign}{number if number < 10 else hex(number)}"
    return f"{size}[{text}]"
