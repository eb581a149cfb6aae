"""A settled instruction as the text that Keystone is given: plain numbers, explicit sizes, no symbols."""

from __future__ import annotations

from typing import Final

from harness.assembly.concrete import Concrete, ConcreteMemory, ConcreteValue
from harness.assembly.registers import REGISTERS, Register

__all__ = ["keystone_text"]

_SIZE_NAMES: Final = {
    0: "",
    8: "byte ptr ",
    16: "word ptr ",
    32: "dword ptr ",
    64: "qword ptr ",
    80: "tbyte ptr ",
    128: "xmmword ptr ",
    256: "ymmword ptr ",
}

_SIGNED_BYTE: Final = frozenset({"bt", "bts", "btr", "btc"})


def keystone_text(concrete: Concrete, absolute: bool) -> str:
    """The instruction as text. `absolute`: write RIP in place of no register (see `encode.to_absolute`)."""
    words = " ".join((*concrete.prefixes, concrete.mnemonic))
    operands: list[str] = []
    for operand in concrete.operands:
        if isinstance(operand, Register):
            operands.append(operand.name)
        elif isinstance(operand, ConcreteValue):
            value = operand.value
            if concrete.mnemonic in _SIGNED_BYTE and operand.width == 8 and value > 0x7F:
                value -= 0x100  # Keystone takes this byte for a signed one
            operands.append(_number(value, operand.width))
        else:
            operands.append(_memory(operand, absolute))
    return f"{words} {', '.join(operands)}" if operands else words


def _number(value: int, width: int) -> str:
    if width == 64 and value >= 1 << 63:
        value -= 1 << 64
    return f"-{-value:#x}" if value < 0 else f"{value:#x}"


def _memory(memory: ConcreteMemory, absolute: bool) -> str:
    parts: list[str] = []
    if absolute:
        parts.append(REGISTERS["rip"].name)
    if memory.base is not None:
        parts.append(memory.base.name)
    if memory.index is not None:
        parts.append(f"{memory.index.name}*{memory.scale}" if memory.width != 16 else memory.index.name)
    text = "+".join(parts)
    displacement = memory.displacement
    if memory.width == 64 and displacement >= 1 << 63:
        displacement -= 1 << 64
    elif memory.width < 64 and displacement >= 1 << (memory.width - 1) and parts:
        displacement -= 1 << memory.width
    if displacement or not parts:
        number = _number(displacement, 0)
        text += number if displacement < 0 or not parts else f"+{number}"
    segment = f"{memory.segment}:" if memory.segment else ""
    return f"{_SIZE_NAMES[memory.size]}{segment}[{text}]"
