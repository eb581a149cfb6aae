"""Settles a parsed instruction: values, addresses and the widths of immediates."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Node
from harness.assembly.mnemonics import BYTE_IMMEDIATE, KNOWN, LOCKABLE, LONG_ONLY, ROTATES, WITH_OPERANDS, X87_POP
from harness.assembly.no_operands import NO_OPERANDS
from harness.assembly.operands import Far, Immediate, MemoryOperand, Operand
from harness.assembly.registers import REGISTERS, AsmRegister, general_register
from harness.assembly.settled import (
    PLACEHOLDER_VALUE,
    Fixup,
    Settled,
    SettledMemory,
    SettledOperand,
    SettledValue,
    check_value,
    displacement_problem,
    resolve_memory,
)
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction

__all__ = ["Early", "Request", "o32", "refuse_prefixes", "settle", "wrong_operands"]

Early: TypeAlias = Callable[[Node], int | None]
"""Returns the value of an expression, or None where it is known only after layout."""

_SPELLINGS: Final = {"retn": "ret", "lret": "retf", "lretq": "retfq", "lgdtd": "lgdt", "lidtd": "lidt"}
_DESCRIPTOR_TABLES: Final = frozenset({"lgdt", "lidt", "sgdt", "sidt"})
_WITH_O32: Final = _DESCRIPTOR_TABLES | {"lgdtd", "lidtd", "jmp", "call", "ljmp", "lcall"}
_IMPLIED_ST1: Final = X87_POP | {"fxch", "fcom", "fcomp", "fucom", "fucomp"}
_WORD_IMMEDIATE: Final = frozenset({"ret", "retf", "retfq", "enter"})


class Request(NamedTuple):
    """A settled instruction for Keystone. The offsets of its `fields` are not known yet."""

    settled: Settled
    fields: tuple[Fixup, ...]


def settle(instruction: Instruction, mode: int, early: Early) -> Request:
    """The instruction with every choice made; raises `Refusal`."""
    mnemonic = _SPELLINGS.get(instruction.mnemonic, instruction.mnemonic)
    if mnemonic not in WITH_OPERANDS:
        raise _unknown(mnemonic)
    if mnemonic in LONG_ONLY and mode != 64:
        raise Refusal(f"{mnemonic} exists only in 64-bit mode")
    for operand in instruction.operands:
        if isinstance(operand, AsmRegister) and operand.needs_64 and mode != 64:
            raise Refusal(f"{operand.name} exists only in 64-bit mode")
    operands = instruction.operands
    wide = False
    if not operands and mnemonic in _IMPLIED_ST1:
        operands = (REGISTERS["st(1)"],)
    if mnemonic in ("aam", "aad") and mode == 64:
        raise Refusal(f"{mnemonic} does not exist in 64-bit mode")
    if len(operands) < 1 + (mnemonic in ROTATES) or sum(isinstance(operand, MemoryOperand) for operand in operands) > 1:
        raise wrong_operands(instruction, mode)
    sizes = [operand.size for operand in operands if isinstance(operand, AsmRegister)]
    if mnemonic in ("lar", "lsl") and len(set(sizes)) > 1:
        raise wrong_operands(instruction, mode)
    if mnemonic in _DESCRIPTOR_TABLES:
        operands = _descriptor_table(instruction, mode)
        wide = o32(instruction, mode) or instruction.mnemonic in ("lgdtd", "lidtd")
    elif mnemonic in ("jmp", "call", "ljmp", "lcall"):
        mnemonic, operands = _far(mnemonic, instruction, mode)
    elif mnemonic == "mov" and any(isinstance(item, AsmRegister) and item.kind == "segment" for item in operands):
        operands = _segment_move(operands, mode)
    settled: list[SettledOperand] = []
    fields: list[Fixup] = []
    for position, operand in enumerate(operands):
        item: SettledOperand
        field: Fixup | None = None
        if isinstance(operand, AsmRegister):
            item = operand
        elif isinstance(operand, MemoryOperand):
            item, field = _address(mnemonic, operands, position, mode, early)
        elif isinstance(operand, Immediate) and not operand.short:
            item, field = _immediate(mnemonic, operands, position, operand.value, early)
        else:
            raise wrong_operands(instruction, mode)
        settled.append(item)
        if field is not None:
            fields.append(field)
    if mnemonic == "imul" and len(settled) == 2 and isinstance(settled[1], SettledValue):
        settled.insert(0, settled[0])
        fields = [field._replace(operand=2) for field in fields]
    lock = () if instruction.mnemonic in _WITH_O32 else _lock(instruction, settled)
    _check_high_bytes(settled)
    return Request(Settled(mode, ("o32",) if wide else lock, mnemonic, tuple(settled)), tuple(fields))


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


def _descriptor_table(instruction: Instruction, mode: int) -> tuple[Operand, ...]:
    name = instruction.mnemonic
    if name in ("lgdtd", "lidtd") and mode != 16:
        raise Refusal(f"{name} is for 16-bit mode", f"write {name[:-1]}")
    if len(instruction.operands) != 1 or not isinstance(instruction.operands[0], MemoryOperand):
        raise Refusal(f"{name} takes a memory operand", f"{name} [ADDRESS]")
    if instruction.operands[0].size not in (None, 48, 80) or instruction.operands[0].far:
        raise Refusal(f"{name} takes a pseudo-descriptor of 6 bytes (10 in 64-bit mode)", f"{name} [ADDRESS]")
    return (instruction.operands[0]._replace(size=None),)


def _far(mnemonic: str, instruction: Instruction, mode: int) -> tuple[str, tuple[Operand, ...]]:
    """LJMP and LCALL with their pointer size for a far transfer through memory; a near transfer as it is."""
    operands = instruction.operands
    memory = operands[0]
    if (
        len(operands) != 1
        or not isinstance(memory, MemoryOperand)
        or not (memory.far or memory.size in (48, 80) or mnemonic in ("ljmp", "lcall"))
    ):
        refuse_prefixes(instruction)
        if isinstance(memory, MemoryOperand) and mode == 16 and memory.size == 32:
            raise Refusal(
                f"{mnemonic} dword ptr could be a near 32-bit or a far 16:16 {mnemonic} in 16-bit mode",
                f"write {mnemonic} far ptr [m] for the far one, or load a register for the near one",
            )
        return mnemonic, operands
    wide = o32(instruction, mode)
    size = memory.size or (48 if mode != 16 or wide else 32)
    if size not in (32, 48, 80) or (size == 80 and mode != 64):
        raise Refusal("a far pointer is 16:16, 16:32 or (in 64-bit mode) 16:64", "write far ptr or fword ptr")
    return f"l{mnemonic.removeprefix('l')}", (memory._replace(size=size, far=True),)


def _segment_move(operands: tuple[Operand, ...], mode: int) -> tuple[Operand, ...]:
    """MOV to a segment register with the source as the decoder shows it: its size makes no difference."""
    for operand in operands:
        if isinstance(operand, MemoryOperand) and operand.size not in (None, 16):
            raise Refusal("a segment register is 16 bits in memory", "write word ptr")
    if len(operands) != 2 or not isinstance(operands[0], AsmRegister) or operands[0].kind != "segment":
        return operands
    source = operands[1]
    if operands[0].name == "cs":
        raise Refusal("cs cannot be loaded by mov", "use a far jump, a far return or an interrupt return")
    if isinstance(source, AsmRegister):
        if source.kind != "general" or source.size == 8:
            raise Refusal("a segment register is moved from and to a 16-bit register or memory", "load ax first")
        source = general_register(source.number, 16 if mode == 16 else 32)
    return operands[0], source


def _address(
    mnemonic: str, operands: tuple[Operand, ...], position: int, mode: int, early: Early
) -> tuple[SettledMemory, Fixup | None]:
    """The address and, if its displacement is late, its field. MOV of the accumulator has a full 64-bit address."""
    operand = operands[position]
    assert isinstance(operand, MemoryOperand)
    if operand.far and mnemonic not in ("ljmp", "lcall"):
        raise Refusal(f"{mnemonic} takes no far pointer")
    memory, late = resolve_memory(operand, mode, 0 if mnemonic == "lea" else operand.size or 0, early)
    accumulator = any(isinstance(item, AsmRegister) and (item.kind, item.number) == ("general", 0) for item in operands)
    if mnemonic == "movabs" and not (memory.absolute and accumulator):
        raise Refusal("movabs with memory takes al, ax, eax or rax and an absolute address, in 64-bit mode")
    if late and mnemonic == "movabs":
        memory = memory._replace(displacement=PLACEHOLDER_VALUE[64])
        return memory, Fixup(position, 0, 64, "unsigned", operand.displacement)
    if late:
        kind = "relative" if memory.relative else "address"
        return memory, Fixup(position, 0, min(memory.width, 32), kind, operand.displacement)
    problem = displacement_problem(memory.displacement, memory)
    if problem is not None and not (mnemonic in ("mov", "movabs") and memory.absolute and accumulator):
        raise problem
    return memory, None


def _immediate(
    mnemonic: str, operands: tuple[Operand, ...], position: int, node: Node, early: Early
) -> tuple[SettledValue, Fixup | None]:
    """The immediate and, if its value is late, its field. Its width follows the first operand."""
    first, value = operands[0], early(node)
    width = (first.size or 0) if isinstance(first, (AsmRegister, MemoryOperand)) else 0
    encoded, kind = width, "immediate"
    if mnemonic in BYTE_IMMEDIATE or (mnemonic == "enter" and position == 1):
        width = encoded = 8
        kind = "unsigned"
    elif mnemonic in _WORD_IMMEDIATE:
        width = encoded = 16
        kind = "unsigned"
    elif width not in (8, 16, 32):
        width = encoded = 64
        if mnemonic != "movabs" and not (mnemonic == "mov" and isinstance(first, AsmRegister) and value is not None):
            encoded, kind = 32, "signed"
    if value is None:
        return SettledValue(PLACEHOLDER_VALUE[encoded], width), Fixup(position, 0, encoded, kind, node)
    check_value(value, encoded, kind)
    return SettledValue(value, width), None


def _check_high_bytes(operands: list[SettledOperand]) -> None:
    """AH to DH have no encoding beside REX (SDM volume 2, 2.2.1.2); Keystone would end the process."""
    high = next((item for item in operands if isinstance(item, AsmRegister) and item.kind == "high"), None)
    if high is None:
        return
    registers: list[AsmRegister | None] = []
    for operand in operands:
        if isinstance(operand, SettledMemory):
            registers += [operand.base, operand.index_register]
        elif isinstance(operand, AsmRegister):
            registers.append(operand)
            if operand.size == 64 or (operand.size == 8 and operand.needs_64):
                raise Refusal(f"{high.name} cannot be used together with {operand.name}", "go through a low register")
    for register in registers:
        if register is not None and register.number > 7:
            raise Refusal(f"{high.name} cannot be used together with {register.name}", "go through a low register")


def _lock(instruction: Instruction, operands: list[SettledOperand]) -> tuple[str, ...]:
    """The prefixes; raises `Refusal` for any but one LOCK where it is allowed."""
    mnemonic, prefixes = instruction.mnemonic, instruction.prefixes
    if not prefixes:
        return ()
    if prefixes != ("lock",):
        extra = next((prefix for prefix in prefixes if prefix != "lock"), None)
        raise Refusal(f"{extra} is not allowed before {mnemonic}" if extra else "the same prefix twice")
    if mnemonic not in LOCKABLE:
        raise Refusal(f"lock before {mnemonic} raises #UD", "write .byte 0xf0 if that is wanted")
    destination = operands[-1] if mnemonic == "xchg" and isinstance(operands[-1], SettledMemory) else operands[0]
    if not isinstance(destination, SettledMemory):
        raise Refusal("lock needs a memory operand as destination", "write .byte 0xf0 if #UD is wanted")
    return prefixes


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
    if mnemonic == "movsx" and any(register.size == 32 for register in registers[1:]):
        hint = "from 32 bits it is movsxd"
    elif mnemonic == "movzx":
        hint = "mov r32, r32 clears the upper half"
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
