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
from harness.assembly.settled import Settled, SettledMemory, SettledOperand

__all__ = ["FILLING", "propose", "repair"]

FILLING: Final = b"\xcc"
"""INT3: the filling of a slot."""

_MODES: Final = {16: keystone.KS_MODE_16, 32: keystone.KS_MODE_32, 64: keystone.KS_MODE_64}
_SLOT: Final = 16
_SEPARATOR: Final = "\n.balign 0x10, 0xcc\n"
# Keystone never initialises the radix of a number without 0x: now and then it reads 16 as 16h.
_SIGNED_BYTE: Final = frozenset({"bt", "bts", "btr", "btc"})
_STAND_INS: Final = {"nop": "imul", "rdpid": "rdseed"}
"""Instructions that Keystone lacks, and what is asked for instead: `repair` changes the opcode."""


def propose(mode: int, instructions: Sequence[Settled]) -> list[bytes]:
    """For each instruction the 16 bytes of its slot; empty where Keystone refuses it.

    One call for many instructions takes a fifth of the time of a call for each.
    """
    engine = keystone.Ks(keystone.KS_ARCH_X86, _MODES[mode])
    text = "".join([_text(instruction) + _SEPARATOR for instruction in instructions])
    try:
        data, _ = engine.asm(text, 0, as_bytes=True)
    except keystone.KsError:
        data = None
    if data is not None and len(data) == _SLOT * len(instructions):
        return [bytes(data[start : start + _SLOT]) for start in range(0, len(data), _SLOT)]
    if len(instructions) == 1:
        return [b""]
    middle = len(instructions) // 2
    return propose(mode, instructions[:middle]) + propose(mode, instructions[middle:])


def _text(settled: Settled) -> str:
    mnemonic = settled.mnemonic
    operands = [_operand(operand, mnemonic) for operand in settled.operands]
    if mnemonic == "nop":  # IMUL takes the same operand second, and as the first the accumulator of that size
        operands.insert(0, {16: "ax", 32: "eax", 64: "rax"}.get(settled.operands[0].size, "al"))
    words = (*settled.prefixes, _STAND_INS.get(mnemonic, mnemonic))
    return f"{' '.join(words)} {', '.join(operands)}"


def _operand(operand: SettledOperand, mnemonic: str) -> str:
    if isinstance(operand, AsmRegister):
        return general_register(operand.number, 32).name if mnemonic == "rdpid" else operand.name
    if isinstance(operand, SettledMemory):
        return _memory(operand, mnemonic)
    value = operand.value
    if mnemonic in _SIGNED_BYTE and value > 0x7F:
        value -= 0x100  # Keystone takes this byte for a signed one
    elif operand.size == 64 and value >= 1 << 63:
        value -= 1 << 64
    return f"{value:#x}"


def _memory(memory: SettledMemory, mnemonic: str) -> str:
    parts = [
        register.name if (position == 0 and scale == 1) or memory.width == 16 else f"{register.name}*{scale}"
        for position, (register, scale) in enumerate(memory.terms)
    ]
    displacement = memory.displacement
    if memory.absolute and memory.holds(displacement) and mnemonic != "movabs":
        parts.append("riz*1")  # no index: Keystone would make the address RIP-relative
    if parts and displacement >= 1 << (memory.width - 1):
        displacement -= 1 << memory.width
    text = "+".join(parts)
    if displacement or not parts:
        text += f"{displacement:+#x}" if parts else f"{displacement:#x}"
    size = 0 if mnemonic in ("ljmp", "lcall", "lsl") else memory.size  # Keystone refuses the right size
    keyword = f"{SIZE_NAMES[size]} " if size else ""
    return f"{keyword}{f'{memory.segment}:' if memory.segment else ''}[{text}]"


def repair(settled: Settled, data: bytes) -> bytes:
    """The proposal without the known faults of Keystone."""
    memory, mnemonic = settled.memory, settled.mnemonic
    if settled.wide:
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
    present = data[at] & 0xF0 == 0x40
    return data[:at] + bytes([data[at] | 8 if present else 0x48]) + data[at + present :]
