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
from harness.assembly.settled import PLACEHOLDER, Settled, SettledMemory, SettledOperand
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
_STAND_INS: Final = {"nop": "imul", "rdpid": "rdseed"}
"""Instructions that Keystone lacks, and what is asked for instead: `repair` changes the opcode."""


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
    mnemonic = settled.mnemonic
    operands = [_operand(operand, mnemonic) for operand in settled.operands]
    if mnemonic == "nop":  # IMUL takes the same operand second, and as the first the accumulator of that size
        operands.insert(0, {16: "ax", 32: "eax", 64: "rax"}.get(settled.operands[0].size, "al"))
    words = [*(prefix for prefix in settled.prefixes if prefix != "o32"), _STAND_INS.get(mnemonic, mnemonic)]
    return f"{' '.join(words)} {', '.join(operands)}"


def _operand(operand: SettledOperand, mnemonic: str) -> str:
    if isinstance(operand, AsmRegister):
        return general_register(operand.number, 32).name if mnemonic == "rdpid" else operand.name
    if isinstance(operand, SettledMemory):
        size = 0 if mnemonic in ("ljmp", "lcall", "lsl") else operand.size  # Keystone refuses the right size
        return _memory(operand, size, _becomes_relative(operand, mnemonic))
    value = operand.value
    if mnemonic in _SIGNED_BYTE and value > 0x7F:
        value -= 0x100  # Keystone takes this byte for a signed one
    elif operand.size == 64 and value >= 1 << 63:
        value -= 1 << 64
    return f"{value:#x}"


def _becomes_relative(memory: SettledMemory, mnemonic: str) -> bool:
    """Whether Keystone would make an absolute address RIP-relative: unless it takes all 64 bits (A0 to A3)."""
    return memory.absolute and mnemonic != "movabs" and memory.holds(memory.displacement)


def _memory(memory: SettledMemory, size: int, relative: bool) -> str:
    parts: list[str] = ["rip"] if relative else []  # `repair` makes it absolute again
    if memory.base is not None:
        parts.append(memory.base.name)
    if memory.index_register is not None:
        scale = f"*{memory.scale}" if memory.width != 16 else ""
        parts.append(memory.index_register.name + scale)
    displacement = PLACEHOLDER[32] if relative else memory.displacement
    if parts and displacement >= 1 << (memory.width - 1):
        displacement -= 1 << memory.width
    text = "+".join(parts)
    if displacement or not parts:
        text += f"{displacement:+#x}" if parts else f"{displacement:#x}"
    keyword = f"{SIZE_NAMES[size]} " if size else ""
    return f"{keyword}{f'{memory.segment}:' if memory.segment else ''}[{text}]"


def repair(settled: Settled, data: bytes) -> bytes:
    """The proposal without the known faults of Keystone; raises `Refusal` if it is not of the expected form."""
    memory, mnemonic = settled.memory, settled.mnemonic
    if memory is not None and _becomes_relative(memory, mnemonic):
        data = _absolute(data, memory.displacement)
    if "o32" in settled.prefixes:
        data = _with_prefix(data, b"\x66")
    if mnemonic == "nop":  # IMUL is 0F AF /r, NOP is 0F 1F /0
        return data.replace(b"\x0f\xaf", b"\x0f\x1f", 1)
    if mnemonic == "rdpid":  # RDSEED is 0F C7 /7, RDPID is F3 0F C7 /7
        return _with_prefix(data, b"\xf3")
    if mnemonic in ("ljmp", "lcall") and memory is not None:  # Keystone has no pointer sizes
        if memory.size == 80:
            return _with_rex_w(data)
        return _with_prefix(data, b"\x66") if (memory.size == 32) != (settled.mode == 16) else data
    return data


def _with_prefix(data: bytes, prefix: bytes) -> bytes:
    at = prefix_count(data)
    return data[:at] + prefix + data[at:]


def _with_rex_w(data: bytes) -> bytes:
    at = prefix_count(data)
    if data[at] & 0xF0 == 0x40:
        return data[:at] + bytes([data[at] | 8]) + data[at + 1 :]
    return data[:at] + b"\x48" + data[at:]


def _absolute(data: bytes, displacement: int) -> bytes:
    """Turn `[rip+placeholder]` into `[displacement]`: ModRM with a SIB byte without base and index (SDM 2.2.1.6)."""
    offset = data.find(PLACEHOLDER[32].to_bytes(4, "little"))
    if offset < 2 or data[offset - 1] & 0xC7 != 0x05:
        raise Refusal(f"cannot be assembled: no absolute address found in {data.hex(' ')}")
    address = (displacement & 0xFFFF_FFFF).to_bytes(4, "little")
    return data[: offset - 1] + bytes([data[offset - 1] & 0xF8 | 4, 0x25]) + address + data[offset + 4 :]
