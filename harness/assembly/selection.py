"""From a parsed instruction to the one form of its mnemonic that it means, with sizes and values settled."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.addresses import displacement_problem, resolve_memory
from harness.assembly.concrete import Concrete, ConcreteMemory, ConcreteOperand, ConcreteValue, Field
from harness.assembly.errors import Refusal
from harness.assembly.expression import Node
from harness.assembly.fixed import FIXED
from harness.assembly.operands import Immediate, Memory, Operand
from harness.assembly.registers import REGISTERS, Register
from harness.assembly.signatures import BYTE_SIZED, FORMS, LOCKABLE, LONG_ONLY
from harness.assembly.statement import Instruction
from harness.assembly.transfers import TRANSFERS

__all__ = ["Early", "Selected", "check_value", "immediate_fits", "immediate_problem", "select"]

Early = Callable[[Node], int | None]
"""Gives the value of an expression, or None where only layout knows it."""

LATE_VALUE: Final = {8: 0x61, 16: 0x6162, 32: 0x61626364, 64: 0x6162636465666768}
_VECTORS: Final = {"x": ("xmm", 128), "y": ("ymm", 256), "k": ("mmx", 64)}
_SIZE_NAMES: Final = {
    8: "byte",
    16: "word",
    32: "dword",
    48: "fword",
    64: "qword",
    80: "tbyte",
    128: "xmmword",
    256: "ymmword",
}


class Selected(NamedTuple):
    """An instruction ready for encoding: `late` are the operands whose values layout fills in."""

    concrete: Concrete
    late: tuple[Field, ...]


def select(instruction: Instruction, mode: int, early: Early) -> Selected:
    """The form that an instruction means; raises `Refusal` if there is none, or more than one."""
    mnemonic = instruction.mnemonic
    known = FORMS.get(mnemonic)
    if known is None:
        raise unknown_mnemonic(mnemonic)
    if mnemonic in LONG_ONLY and mode != 64:
        raise Refusal(f"{mnemonic} exists only in 64-bit mode")
    _check_registers(instruction, mode)
    shape = (mnemonic, mode, tuple([_shape(operand) for operand in instruction.operands]))
    found = _choices.get(shape)
    if found is None:
        if len(_choices) > _CHOICES_LIMIT:
            _choices.clear()
        found = _choices[shape] = _matching(instruction, mode)
    if not found:
        raise Refusal(*_no_form(instruction, mode))
    if len(found) > 1:
        names = ", ".join(f"{_SIZE_NAMES[max(sizes)]} ptr" for sizes in sorted(found) if max(sizes) in _SIZE_NAMES)
        raise Refusal("the size of the memory operand is unknown", f"write one of {names}")
    (form, size), sizes = next(iter(found.values())), next(iter(found))
    return _settle(instruction, form, size, sizes, mode, early)


_Found: TypeAlias = dict[tuple[int, ...], tuple[tuple[str, ...], int]]
"""The forms that fit, with S, by the sizes of their memory operands."""

_choices: Final[dict[tuple[object, ...], _Found]] = {}
_CHOICES_LIMIT: Final = 16384
_NAMED: Final = frozenset({"al", "ax", "eax", "cl", "dx"})


_SHAPES: Final = {
    register.name: (register.kind, register.size, register.name if register.name in _NAMED else None)
    for register in REGISTERS.values()
}


def _shape(operand: Operand) -> tuple[object, ...]:
    """All that the choice of a form depends on."""
    if isinstance(operand, Register):
        return _SHAPES[operand.name]
    if isinstance(operand, Memory):
        return ("memory", operand.size, operand.far)
    return (type(operand), isinstance(operand, Immediate) and operand.short)


def _matching(instruction: Instruction, mode: int) -> _Found:
    codes, forms = FORMS[instruction.mnemonic]
    found: _Found = {}
    for code in codes:
        size = _operand_size(code, mode)
        if size is None or (size == 64 and mode != 64 and code):
            continue
        for form in forms:
            if size == 32 and mode == 16 and code == -2 and any(isinstance(o, Memory) for o in instruction.operands):
                continue  # GNU as takes it for a far pointer: see _no_form
            if len(form) != len(instruction.operands):
                continue
            sizes = _match(instruction.mnemonic, form, instruction.operands, size, mode)
            if sizes is not None and sizes not in found:
                found[sizes] = (form, size)
    return found


def unknown_mnemonic(mnemonic: str) -> Refusal:
    """The refusal of a mnemonic that no table knows, with the nearest known ones."""
    if mnemonic in FIXED:
        return Refusal(f"{mnemonic} is written without operands")
    near = difflib.get_close_matches(mnemonic, {*FORMS, *FIXED, *TRANSFERS}, 3)
    near.sort(key=lambda name: sorted(name) != sorted(mnemonic))  # letters swapped: the likeliest slip
    return Refusal(f"unknown mnemonic {mnemonic!r}", f"near: {', '.join(near)}" if near else None)


def _operand_size(code: int, mode: int) -> int | None:
    if code == -1:
        return mode
    if code == -3:
        return 64 if mode == 64 else 32
    if code == -2:
        return None if mode == 64 else 48 - mode
    if code == 16 and mode == 16:
        return 16
    return code


def _check_registers(instruction: Instruction, mode: int) -> None:
    for operand in instruction.operands:
        if isinstance(operand, Register) and operand.needs_64 and mode != 64:
            raise Refusal(f"{operand.name} exists only in 64-bit mode")


def _match(
    mnemonic: str, form: tuple[str, ...], operands: tuple[Operand, ...], size: int, mode: int
) -> tuple[int, ...] | None:
    """The memory sizes (0 for other operands) if the operands are of this form, else None."""
    sizes: list[int] = []
    for kind, operand in zip(form, operands, strict=True):
        matched = _match_one(mnemonic, kind, operand, size, mode)
        if matched is None:
            return None
        sizes.append(matched)
    return tuple(sizes)


def _match_one(mnemonic: str, kind: str, operand: Operand, size: int, mode: int) -> int | None:
    if isinstance(operand, Register):
        return 0 if _register_fits(kind, operand, size, mode) else None
    if isinstance(operand, Immediate):
        return 0 if kind[0] == "i" and not operand.short else None
    if not isinstance(operand, Memory) or operand.far:
        return None
    if kind == "m":
        free = mnemonic == "lea" or (mnemonic in BYTE_SIZED and operand.size == 8)
        return 0 if operand.size is None or free else None
    if kind[0] == "m" or kind.startswith("rm"):
        digits = kind.lstrip("rm")
    elif kind[0] in _VECTORS and len(kind) > 1:
        digits = kind[1:]
    else:
        return None
    wanted = size if digits == "S" else int(digits)
    return wanted if operand.size in (None, wanted) else None


def _register_fits(kind: str, register: Register, size: int, mode: int) -> bool:
    if register.kind in ("general", "high"):
        if kind == register.name:
            return True
        if kind[0] != "r":
            return False
        digits = kind.lstrip("rm")
        if digits == "N":
            return register.size == (64 if mode == 64 else 32)
        return register.size == (size if digits == "S" else int(digits))
    if kind[0] in _VECTORS and kind not in ("cl",):
        return register.kind == _VECTORS[kind[0]][0]
    return (kind, register.kind) in (("c", "control"), ("d", "debug"))


def _settle(
    instruction: Instruction, form: tuple[str, ...], size: int, sizes: tuple[int, ...], mode: int, early: Early
) -> Selected:
    concrete: list[ConcreteOperand] = []
    late: list[Field] = []
    for position, (kind, operand) in enumerate(zip(form, instruction.operands, strict=True)):
        if isinstance(operand, Register):
            concrete.append(operand)
        elif isinstance(operand, Memory):
            memory, is_late = resolve_memory(operand, mode, sizes[position], early)
            if is_late:
                late.append(
                    Field(
                        position, 0, min(memory.width, 32), "relative" if memory.relative else "address", memory.width
                    )
                )
            else:
                problem = displacement_problem(memory.displacement, memory)
                if problem is not None:
                    raise problem
            concrete.append(memory)
        elif isinstance(operand, Immediate):
            value, field = _immediate(instruction, kind, operand, size, position, early)
            concrete.append(value)
            if field is not None:
                late.append(field)
    operands = tuple(concrete)
    if instruction.mnemonic == "imul" and form == ("rS", "iS"):
        operands = (operands[0], *operands)
        late = [field._replace(operand=2) for field in late]
    if instruction.prefixes:
        _check_prefixes(instruction, operands)
    for item in operands:
        if isinstance(item, Register) and item.kind == "high":
            _check_high(item, operands)
    return Selected(Concrete(mode, instruction.prefixes, instruction.mnemonic, operands, size), tuple(late))


def _immediate(
    instruction: Instruction, kind: str, operand: Immediate, size: int, position: int, early: Early
) -> tuple[ConcreteValue, Field | None]:
    width = size if kind in ("iS", "iF") else int(kind[1:])
    value = early(operand.value)
    if kind == "iF" and instruction.mnemonic == "movabs":
        if value is None:
            return ConcreteValue(LATE_VALUE[width], width), Field(position, 0, width, "immediate")
        check_value(value, width, "immediate")
        return ConcreteValue(value, width), None
    if kind[1:].isdigit():
        sort = "unsigned"
    elif width == 64 and (kind == "iS" or value is None):
        sort = "signed"
    else:
        sort = "immediate"
    if value is None:
        encoded = min(width, 32)
        return ConcreteValue(LATE_VALUE[encoded], width), Field(position, 0, encoded, sort)
    check_value(value, 32 if sort == "signed" else width, sort)
    return ConcreteValue(value, width), None


def immediate_fits(value: int, width: int, kind: str) -> bool:
    """Whether a value can stand in an immediate of `width` bits ("signed": sign-extended to 64 bits)."""
    if kind == "unsigned":
        return 0 <= value < (1 << width)
    half = 1 << (width - 1)
    if kind == "signed":
        return -half <= value < half or (1 << 64) - half <= value < (1 << 64)
    return -half <= value < 2 * half


def immediate_problem(value: int, width: int, kind: str) -> Refusal:
    """The refusal of a value that does not fit."""
    shown = f"{value:#x}" if abs(value) > 9 else str(value)
    if kind == "signed":
        return Refusal(
            f"{shown} does not fit into {width} bits, sign-extended to 64",
            "load it into a register first: mov rax, VALUE",
        )
    if kind == "unsigned":
        return Refusal(f"{shown} does not fit: the value must be 0 to {(1 << width) - 1}")
    return Refusal(f"{shown} does not fit into {width} bits")


def check_value(value: int, width: int, kind: str) -> None:
    """Raise the refusal if the value does not fit."""
    if not immediate_fits(value, width, kind):
        raise immediate_problem(value, width, kind)


def _check_high(high: Register, operands: tuple[ConcreteOperand, ...]) -> None:
    """AH to DH have no encoding beside REX (SDM volume 2, 2.2.1.2); asked for one, Keystone ends the process."""
    registers: list[Register | None] = []
    for operand in operands:
        if isinstance(operand, ConcreteMemory):
            registers += [operand.base, operand.index]
        elif isinstance(operand, Register):
            registers.append(operand)
            if operand.size == 64 or (operand.size == 8 and operand.needs_64):
                raise Refusal(f"{high.name} cannot be used together with {operand.name}", "go through a low register")
    for register in registers:
        if register is not None and register.number > 7:
            raise Refusal(f"{high.name} cannot be used together with {register.name}", "go through a low register")


def _check_prefixes(instruction: Instruction, operands: tuple[ConcreteOperand, ...]) -> None:
    for prefix in instruction.prefixes:
        if prefix != "lock":
            raise Refusal(f"{prefix} cannot stand before {instruction.mnemonic}")
        if instruction.mnemonic not in LOCKABLE:
            raise Refusal(f"lock before {instruction.mnemonic} raises #UD", "write .byte 0xf0 if that is wanted")
        swapped = instruction.mnemonic == "xchg" and isinstance(operands[-1], ConcreteMemory)
        if not isinstance(operands[0], ConcreteMemory) and not swapped:
            raise Refusal("lock needs a memory operand as destination", "write .byte 0xf0 if #UD is wanted")
    if len(set(instruction.prefixes)) != len(instruction.prefixes):
        raise Refusal("the same prefix twice")


def _no_form(instruction: Instruction, mode: int) -> tuple[str, str | None]:
    mnemonic = instruction.mnemonic
    registers = [operand for operand in instruction.operands if isinstance(operand, Register)]
    memories = [operand for operand in instruction.operands if isinstance(operand, Memory)]
    hint: str | None = None
    if mode == 16 and mnemonic in ("jmp", "call") and any(memory.size == 32 for memory in memories):
        return (
            f"{mnemonic} dword ptr could be a near 32-bit or a far 16:16 {mnemonic} in 16-bit mode",
            f"write {mnemonic} far ptr [m] for the far one, or load a register for the near one",
        )
    if any(memory.far for memory in memories):
        return f"{mnemonic} takes no far pointer", None
    if any(register.size == 64 for register in registers) and mode != 64:
        return f"{mnemonic}: 64-bit operands exist only in 64-bit mode", None
    if mnemonic == "movsx" and any(register.size == 32 for register in registers[1:]):
        hint = "from 32 bits it is movsxd"
    elif mnemonic == "movzx":
        hint = "mov r32, r32 clears the upper half"
    elif len(registers) == 2 and registers[0].size != registers[1].size:
        hint = f"{registers[0].name} has {registers[0].size} bits, {registers[1].name} has {registers[1].size}"
    elif registers and memories and memories[0].size not in (None, registers[0].size):
        hint = f"{registers[0].name} has {registers[0].size} bits, the memory operand {memories[0].size}"
    elif len(memories) == 2:
        hint = "only one operand can be memory"
    elif mnemonic in ("push", "pop", "call", "jmp") and mode == 64:
        hint = "in 64-bit mode it takes 64-bit operands"
    elif mnemonic in ("shl", "sal", "shr", "sar", "rol", "ror", "rcl", "rcr") and len(instruction.operands) == 1:
        hint = "write the count: a number or cl"
    elif any(memory.size is not None for memory in memories) and FORMS[mnemonic][1] == (("m",),):
        hint = "write the address without a size"
    if not instruction.operands:
        return f"{mnemonic} needs operands", hint
    return f"{mnemonic} does not take these operands in {mode}-bit mode", hint
