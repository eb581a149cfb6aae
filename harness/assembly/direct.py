"""Instructions with operands that Keystone lacks or gets wrong, by their exact bytes (Intel SDM, volume 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.assembly.addresses import displacement_problem, resolve_memory
from harness.assembly.concrete import Concrete, ConcreteMemory, ConcreteValue, Encoded, Field
from harness.assembly.errors import Refusal
from harness.assembly.expression import Node
from harness.assembly.operands import Far, Immediate, Memory
from harness.assembly.registers import REGISTERS, Register
from harness.assembly.selection import check_value
from harness.assembly.statement import Instruction

__all__ = ["DIRECT", "Donor", "direct"]

Early = Callable[[Node], int | None]


@dataclass(frozen=True, slots=True)
class Donor:
    """An opcode whose memory operand Keystone encodes for us: the address of `lea eax, [...]` is transplanted.

    `prefix` goes before REX, `opcode` replaces that of LEA, `digit` is the reg field of ModRM.
    """

    memory: ConcreteMemory
    late: bool
    prefix: bytes
    rex_w: bool
    opcode: bytes
    digit: int
    concrete: Concrete


_DESCRIPTOR_TABLES: Final = {"sgdt": 0, "sidt": 1, "lgdt": 2, "lidt": 3}
_FAR: Final = {"jmp": (0xEA, 5), "ljmp": (0xEA, 5), "call": (0x9A, 3), "lcall": (0x9A, 3)}
_SEGMENT_PUSH: Final = {
    "es": (b"\x06", b"\x07"),
    "cs": (b"\x0e", b""),
    "ss": (b"\x16", b"\x17"),
    "ds": (b"\x1e", b"\x1f"),
    "fs": (b"\x0f\xa0", b"\x0f\xa1"),
    "gs": (b"\x0f\xa8", b"\x0f\xa9"),
}
_X87_BINARY: Final = {"fadd": 0xC0, "fmul": 0xC8, "fsub": 0xE0, "fsubr": 0xE8, "fdiv": 0xF0, "fdivr": 0xF8}
_X87_REVERSED: Final = {"fadd": 0xC0, "fmul": 0xC8, "fsub": 0xE8, "fsubr": 0xE0, "fdiv": 0xF8, "fdivr": 0xF0}
_X87_POP: Final = {f"{name}p": code for name, code in _X87_REVERSED.items()}
_X87_ONE: Final = {
    "fld": b"\xd9\xc0",
    "fxch": b"\xd9\xc8",
    "fst": b"\xdd\xd0",
    "fstp": b"\xdd\xd8",
    "ffree": b"\xdd\xc0",
    "fucom": b"\xdd\xe0",
    "fucomp": b"\xdd\xe8",
    "fcom": b"\xd8\xd0",
    "fcomp": b"\xd8\xd8",
}
_X87_TOP: Final = {"fcomi": b"\xdb\xf0", "fcomip": b"\xdf\xf0", "fucomi": b"\xdb\xe8", "fucomip": b"\xdf\xe8"}
_X87: Final = frozenset({*_X87_BINARY, *_X87_POP, *_X87_ONE, *_X87_TOP})

DIRECT: Final = frozenset(
    {
        *_DESCRIPTOR_TABLES,
        "lgdtd",
        "lidtd",
        *_FAR,
        *_X87,
        "int",
        "enter",
        "ret",
        "retn",
        "retf",
        "lret",
        "retfq",
        "lretq",
    }
    | {"push", "pop", "mov", "movabs", "nop", "rdpid", "aam", "aad", "lar", "lsl"}
)
"""Mnemonics of which some forms are encoded here."""


def direct(instruction: Instruction, mode: int, early: Early) -> Encoded | Donor | None:
    """The encoding of an instruction that is not left to Keystone; None if it is. Raises `Refusal`."""
    mnemonic, operands = instruction.mnemonic, instruction.operands
    registers = [operand for operand in operands if isinstance(operand, Register)]
    if mnemonic in _DESCRIPTOR_TABLES or mnemonic in ("lgdtd", "lidtd"):
        return _descriptor_table(instruction, mode, early)
    if mnemonic in _FAR:
        return _far(instruction, mode, early)
    if mnemonic in ("mov", "push", "pop") and any(register.kind == "segment" for register in registers):
        return _segment(instruction, mode, early)
    if mnemonic == "push" and len(operands) == 1 and isinstance(operands[0], Immediate):
        return _push(instruction, operands[0], mode, early)
    if mnemonic in ("mov", "movabs") and len(operands) == 2:
        return _offset_move(instruction, mode, early)
    if mnemonic == "nop" and len(operands) == 1:
        return _nop(instruction, mode, early)
    if mnemonic in ("lar", "lsl") and len(operands) == 2 and isinstance(operands[1], Memory):
        return _limits(instruction, operands[0], operands[1], mode, early)
    if mnemonic == "rdpid":
        return _rdpid(instruction, mode)
    if mnemonic in _X87 and not any(isinstance(operand, Memory) for operand in operands):
        return _x87(instruction, mode)
    if operands and all(isinstance(operand, Immediate) for operand in operands):
        return _immediates(instruction, mode, early)
    return None


def _no_prefix(instruction: Instruction) -> None:
    if instruction.prefixes:
        raise Refusal(f"{instruction.prefixes[0]} cannot stand before {instruction.mnemonic}")


def _o32(instruction: Instruction, mode: int) -> bool:
    """Whether o32 (data32) asks for 32-bit operands in 16-bit mode; refuses every other prefix."""
    if not instruction.prefixes:
        return False
    if instruction.prefixes not in (("o32",), ("data32",)):
        raise Refusal(f"{instruction.prefixes[0]} cannot stand before {instruction.mnemonic}")
    if mode != 16:
        raise Refusal(f"{instruction.prefixes[0]} is for 16-bit mode: here the operand size is {mode} bits anyway")
    return True


def _descriptor_table(instruction: Instruction, mode: int, early: Early) -> Donor:
    name = instruction.mnemonic
    wide = _o32(instruction, mode)
    if name in ("lgdtd", "lidtd"):
        name = name[:-1]
        if mode != 16:
            raise Refusal(f"{name}d is for 16-bit mode", f"write {name}")
        wide = True
    if len(instruction.operands) != 1 or not isinstance(instruction.operands[0], Memory):
        raise Refusal(f"{name} takes a memory operand", f"{name} [ADDRESS]")
    if instruction.operands[0].size not in (None, 48, 80) or instruction.operands[0].far:
        raise Refusal(f"{name} takes a pseudo-descriptor of 6 bytes (10 in 64-bit mode)", f"{name} [ADDRESS]")
    memory, late = resolve_memory(instruction.operands[0], mode, 0, early)
    concrete = Concrete(mode, (), name, (memory,))
    return Donor(memory, late, b"\x66" if wide else b"", False, b"\x0f\x01", _DESCRIPTOR_TABLES[name], concrete)


def _far(instruction: Instruction, mode: int, early: Early) -> Encoded | Donor | None:
    mnemonic, operands = instruction.mnemonic, instruction.operands
    opcode, digit = _FAR[mnemonic]
    plain = mnemonic.removeprefix("l")
    if mnemonic != plain and len(operands) == 2 and all(isinstance(operand, Immediate) for operand in operands):
        first, second = operands
        assert isinstance(first, Immediate) and isinstance(second, Immediate)
        return _far_direct(instruction, Far(first.value, second.value), opcode, mode, early)
    if len(operands) == 1 and isinstance(operands[0], Far):
        return _far_direct(instruction, operands[0], opcode, mode, early)
    if len(operands) != 1 or not isinstance(operands[0], Memory):
        return None
    memory = operands[0]
    if not memory.far and memory.size not in (48, 80) and mnemonic == plain:
        return None
    wide = _o32(instruction, mode)
    size = memory.size or (48 if mode != 16 or wide else 32)
    if size not in (32, 48, 80) or (size == 80 and mode != 64):
        raise Refusal("a far pointer is 16:16, 16:32 or (in 64-bit mode) 16:64", "write far ptr or fword ptr")
    resolved, late = resolve_memory(memory, mode, size, early)
    prefix = b"\x66" if (size == 32) != (mode == 16) and size != 80 else b""
    concrete = Concrete(mode, (), f"l{plain}", (resolved,))
    return Donor(resolved, late, prefix, size == 80, b"\xff", digit, concrete)


def _far_direct(instruction: Instruction, far: Far, opcode: int, mode: int, early: Early) -> Encoded:
    if mode == 64:
        raise Refusal(
            "a far jump or call to selector:offset does not exist in 64-bit mode",
            "push the selector and the address, then retfq; or go through far ptr [m]",
        )
    wide = _o32(instruction, mode) or mode == 32
    width = 32 if wide else 16
    prefix = b"\x66" if wide and mode == 16 else b""
    selector, offset = early(far.selector), early(far.offset)
    fields: list[Field] = []
    if selector is None:
        fields.append(Field(0, len(prefix) + 1 + width // 8, 16, "unsigned"))
    else:
        check_value(selector, 16, "unsigned")
    if offset is None:
        fields.append(Field(1, len(prefix) + 1, width, "unsigned"))
    else:
        check_value(offset, width, "unsigned")
    data = prefix + bytes([opcode]) + (offset or 0).to_bytes(width // 8, "little")
    data += (selector or 0).to_bytes(2, "little")
    name = f"l{instruction.mnemonic.removeprefix('l')}"
    values = (ConcreteValue(selector or 0, 16), ConcreteValue(offset or 0, width))
    return Encoded(data, Concrete(mode, (), name, values), tuple(fields))


def _segment(instruction: Instruction, mode: int, early: Early) -> Encoded | Donor:
    _no_prefix(instruction)
    mnemonic, operands = instruction.mnemonic, instruction.operands
    if mnemonic in ("push", "pop"):
        register = operands[0]
        if len(operands) != 1 or not isinstance(register, Register):
            raise Refusal(f"{mnemonic} takes one operand")
        data = _SEGMENT_PUSH[register.name][mnemonic == "pop"]
        if not data:
            raise Refusal(f"{mnemonic} {register.name} does not exist")
        if mode == 64 and register.name not in ("fs", "gs"):
            raise Refusal(f"{mnemonic} {register.name} does not exist in 64-bit mode", "go through a register")
        return Encoded(data, Concrete(mode, (), mnemonic, (register,)))
    if len(operands) != 2:
        raise Refusal("mov takes two operands")
    to_segment = isinstance(operands[0], Register) and operands[0].kind == "segment"
    segment, other = operands if to_segment else operands[::-1]
    assert isinstance(segment, Register)
    if to_segment and segment.name == "cs":
        raise Refusal("cs cannot be loaded by mov", "use a far jump, a far return or an interrupt return")
    opcode = b"\x8e" if to_segment else b"\x8c"
    if isinstance(other, Memory):
        if other.size not in (None, 16):
            raise Refusal("a segment register is 16 bits in memory", "write word ptr")
        memory, late = resolve_memory(other, mode, 16, early)
        pair = (segment, memory) if to_segment else (memory, segment)
        return Donor(memory, late, b"", False, opcode, segment.number, Concrete(mode, (), "mov", pair))
    if not isinstance(other, Register) or other.kind != "general" or other.size == 8:
        raise Refusal("a segment register is moved from and to a 16-bit register or memory", "load ax first")
    if other.needs_64 and mode != 64:
        raise Refusal(f"{other.name} exists only in 64-bit mode")
    prefix = b""
    rex = 0x40 | (other.number >> 3)
    if not to_segment:
        prefix = b"\x66" if other.size == (32 if mode == 16 else 16) else b""
        rex |= 8 if other.size == 64 else 0
    modrm = 0xC0 | segment.number << 3 | (other.number & 7)
    data = prefix + (bytes([rex]) if rex != 0x40 else b"") + opcode + bytes([modrm])
    registers = (segment, other) if to_segment else (other, segment)
    return Encoded(data, Concrete(mode, (), "mov", registers))


def _push(instruction: Instruction, operand: Immediate, mode: int, early: Early) -> Encoded:
    _no_prefix(instruction)
    value = early(operand.value)
    width = 16 if mode == 16 else 32
    kind = "signed" if mode == 64 else "immediate"
    if value is None:
        fields = (Field(0, 1, width, kind),)
        return Encoded(b"\x68" + bytes(width // 8), Concrete(mode, (), "push", (ConcreteValue(0, mode),)), fields)
    check_value(value, width, kind)
    wrapped = value & ((1 << width) - 1)
    signed = wrapped - (1 << width) if wrapped >> (width - 1) else wrapped
    if -128 <= signed < 128:
        data = b"\x6a" + (signed & 0xFF).to_bytes(1, "little")
    else:
        data = b"\x68" + wrapped.to_bytes(width // 8, "little")
    return Encoded(data, Concrete(mode, (), "push", (ConcreteValue(value, width),)))


def _offset_move(instruction: Instruction, mode: int, early: Early) -> Encoded | None:
    """MOV between the accumulator and a full 64-bit address; other moves are left alone."""
    first, second = instruction.operands
    register, memory = (first, second) if isinstance(first, Register) else (second, first)
    if mode != 64 or not isinstance(register, Register) or not isinstance(memory, Memory) or memory.terms:
        if instruction.mnemonic == "movabs" and isinstance(memory, Memory):
            raise Refusal("movabs with memory takes al, ax, eax or rax and an absolute address, in 64-bit mode")
        return None
    if register.kind != "general" or register.number != 0 or memory.size not in (None, register.size):
        if instruction.mnemonic == "movabs":
            raise Refusal("movabs with memory takes al, ax, eax or rax, and memory of that size")
        return None
    resolved, late = resolve_memory(memory, mode, register.size, early)
    if instruction.mnemonic == "mov" and (late or displacement_problem(resolved.displacement, resolved) is None):
        return None
    _no_prefix(instruction)
    address = 0 if late else resolved.displacement & ((1 << 64) - 1)
    opcode = 0xA0 + (register.size > 8) + (2 if register is second else 0)
    prefix = bytes([0x64 if resolved.segment == "fs" else 0x65]) if resolved.segment else b""
    prefix += b"\x66" if register.size == 16 else b"\x48" if register.size == 64 else b""
    resolved = resolved.at(address)
    pair = (register, resolved) if register is first else (resolved, register)
    data = prefix + bytes([opcode])
    fields = (Field(int(register is first), len(data), 64, "unsigned"),) if late else ()
    return Encoded(data + address.to_bytes(8, "little"), Concrete(mode, (), "mov", pair, register.size), fields)


def _nop(instruction: Instruction, mode: int, early: Early) -> Encoded | Donor:
    _no_prefix(instruction)
    operand = instruction.operands[0]
    if not isinstance(operand, (Register, Memory)) or (operand.size or 0) not in (16, 32, 64):
        raise Refusal("nop takes a register or memory of 16, 32 or 64 bits", "nop dword ptr [rax]")
    size = operand.size or 0
    if size == 64 and mode != 64:
        raise Refusal("64-bit operands exist only in 64-bit mode")
    prefix = b"\x66" if size == (32 if mode == 16 else 16) else b""
    if isinstance(operand, Memory):
        memory, late = resolve_memory(operand, mode, size, early)
        concrete = Concrete(mode, (), "nop", (memory,), size)
        return Donor(memory, late, prefix, size == 64, b"\x0f\x1f", 0, concrete)
    if operand.kind != "general" or (operand.needs_64 and mode != 64):
        raise Refusal(f"nop does not take {operand.name}")
    rex = 0x40 | (operand.number >> 3) | (8 if size == 64 else 0)
    data = prefix + (bytes([rex]) if rex != 0x40 else b"") + b"\x0f\x1f" + bytes([0xC0 | operand.number & 7])
    return Encoded(data, Concrete(mode, (), "nop", (operand,), size))


def _limits(instruction: Instruction, register: object, source: Memory, mode: int, early: Early) -> Donor:
    _no_prefix(instruction)
    name = instruction.mnemonic
    if not isinstance(register, Register) or register.kind != "general" or register.size == 8:
        raise Refusal(f"{name} takes a register of 16, 32 or 64 bits and a selector")
    if source.size not in (None, 16):
        raise Refusal("a selector is 16 bits in memory", "write word ptr")
    if register.needs_64 and mode != 64:
        raise Refusal(f"{register.name} exists only in 64-bit mode")
    memory, late = resolve_memory(source, mode, 16, early)
    prefix = b"\x66" if register.size == (32 if mode == 16 else 16) else b""
    opcode = b"\x0f\x02" if name == "lar" else b"\x0f\x03"
    concrete = Concrete(mode, (), name, (register, memory), register.size)
    return Donor(memory, late, prefix, register.size == 64, opcode, register.number, concrete)


def _rdpid(instruction: Instruction, mode: int) -> Encoded:
    _no_prefix(instruction)
    operand = instruction.operands[0] if len(instruction.operands) == 1 else None
    if not isinstance(operand, Register) or operand.kind != "general" or operand.size != (64 if mode == 64 else 32):
        raise Refusal(f"rdpid takes a {64 if mode == 64 else 32}-bit register")
    rex = b"\x41" if operand.number > 7 else b""
    data = b"\xf3" + rex + b"\x0f\xc7" + bytes([0xF8 | operand.number & 7])
    return Encoded(data, Concrete(mode, (), "rdpid", (operand,)))


def _x87(instruction: Instruction, mode: int) -> Encoded | None:
    _no_prefix(instruction)
    name, operands = instruction.mnemonic, instruction.operands
    top = REGISTERS["st(0)"]
    stack = [operand for operand in operands if isinstance(operand, Register) and operand.kind == "x87"]
    if len(stack) != len(operands) or len(stack) > 2:
        raise Refusal(f"{name} takes registers st(0) to st(7) or memory")
    if name in _X87_BINARY and stack:
        pair = stack if len(stack) == 2 else [top, stack[0]]
        if pair[0] is top:
            data = bytes([0xD8, _X87_BINARY[name] + pair[1].number])
            return Encoded(data, Concrete(mode, (), name, (pair[1],)))
        if pair[1] is top:
            data = bytes([0xDC, _X87_REVERSED[name] + pair[0].number])
            return Encoded(data, Concrete(mode, (), name, (pair[0], top)))
    if name in _X87_POP and (not stack or (len(stack) == 2 and stack[1] is top) or len(stack) == 1):
        register = stack[0] if stack else REGISTERS["st(1)"]
        return Encoded(bytes([0xDE, _X87_POP[name] + register.number]), Concrete(mode, (), name, (register,)))
    if name in _X87_TOP and (len(stack) == 1 or (len(stack) == 2 and stack[0] is top)):
        data = bytes([_X87_TOP[name][0], _X87_TOP[name][1] + stack[-1].number])
        return Encoded(data, Concrete(mode, (), name, (stack[-1],)))
    if name in _X87_ONE and (len(stack) == 1 or (name in ("fxch", "fucom", "fucomp", "fcom", "fcomp") and not stack)):
        register = stack[0] if stack else REGISTERS["st(1)"]
        data = bytes([_X87_ONE[name][0], _X87_ONE[name][1] + register.number])
        return Encoded(data, Concrete(mode, (), name, (register,)))
    raise Refusal(f"{name} does not take these operands", "one of two registers must be st(0)")


_IMMEDIATES: Final[dict[str, tuple[bytes, tuple[int, ...], str]]] = {
    "int": (b"\xcd", (8,), "int"),
    "enter": (b"\xc8", (16, 8), "enter"),
    "ret": (b"\xc2", (16,), "ret"),
    "retn": (b"\xc2", (16,), "ret"),
    "retf": (b"\xca", (16,), "retf"),
    "lret": (b"\xca", (16,), "retf"),
    "retfq": (b"\x48\xca", (16,), "retfq"),
    "lretq": (b"\x48\xca", (16,), "retfq"),
    "aam": (b"\xd4", (8,), "aam"),
    "aad": (b"\xd5", (8,), "aad"),
}


def _immediates(instruction: Instruction, mode: int, early: Early) -> Encoded | None:
    known = _IMMEDIATES.get(instruction.mnemonic)
    if known is None:
        return None
    _no_prefix(instruction)
    opcode, widths, name = known
    if len(instruction.operands) != len(widths):
        raise Refusal(f"{instruction.mnemonic} takes {len(widths)} number{'s' if len(widths) > 1 else ''}")
    if (opcode[0] == 0x48 and mode != 64) or (opcode[0] in (0xD4, 0xD5) and mode == 64):
        raise Refusal(f"{instruction.mnemonic} does not exist in {mode}-bit mode")
    data, fields, values = opcode, [], []
    for position, (operand, width) in enumerate(zip(instruction.operands, widths, strict=True)):
        assert isinstance(operand, Immediate)
        value = early(operand.value)
        if value is None:
            fields.append(Field(position, len(data), width, "unsigned"))
        else:
            check_value(value, width, "unsigned")
        data += (value or 0).to_bytes(width // 8, "little")
        values.append(ConcreteValue(value or 0, width))
    return Encoded(data, Concrete(mode, (), name, tuple(values)), tuple(fields))
