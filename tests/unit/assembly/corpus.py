"""A corpus of statements: every accepted mnemonic, in every form, with boundary values, in every mode.

Besides the forms that the assembler lists, each mnemonic meets operands that are none of its forms, so that what must
be refused is in the corpus too.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Sequence

from harness.assembly.no_operands import NO_OPERANDS

from .forms import FORMS, SIZE_SETS

__all__ = ["statements"]

_GENERAL = {
    64: {
        8: ["al", "bl", "ah", "sil", "r9b"],
        16: ["ax", "bx", "r10w"],
        32: ["eax", "ecx", "r11d"],
        64: ["rax", "rdx", "r12", "rsp"],
    },
    32: {8: ["al", "bl", "dh"], 16: ["ax", "bx", "sp"], 32: ["eax", "ecx", "ebp"], 64: ["rax"]},
}
_GENERAL[16] = _GENERAL[32]
_ADDRESSES = {
    64: [
        "[rax]",
        "[rbp-0x80]",
        "[rsp+rcx*4+0x1000]",
        "[r13+r12*8-1]",
        "[0x1000]",
        "fs:[rbx+0x7f]",
        "gs:[0x28]",
        "[rdx*8+0x7fffffff]",
        "[esi+0x80]",
        "[r13]",
        "[r12]",
        "[rip]",
    ],
    32: [
        "[eax]",
        "[ebp-0x81]",
        "[esp+ecx*4+0x1000]",
        "[0xfee00000]",
        "fs:[ebx+0x7f]",
        "es:[edi]",
        "[esi*2-8]",
        "[bx+si]",
        "[bp+di+2]",
        "[ebp]",
    ],
    16: ["[bx]", "[bp]", "[bx+si-1]", "[bp+di+0x1234]", "[0x7c00]", "es:[di]", "cs:[0x10]", "[ebx+ecx*4]", "[esp+4]"],
}
_VALUES = [0, 1, -1, 9, 0x7F, 0x80, -0x80, -0x81, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, -0x8000]
_WIDE = [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, -0x80000000, 0x100000000, 0x123456789, 1 << 63, (1 << 64) - 1, -(1 << 63)]
_NAMES = {8: "byte", 16: "word", 32: "dword", 64: "qword", 80: "tbyte", 128: "xmmword", 256: "ymmword"}
_VECTORS = {"x": ["xmm0", "xmm7", "xmm9"], "y": ["ymm1", "ymm12"], "k": ["mm0", "mm5"]}
_CONTROL = {64: ["cr0", "cr3", "cr4", "cr8"], 32: ["cr0", "cr3", "cr4"], 16: ["cr0", "cr3", "cr4"]}
_LOCKED = ("add", "or", "adc", "sbb", "and", "sub", "xor", "btc", "bts", "btr", "xadd", "cmpxchg", "xchg")


def _operands(kind: str, size: int, mode: int) -> list[str]:
    general = _GENERAL[mode]
    digits = kind.lstrip("rmixyk")
    if digits == "N":
        width = 64 if mode == 64 else 32
    elif digits in ("S", "F"):
        width = size
    else:
        width = int(digits) if digits.isdigit() else 0
    if kind[0] == "i":
        values = _VALUES + (_WIDE if width >= 32 else [])
        return [hex(value) for value in values]
    if kind == "d":
        return ["dr0", "dr6", "dr7"]
    if kind in ("al", "cl", "dx", "ax", "eax"):
        return [kind]
    if kind == "c":
        return _CONTROL[mode]
    found: list[str] = []
    if kind[0] in "xyk":
        found += _VECTORS[kind[0]]
    elif kind[0] == "r":
        found += general.get(width, [])
    if kind[0] == "m" or kind.startswith("rm") or (kind[0] in "xyk" and len(kind) > 1):
        name = f"{_NAMES[width]} ptr " if width in _NAMES and kind != "m" else ""
        found += [name + address for address in _ADDRESSES[mode]]
    return found


def _listed(mode: int) -> Iterator[str]:
    for mnemonic, (codes, forms) in FORMS.items():
        for code in codes:
            size = {-1: mode, -2: 48 - mode if mode != 64 else 16}.get(code, code)
            for form in forms:
                if mnemonic in ("lar", "lsl") and size == 64:
                    continue
                choices = [_operands(kind, size, mode) for kind in form]
                if not all(choices):
                    continue
                yield from _combine(mnemonic, choices)


def _combine(mnemonic: str, choices: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each choice of each operand at least once, not the whole product."""
    longest = max(len(choice) for choice in choices)
    rounds = 2 if len(choices) > 1 else 1
    for shift in range(rounds):
        for step in range(longest):
            picked = [choice[(step + shift * position) % len(choice)] for position, choice in enumerate(choices)]
            yield f"{mnemonic} {', '.join(picked)}"


def _unsized(mode: int) -> Iterator[str]:
    """Memory operands without their size: each form with one address, also where that makes it ambiguous."""
    address = _ADDRESSES[mode][0]
    for statement in _listed(mode):
        if statement.endswith(f"ptr {address}") or f"ptr {address}," in statement:
            yield re.sub(r"\b\w+ ptr ", "", statement)
    for mnemonic in ("jmp", "call", "push", "pop", "lar eax,", "lsl eax,", "lar ax,", "lsl ax,"):
        yield f"{mnemonic} {address}"
    for register in ("ax", "eax"):
        yield f"lsl {register}, word ptr {address}"
        yield f"lar {register}, word ptr {address}"


def _fixed() -> Iterator[str]:
    for mnemonic in sorted(NO_OPERANDS):
        yield mnemonic
        if mnemonic[:4] in ("movs", "stos", "lods") or mnemonic[:3] == "ins" or mnemonic[:4] == "outs":
            yield f"rep {mnemonic}"
        if mnemonic[:4] in ("cmps", "scas"):
            yield f"repe {mnemonic}"
            yield f"repne {mnemonic}"


def _direct(mode: int) -> Iterator[str]:
    addresses = _ADDRESSES[mode]
    for address in addresses:
        for mnemonic in ("lgdt", "lidt", "sgdt", "sidt"):
            yield f"{mnemonic} {address}"
        for segment in ("es", "ds", "ss", "fs", "gs", "cs"):
            yield f"mov word ptr {address}, {segment}"
            if segment != "cs":
                yield f"mov {segment}, word ptr {address}"
        for size in ("word", "dword", "qword"):
            yield f"nop {size} ptr {address}"
            yield f"push {size} ptr {address}"
            yield f"pop {size} ptr {address}"
            yield f"call {size} ptr {address}"
            yield f"jmp {size} ptr {address}"
        yield f"jmp fword ptr {address}"
        yield f"call fword ptr {address}"
        for operation in _LOCKED:
            yield f"lock {operation} dword ptr {address}, ecx"
        for operation in ("inc", "dec", "neg", "not"):
            yield f"lock {operation} word ptr {address}"
        yield f"lock cmpxchg8b qword ptr {address}"
    for segment in ("es", "cs", "ss", "ds", "fs", "gs"):
        yield f"push {segment}"
        if segment != "cs":
            yield f"pop {segment}"
        for register in itertools.chain.from_iterable(list(_GENERAL[mode].values())[1:]):
            yield f"mov {register}, {segment}"
            if segment != "cs":
                yield f"mov {segment}, {register}"
    for value in [*_VALUES, *_WIDE]:
        yield f"push {value:#x}"
        if 0 <= value <= 0xFFFF:
            yield f"int {value:#x}"
            yield f"ret {value:#x}"
            yield f"retf {value:#x}"
            yield f"enter {value:#x}, {value & 31}"
            yield f"aam {value:#x}"
            yield f"aad {value:#x}"
        for accumulator in ("al", "ax", "eax", "rax"):
            if value >= 0:
                yield f"mov {accumulator}, [{value:#x}]"
                yield f"mov [{value:#x}], {accumulator}"
                yield f"movabs {accumulator}, [{value:#x}]"
    yield "rdpid rax" if mode == 64 else "rdpid eax"
    yield from ("jmp 0x08:0x1234", "call 0x10:0x5678", "rdpid ecx", "bswap ax", "nop eax", "nop ax")
    for index in range(8):
        for name in ("fadd", "fmul", "fsub", "fsubr", "fdiv", "fdivr"):
            yield from (f"{name} st, st({index})", f"{name} st({index}), st", f"{name}p st({index}), st")
            if name not in ("fadd", "fmul"):  # GNU as takes these two with their operands reversed
                yield f"{name}p st, st({index})"
        for name in ("fxch", "fld", "fst", "fstp", "ffree", "fucom", "fucomp", "fcom", "fcomp"):
            yield f"{name} st({index})"
        for name in ("fcomi", "fcomip", "fucomi", "fucomip"):
            yield f"{name} st, st({index})"


def _mismatched(mode: int, count: int) -> Iterator[str]:
    """Mnemonics with operands drawn blindly: most must be refused, by us as by GNU as."""
    chance = random.Random(1234 + mode)
    pool = [register for registers in _GENERAL[mode].values() for register in registers]
    pool += [f"{name} ptr {address}" for name in ("byte", "word", "dword", "qword") for address in _ADDRESSES[mode]]
    pool += _ADDRESSES[mode] + [hex(value) for value in _VALUES] + ["cl", "ds", "cr0", "xmm1", "dx"]
    names = sorted({*FORMS, *NO_OPERANDS})
    for _ in range(count):
        operands = [chance.choice(pool) for _ in range(chance.choice((1, 2, 2, 2, 3)))]
        name = chance.choice(names)
        if name not in ("jmp", "call") or not operands[0].lstrip("-").startswith("0x"):  # those need a linker
            yield f"{name} {', '.join(operands)}"


def statements(mode: int, blind: int = 3000) -> list[str]:
    """The corpus for one mode, without repetitions."""
    made = itertools.chain(_listed(mode), _unsized(mode), _fixed(), _direct(mode), _mismatched(mode, blind))
    return list(dict.fromkeys(made))


assert set(SIZE_SETS) == {"b", "v", "d", "-", "s", "j"}
