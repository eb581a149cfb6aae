"""Short ways to the assembler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from harness.assembly import Assembled, AssemblyError, assemble, source_from_text

__all__ = ["code", "refusal", "unit"]


def unit(
    text: str,
    mode: int = 64,
    address: int = 0x1000,
    constants: Mapping[str, int] | None = None,
    symbols: Mapping[str, int] | None = None,
) -> Assembled:
    """A text, assembled."""
    width = cast(Literal[16, 32, 64], mode)
    return assemble(source_from_text(text, "x.asm"), address=address, mode=width, constants=constants, symbols=symbols)


def code(text: str, mode: int = 64, address: int = 0x1000, **names: Mapping[str, int]) -> str:
    """Its bytes in hexadecimal."""
    return unit(text, mode, address, names.get("constants"), names.get("symbols")).code.hex()


def refusal(text: str, mode: int = 64, address: int = 0x1000, **names: Mapping[str, int]) -> str:
    """The message for a text that must be refused."""
    try:
        done = unit(text, mode, address, names.get("constants"), names.get("symbols"))
    except AssemblyError as error:
        return str(error)
    raise AssertionError(f"{text!r} became {done.code.hex(' ')}")
