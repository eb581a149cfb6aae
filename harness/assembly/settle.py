"""Settles a parsed instruction: values, addresses and the widths of immediates."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final, TypeAlias

from harness.assembly.expression import Node
from harness.assembly.mnemonics import BYTE_IMMEDIATE, KNOWN, LONG_ONLY, ROTATES, WITH_OPERANDS
from harness.assembly.no_operands import NO_OPERANDS
from harness.assembly.operands import Far, Immediate, MemoryOperand, Operand, registers_of
from harness.assembly.registers import AsmRegister, general_register
from harness.assembly.settled import (
    PLACEHOLDER,
    Encoded,
    Fixup,
    Settled,
    SettledMemory,
    SettledOperand,
    SettledValue,
    check_value,
    resolve_memory,
)
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction

__all__ = ["Early", "o32", "refuse_prefixes", "settle", "wrong_operands"]

Early: TypeAlias = Callable[[Node], int | None]
"""Returns the value of an expression, or None where it is known only after layout."""

_SPELLINGS: Final = {"retn": "ret", "lret": "retf", "lretq": "retfq", "lgdtd": "lgdt", "lidtd": "lidt"}
_DESCRIPTOR_TABLES: Final = frozenset({"lgdt", "lidt", "sgdt", "sidt"})
_WITH_O32: Final = _DESCRIPTOR_TABLES | {"lgdtd", "lidtd", "jmp", "call", "ljmp", "lcall"}
_WORD_IMMEDIATE: Final = frozenset({"ret", "retf", "retfq", "enter"})
_NOT_LONG: Final = frozenset({"aam", "aad"})
_LOCKABLE: Final = frozenset(
    {"add", "adc", "and", "btc", "btr", "bts", "cmpxchg", "cmpxchg8b", "cmpxchg16b", "dec", "inc", "neg", "not", "or"}
    | {"sbb", "sub", "xor", "xadd", "xchg"}
)
"""Mnemonics that LOCK is allowed before, with a memory destination (SDM volume 2, "LOCK")."""
_OTHER_SIZE: Final = ROTATES | {"crc32", "movsx", "movzx", "lea"}
"""Mnemonics in which a register does not determine the size of the memory operand."""


def settle(instruction: Instruction, mode: int, early: Early) -> Encoded:
    """The instruction with every choice made, for Keystone: bytes and offsets are not known yet. Raises `Refusal`."""
    shaped = _shaped(instruction, mode)
    settled: list[SettledOperand] = []
    fields: list[Fixup] = []
    for position, operand in enumerate(shaped.operands):
        if isinstance(operand, AsmRegister):
            settled.append(operand)
        elif isinstance(operand, MemoryOperand):
            memory, late = _address(shaped, position, mode, early)
            settled.append(memory)
            fields += late
        elif isinstance(operand, Immediate) and not operand.short:
            value, late = _immediate(shaped, position, operand.value, early)
            settled.append(value)
            fields += late
        else:
            raise wrong_operands(instruction, mode)
    lock = () if instruction.mnemonic in _WITH_O32 else _lock(instruction, settled)
    return Encoded(
        b"", Settled(mode, lock, shaped.mnemonic, tuple(settled), shaped.prefixes == ("o32",)), tuple(fields)
    )


def _shaped(instruction: Instruction, mode: int) -> Instruction:
    """The instruction as the decoder shows it; raises `Refusal`."""
    mnemonic, operands = _SPELLINGS.get(instruction.mnemonic, instruction.mnemonic), instruction.operands
    if mnemonic not in WITH_OPERANDS:
        raise _unknown(mnemonic)
    if mnemonic in (_NOT_LONG if mode == 64 else LONG_ONLY):
        raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode")
    _check_registers(operands, mode)
    registers = [operand for operand in operands if isinstance(operand, AsmRegister)]
    if len(operands) < 1 + (mnemonic in ROTATES) or sum(isinstance(operand, MemoryOperand) for operand in operands) > 1:
        raise wrong_operands(instruction, mode)
    if mnemonic in ("lar", "lsl") and len({register.size for register in registers}) > 1:
        raise wrong_operands(instruction, mode)
    if mnemonic in _DESCRIPTOR_TABLES:
        return _descriptor_table(mnemonic, instruction, mode)
    if mnemonic in ("jmp", "call", "ljmp", "lcall"):
        return _far(mnemonic, instruction, mode)
    if mnemonic == "mov" and any(register.kind == "segment" for register in registers):
        operands = _segment_move(operands, mode)
    elif mnemonic == "imul" and len(operands) == 2 and isinstance(operands[1], Immediate):
        operands = (operands[0], *operands)
    return Instruction(instruction.prefixes, mnemonic, operands, instruction.names)


def _unknown(mnemonic: str) -> Refusal:
    if mnemonic in NO_OPERANDS:
        return Refusal(f"{mnemonic} is written without operands")
    near = difflib.get_close_matches(mnemonic, KNOWN, 3)
    near.sort(key=lambda name: sorted(name) != sorted(mnemonic))  # swapped letters are the most common mistake
    return Refusal(f"unknown mnemonic {mnemonic!r}", f"near: {', '.join(near)}" if near else None)


def refuse_prefixes(instruction: Instruction) -> None:
    """Raise `Refusal` if the instruction has a prefix."""
    if instruction.prefixes:
        raise Refusal(f"{instruction.prefixes[0]} is not allowed before {instruction.mnemonic}")


def o32(instruction: Instruction, mode: int) -> bool:
    """Whether o32 (data32) requests 32-bit operands in 16-bit mode; raises `Refusal` for every other prefix."""
    if instruction.prefixes not in (("o32",), ("data32",)):
        refuse_prefixes(instruction)
        return False
    if mode != 16:
        raise Refusal(f"{instruction.prefixes[0]} is for 16-bit mode: here the operand size is {mode} bits anyway")
    return True


def _descriptor_table(mnemonic: str, instruction: Instruction, mode: int) -> Instruction:
    name = instruction.mnemonic
    if name != mnemonic and mode != 16:
        raise Refusal(f"{name} is for 16-bit mode", f"write {mnemonic}")
    match instruction.operands:
        case (MemoryOperand(size=None | 0 | 48 | 80, far=False) as memory,):
            wide = o32(instruction, mode) or name != mnemonic
            prefixes = ("o32",) if wide else ()
            return instruction._replace(mnemonic=mnemonic, operands=(memory._replace(size=0),), prefixes=prefixes)
    raise Refusal(f"{name} takes a pseudo-descriptor of 6 bytes (10 in 64-bit mode) in memory", f"{name} [ADDRESS]")


def _far(mnemonic: str, instruction: Instruction, mode: int) -> Instruction:
    """LJMP and LCALL with their pointer size for a far transfer through memory; a near transfer as it is."""
    memory = instruction.operands[0] if len(instruction.operands) == 1 else None
    if isinstance(memory, MemoryOperand) and (memory.far or memory.size in (48, 80) or mnemonic in ("ljmp", "lcall")):
        wide = o32(instruction, mode)
        size = memory.size or (48 if mode != 16 or wide else 32)
        if size not in (32, 48, 80) or (size == 80 and mode != 64):
            raise Refusal("a far pointer is 16:16, 16:32 or (in 64-bit mode) 16:64", "write far ptr or fword ptr")
        far = memory._replace(size=size, far=True)
        return instruction._replace(mnemonic=f"l{mnemonic.removeprefix('l')}", operands=(far,), prefixes=())
    refuse_prefixes(instruction)
    if isinstance(memory, MemoryOperand) and mode == 16 and memory.size == 32:
        raise Refusal(
            f"{mnemonic} dword ptr could be a near 32-bit or a far 16:16 {mnemonic} in 16-bit mode",
            f"write {mnemonic} far ptr [m] for the far one, or load a register for the near one",
        )
    return instruction


def _segment_move(operands: tuple[Operand, ...], mode: int) -> tuple[Operand, ...]:
    """MOV to a segment register with the source as the decoder shows it: its size makes no difference."""
    if any(isinstance(operand, MemoryOperand) and operand.size not in (None, 0, 16) for operand in operands):
        raise Refusal("a segment register is 16 bits in memory", "write word ptr")
    match operands:
        case (AsmRegister(name="cs"), _):
            raise Refusal("cs cannot be loaded by mov", "use a far jump, a far return or an interrupt return")
        case (AsmRegister(kind="segment") as segment, AsmRegister() as source):
            if source.kind != "general" or source.size == 8:
                raise Refusal("a segment register is moved from and to a 16-bit register or memory", "load ax first")
            return segment, general_register(source.number, 16 if mode == 16 else 32)
    return operands


def _address(shaped: Instruction, position: int, mode: int, early: Early) -> tuple[SettledMemory, list[Fixup]]:
    """The address and, if its displacement is late, its field. MOV of the accumulator has a full 64-bit address."""
    mnemonic, operand = shaped.mnemonic, shaped.operands[position]
    assert isinstance(operand, MemoryOperand)
    if operand.far and mnemonic not in ("ljmp", "lcall"):
        raise Refusal(f"{mnemonic} takes no far pointer")
    registers = [item for item in shaped.operands if isinstance(item, AsmRegister)]
    size = 0 if mnemonic == "lea" else operand.size
    if size is None:  # a guess, which the decoder confirms or not
        size = 0 if mnemonic in _OTHER_SIZE else max((register.size for register in registers), default=0)
    value = early(operand.displacement)
    memory = resolve_memory(operand, mode, size, value, early)
    accumulator = any((register.kind, register.number) == ("general", 0) for register in registers)
    if mnemonic == "movabs" and not (memory.absolute and accumulator):
        raise Refusal("movabs with memory takes al, ax, eax or rax and an absolute address, in 64-bit mode")
    if value is None:
        width, kind = min(memory.width, 32), "relative" if memory.relative else "address"
        if mnemonic == "movabs":
            width, kind = 64, "unsigned"
        memory = memory._replace(displacement=PLACEHOLDER[width])
        return memory, [Fixup(position, 0, width, kind, operand.displacement)]
    if not (mnemonic in ("mov", "movabs") and memory.absolute and accumulator):
        memory.check(memory.displacement)
    return memory, []


def _immediate(shaped: Instruction, position: int, node: Node, early: Early) -> tuple[SettledValue, list[Fixup]]:
    """The immediate and, if its value is late, its field. Its size follows the first operand."""
    mnemonic, first, value = shaped.mnemonic, shaped.operands[0], early(node)
    size = (first.size or 0) if isinstance(first, (AsmRegister, MemoryOperand)) else 0
    width, kind = size, "immediate"
    if mnemonic in BYTE_IMMEDIATE or (mnemonic == "enter" and position == 1):
        size, width, kind = 8, 8, "unsigned"
    elif mnemonic in _WORD_IMMEDIATE:
        size, width, kind = 16, 16, "unsigned"
    elif size not in (8, 16, 32):
        size = width = 64
        if mnemonic != "movabs" and not (mnemonic == "mov" and isinstance(first, AsmRegister) and value is not None):
            width, kind = 32, "signed"
    if value is None:
        return SettledValue(PLACEHOLDER[width], size), [Fixup(position, 0, width, kind, node)]
    check_value(value, width, kind)
    return SettledValue(value, size), []


def _check_registers(operands: tuple[Operand, ...], mode: int) -> None:
    """Raise `Refusal` for registers that the mode lacks, and for AH to DH beside REX.

    AH to DH have no encoding beside REX (SDM volume 2, 2.2.1.2); Keystone would end the process.
    """
    used = [register for operand in operands for register in registers_of(operand)]
    high = next((register.name for register in used if register.kind == "high"), None)
    for register in used:
        if mode != 64 and register.needs_64:
            raise Refusal(f"{register.name} exists only in 64-bit mode")
        if high is None:
            continue
        wide = register.size == 64 or (register.size == 8 and register.needs_64)
        if register.number > 7 or (wide and register in operands):
            raise Refusal(f"{high} cannot be used together with {register.name}", "go through a low register")


def _lock(instruction: Instruction, operands: list[SettledOperand]) -> tuple[str, ...]:
    """The prefixes; raises `Refusal` for any but one LOCK where it is allowed."""
    mnemonic, prefixes = instruction.mnemonic, instruction.prefixes
    extra = next((prefix for prefix in prefixes if prefix != "lock"), None)
    if extra is not None or len(prefixes) > 1:
        raise Refusal(f"{extra} is not allowed before {mnemonic}" if extra else "the same prefix twice")
    if prefixes and mnemonic not in _LOCKABLE:
        raise Refusal(f"lock before {mnemonic} raises #UD", "write .byte 0xf0 if that is wanted")
    destination = operands[-1] if mnemonic == "xchg" and isinstance(operands[-1], SettledMemory) else operands[0]
    if prefixes and not isinstance(destination, SettledMemory):
        raise Refusal("lock needs a memory operand as destination", "write .byte 0xf0 if #UD is wanted")
    return prefixes


_HINTS: Final = {
    "movsx": "it extends 8 or 16 bits; from 32 bits it is movsxd",
    "movzx": "mov r32, r32 clears the upper half",
    "rdpid": "it takes a register of 64 bits in 64-bit mode, else of 32",
}


def wrong_operands(instruction: Instruction, mode: int) -> Refusal:
    """The refusal of operands that the mnemonic does not take, with the likeliest mistake."""
    mnemonic, operands = instruction.mnemonic, instruction.operands
    registers = [operand for operand in operands if isinstance(operand, AsmRegister)]
    memories = [operand for operand in operands if isinstance(operand, MemoryOperand)]
    hint: str | None = None
    if any(isinstance(operand, Far) for operand in operands):
        return Refusal(f"{mnemonic} takes no selector:offset")
    if any(register.size == 64 and register.kind == "general" for register in registers) and mode != 64:
        return Refusal(f"{mnemonic}: 64-bit operands exist only in 64-bit mode")
    if mnemonic in _HINTS:
        hint = _HINTS[mnemonic]
    elif len(registers) == 2 and registers[0].size != registers[1].size:
        hint = f"{registers[0].name} has {registers[0].size} bits, {registers[1].name} has {registers[1].size}"
    elif mnemonic in ("push", "pop") and any(register.kind == "segment" for register in registers):
        hint = "this mode lacks it for that register: go through a general register"
    elif registers and memories and (memories[0].size or 128) < 80 and memories[0].size != registers[0].size:
        hint = f"{registers[0].name} has {registers[0].size} bits, the memory operand {memories[0].size}"
    elif len(memories) == 2:
        hint = "only one operand can be memory"
    elif mnemonic in ("push", "pop", "call", "jmp") and mode == 64:
        hint = "in 64-bit mode it takes 64-bit operands"
    elif mnemonic in ROTATES and len(operands) == 1:
        hint = "write the count: a number or cl"
    if not operands:
        return Refusal(f"{mnemonic} needs operands", hint)
    if mnemonic in ("push", "pop") and len(operands) > 1:
        return Refusal(f"{mnemonic} takes one operand")
    return Refusal(f"{mnemonic} does not take these operands in {mode}-bit mode", hint)
