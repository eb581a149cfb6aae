"""Keystone wrapper: accepts settled instructions only, and returns unchecked proposals.

Keystone is given plain numbers and explicit sizes, never symbols or text as an author wrote it. Each instruction has a
slot of 16 bytes that is filled up with INT3, so that one that vanishes or swallows its neighbour shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import keystone

from harness.assembly.operands import SIZE_NAMES
from harness.assembly.registers import AsmRegister, general_register
from harness.assembly.round_trip import prefix_count
from harness.assembly.settled import (
    PLACEHOLDER,
    Settled,
    SettledMemory,
    SettledOperand,
    SettledValue,
    displacement_problem,
)
from harness.assembly.source import Refusal

__all__ = ["FILLING", "propose", "repair"]

FILLING: Final = b"\xcc"
"""INT3: the filling of a slot."""

_MODES: Final = {16: keystone.KS_MODE_16, 32: keystone.KS_MODE_32, 64: keystone.KS_MODE_64}
_SLOT: Final = 16
_SEPARATOR: Final = "\n.balign 0x10, 0xcc\n"
# Keystone never initialises the radix of a number without 0x: now and then it reads 16 as 16h.
_BATCH: Final = 256
_SIGNED_BYTE: Final = frozenset({"bt", "bts", "btr", "btc"})


def propose(mode: int, instructions: Sequence[Settled]) -> list[bytes]:
    """For each instruction the 16 bytes of its slot; empty where Keystone refuses it.

    One call for many instructions takes a fifth of the time of a call for each.
    """
    texts = [_text(instruction) for instruction in instructions]
    results: list[bytes] = []
    for start in range(0, len(texts), _BATCH):
        results += _batch(mode, texts[start : start + _BATCH])
    return results


def _batch(mode: int, texts: Sequence[str]) -> list[bytes]:
    engine = keystone.Ks(keystone.KS_ARCH_X86, _MODES[mode])
    try:
        data, _ = engine.asm(_SEPARATOR.join(texts) + _SEPARATOR, 0, as_bytes=True)
    except keystone.KsError:
        data = None
    if data is not None and len(data) == _SLOT * len(texts):
        return [bytes(data[start : start + _SLOT]) for start in range(0, len(data), _SLOT)]
    if len(texts) == 1:
        return [b""]
    middle = len(texts) // 2
    return _batch(mode, texts[:middle]) + _batch(mode, texts[middle:])


def _text(settled: Settled) -> str:
    words = " ".join((*(prefix for prefix in settled.prefixes if prefix != "o32"), settled.mnemonic))
    return f"{words} {', '.join([_operand(operand, settled.mnemonic) for operand in settled.operands])}"


def _operand(operand: SettledOperand, mnemonic: str) -> str:
    if isinstance(operand, AsmRegister):
        return general_register(operand.number, 32).name if mnemonic == "nop" and operand.size == 64 else operand.name
    if isinstance(operand, SettledMemory):
        size = operand.size
        if mnemonic in ("ljmp", "lcall", "lsl"):  # Keystone refuses the right size
            size = 0
        elif mnemonic == "nop" and size == 64:
            size = 32
        return _memory(operand, size, _becomes_relative(operand, mnemonic))
    value = operand.value
    if mnemonic in _SIGNED_BYTE and value > 0x7F:
        value -= 0x100  # Keystone takes this byte for a signed one
    elif operand.width == 64 and value >= 1 << 63:
        value -= 1 << 64
    return f"{value:#x}"


def _becomes_relative(memory: SettledMemory, mnemonic: str) -> bool:
    """Whether Keystone would make an absolute address RIP-relative: unless it takes all 64 bits (A0 to A3)."""
    return memory.absolute and mnemonic != "movabs" and displacement_problem(memory.displacement, memory) is None


def _memory(memory: SettledMemory, size: int, relative: bool) -> str:
    parts: list[str] = ["rip"] if relative else []  # `repair` makes it absolute again
    if memory.base is not None:
        parts.append(memory.base.name)
    if memory.index_register is not None:
        parts.append(
            f"{memory.index_register.name}*{memory.scale}" if memory.width != 16 else memory.index_register.name
        )
    displacement = PLACEHOLDER[64] if relative else memory.displacement
    if parts and displacement >= 1 << (memory.width - 1):
        displacement -= 1 << memory.width
    text = "+".join(parts)
    if displacement or not parts:
        text += f"{displacement:+#x}" if parts else f"{displacement:#x}"
    keyword = f"{SIZE_NAMES[size]} " if size else ""
    return f"{keyword}{f'{memory.segment}:' if memory.segment else ''}[{text}]"


def repair(settled: Settled, data: bytes) -> bytes:
    """The proposal without the known faults of Keystone; raises `Refusal` if it is not of the expected form."""
    memory = settled.memory
    if memory is not None and _becomes_relative(memory, settled.mnemonic):
        data = _absolute(data, memory.displacement)
    if "o32" in settled.prefixes:
        data = _with_66(data)
    if settled.mnemonic == "nop":  # Keystone encodes 0F 18 /4 and has no 64-bit form; the SDM has 0F 1F /0
        at = data.find(b"\x0f\x18")
        data = data[:at] + b"\x0f\x1f" + bytes([data[at + 2] & 0xC7]) + data[at + 3 :]
        operand = settled.operands[0]
        return _with_rex_w(data) if not isinstance(operand, SettledValue) and operand.size == 64 else data
    if settled.mnemonic in ("ljmp", "lcall") and memory is not None:  # Keystone has no pointer sizes
        if memory.size == 80:
            return _with_rex_w(data)
        return _with_66(data) if (memory.size == 32) != (settled.mode == 16) else data
    return data


def _with_66(data: bytes) -> bytes:
    at = prefix_count(data)
    return data[:at] + b"\x66" + data[at:]


def _with_rex_w(data: bytes) -> bytes:
    at = prefix_count(data)
    if data[at] & 0xF0 == 0x40:
        return data[:at] + bytes([data[at] | 8]) + data[at + 1 :]
    return data[:at] + b"\x48" + data[at:]


def _absolute(data: bytes, displacement: int) -> bytes:
    """Turn `[rip+placeholder]` into `[displacement]`: ModRM with a SIB byte without base and index (SDM 2.2.1.6)."""
    offset = data.find(PLACEHOLDER[64].to_bytes(4, "little"))
    if offset < 2 or data[offset - 1] & 0xC7 != 0x05:
        raise Refusal(f"cannot be assembled: no absolute address found in {data.hex(' ')}")
    address = (displacement & 0xFFFF_FFFF).to_bytes(4, "little")
    return data[: offset - 1] + bytes([data[offset - 1] & 0xF8 | 4, 0x25]) + address + data[offset + 4 :]
