"""Instructions without operands, by their exact bytes (Intel SDM, volume 2; AMD APM, volume 3 for SVM).

Those with an operand size come in one spelling per size; `66` is added where that size is not the mode's own, and REX.W
for 64 bits. The bare names (`iret`, `pushf`, `ret` …) mean the mode's own size, except `iret` in 64-bit mode, which is
refused: GNU as makes it IRETD there, Keystone the 16-bit IRET, and a person who writes it nearly always means `iretq`.
"""

from __future__ import annotations

from typing import Final

from harness.assembly.errors import Refusal

__all__ = ["FIXED", "fixed_bytes", "fixed_decoded"]

_PLAIN: Final = """
nop 90, hlt f4, cli fa, sti fb, cld fc, std fd, clc f8, stc f9, cmc f5, lahf 9f, sahf 9e, xlatb d7, fwait 9b, wait 9b,
int3 cc, int1 f1, icebp f1, pause f390, clts 0f06, invd 0f08, wbinvd 0f09, wbnoinvd f30f09, ud2 0f0b, rsm 0faa,
cpuid 0fa2, rdtsc 0f31, rdtscp 0f01f9, rdpmc 0f33, rdmsr 0f32, wrmsr 0f30, lfence 0faee8, mfence 0faef0, sfence 0faef8,
monitor 0f01c8, mwait 0f01c9, clac 0f01ca, stac 0f01cb, xgetbv 0f01d0, xsetbv 0f01d1, serialize 0f01e8, getsec 0f37,
vmcall 0f01c1, vmlaunch 0f01c2, vmresume 0f01c3, vmxoff 0f01c4, vmfunc 0f01d4, vmmcall 0f01d9, stgi 0f01dc, clgi 0f01dd,
emms 0f77, fninit dbe3, finit 9bdbe3, fnclex dbe2, fclex 9bdbe2, fnop d9d0, fld1 d9e8, fldz d9ee, fldpi d9eb,
fldl2t d9e9, fldl2e d9ea, fldlg2 d9ec, fldln2 d9ed, fchs d9e0, fabs d9e1, ftst d9e4, fxam d9e5, fsqrt d9fa, fsin d9fe,
fcos d9ff, fsincos d9fb, fptan d9f2, fpatan d9f3, f2xm1 d9f0, fyl2x d9f1, fyl2xp1 d9f9, fscale d9fd, frndint d9fc,
fprem d9f8, fprem1 d9f5, fxtract d9f4, fincstp d9f7, fdecstp d9f6, fcompp ded9, fucompp dae9,
rdpkru 0f01ee, wrpkru 0f01ef, xend 0f01d5, xtest 0f01d6, vmrun 0f01d8, vmload 0f01da, vmsave 0f01db,
vzeroupper c5f877, vzeroall c5fc77, syscall 0f05, sysenter 0f34, endbr64 f30f1efa, endbr32 f30f1efb
"""
_LONG_ONLY: Final = "swapgs 0f01f8"
_LEGACY_ONLY: Final = "aaa 37, aas 3f, daa 27, das 2f, into ce"
_STRINGS: Final = {"movs": 0xA4, "cmps": 0xA6, "stos": 0xAA, "lods": 0xAC, "scas": 0xAE, "ins": 0x6C, "outs": 0x6E}
_REP: Final = {"rep": 0xF3, "repe": 0xF3, "repz": 0xF3, "repne": 0xF2, "repnz": 0xF2}
_COMPARING: Final = ("cmps", "scas")

_SIZED: Final[dict[str, tuple[int, str, int]]] = {
    # name: opcode, what Capstone calls it, operand size (0: the mode's own)
    "cbw": (0x98, "cbw", 16),
    "cwde": (0x98, "cwde", 32),
    "cdqe": (0x98, "cdqe", 64),
    "cwd": (0x99, "cwd", 16),
    "cdq": (0x99, "cdq", 32),
    "cqo": (0x99, "cqo", 64),
    "ret": (0xC3, "ret", 0),
    "retn": (0xC3, "ret", 0),
    "retf": (0xCB, "retf", 0),
    "lret": (0xCB, "retf", 0),
    "retfw": (0xCB, "retf", 16),
    "lretw": (0xCB, "retf", 16),
    "retfd": (0xCB, "retf", 32),
    "lretd": (0xCB, "retf", 32),
    "retfq": (0xCB, "retfq", 64),
    "lretq": (0xCB, "retfq", 64),
    "iret": (0xCF, "iret", 0),
    "iretw": (0xCF, "iret", 16),
    "iretd": (0xCF, "iretd", 32),
    "iretq": (0xCF, "iretq", 64),
    "leave": (0xC9, "leave", 0),
    "sysret": (0x0F07, "sysret", 32),
    "sysretd": (0x0F07, "sysret", 32),
    "sysretl": (0x0F07, "sysret", 32),
    "sysretq": (0x0F07, "sysretq", 64),
    "sysexit": (0x0F35, "sysexit", 32),
    "sysexitd": (0x0F35, "sysexit", 32),
    "sysexitq": (0x0F35, "sysexitq", 64),
    "pushf": (0x9C, "pushf", 0),
    "pushfw": (0x9C, "pushf", 16),
    "pushfd": (0x9C, "pushfd", 32),
    "pushfq": (0x9C, "pushfq", 64),
    "popf": (0x9D, "popf", 0),
    "popfw": (0x9D, "popf", 16),
    "popfd": (0x9D, "popfd", 32),
    "popfq": (0x9D, "popfq", 64),
    "pusha": (0x60, "pusha", 0),
    "pushaw": (0x60, "pushaw", 16),
    "pushad": (0x60, "pushal", 32),
    "popa": (0x61, "popa", 0),
    "popaw": (0x61, "popaw", 16),
    "popad": (0x61, "popal", 32),
}
_SHOWN: Final = {
    ("iret", 32): "iretd",
    ("pushf", 32): "pushfd",
    ("pushf", 64): "pushfq",
    ("popf", 32): "popfd",
    ("popf", 64): "popfq",
    ("cbw", 16): "cwde",
    ("cwd", 16): "cdq",
    ("pusha", 32): "pushal",
    ("pusha", 16): "pushaw",
    ("popa", 32): "popal",
    ("popa", 16): "popaw",
}
"""What Capstone 5 calls the bare names, by operand size in bits; for CBW and CWD it is mistaken, in 16-bit mode."""

_DEFAULT_64: Final = frozenset({"ret", "retn", "leave", "pushf", "popf", "pushfq", "popfq"})
"""Those whose operand size is 64 bits in 64-bit mode without REX.W (SDM volume 1, 6.2.6 and volume 2)."""
_NO_REX: Final = frozenset({"sysret", "sysretd", "sysretl", "sysexit", "sysexitd"})
_O32: Final = {"retf": "retfd", "lret": "retfd", "iret": "iretd", "pushf": "pushfd", "popf": "popfd"}


def _plain(table: str, modes: tuple[int, ...]) -> dict[str, tuple[bytes, tuple[int, ...]]]:
    entries = (entry.split() for entry in table.replace("\n", " ").split(","))
    return {name: (bytes.fromhex(code), modes) for name, code in entries}


_BYTES: Final = {
    **_plain(_PLAIN, (16, 32, 64)),
    **_plain(_LONG_ONLY, (64,)),
    **_plain(_LEGACY_ONLY, (16, 32)),
}
_STRING_NAMES: Final = {
    f"{stem}{suffix}": (stem, size)
    for stem in _STRINGS
    for suffix, size in (("b", 8), ("w", 16), ("d", 32), ("q", 64))
    if size < 64 or stem not in ("ins", "outs")
}

FIXED: Final = frozenset({*_BYTES, *_SIZED, *_STRING_NAMES})
"""Every mnemonic that has a form without operands."""


def fixed_bytes(mnemonic: str, prefixes: tuple[str, ...], mode: int) -> bytes:
    """The bytes of an instruction without operands; raises `Refusal` where the mode does not have it."""
    if mnemonic in _STRING_NAMES:
        return _string(mnemonic, prefixes, mode)
    if prefixes in (("o32",), ("data32",)) and mode == 16 and mnemonic in _O32:
        mnemonic, prefixes = _O32[mnemonic], ()
    if prefixes:
        raise Refusal(f"{prefixes[0]} cannot stand before {mnemonic}")
    if mnemonic in _BYTES:
        data, modes = _BYTES[mnemonic]
        if mode not in modes:
            raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode")
        return data
    return _sized(mnemonic, mode)


def _sized(mnemonic: str, mode: int) -> bytes:
    opcode, _, size = _SIZED[mnemonic]
    if mnemonic == "iret" and mode == 64:
        raise Refusal("iret in 64-bit mode is not clear about its size", "write iretq, or iretd")
    if opcode in (0x60, 0x61) and mode == 64:
        raise Refusal(f"{mnemonic} does not exist in 64-bit mode", "push the registers one by one")
    if size == 64 and mode != 64:
        raise Refusal(f"{mnemonic} exists only in 64-bit mode")
    if size == 32 and mode == 64 and opcode in (0x9C, 0x9D):
        raise Refusal(f"{mnemonic} does not exist in 64-bit mode", f"write {mnemonic[:-1]}q")
    data = opcode.to_bytes(2 if opcode > 0xFF else 1, "big")
    if size == 64 and mnemonic not in _DEFAULT_64:
        return b"\x48" + data
    if (size == 16 and mode != 16) or (size == 32 and mode == 16 and mnemonic not in _NO_REX):
        return b"\x66" + data
    return data


def _string(mnemonic: str, prefixes: tuple[str, ...], mode: int) -> bytes:
    stem, size = _STRING_NAMES[mnemonic]
    if len(prefixes) > 1 or any(prefix not in _REP for prefix in prefixes):
        raise Refusal(f"{' '.join(prefixes)} cannot stand before {mnemonic}")
    if prefixes and stem not in _COMPARING and prefixes[0] != "rep":
        raise Refusal(f"{prefixes[0]} before {mnemonic}, which compares nothing", "write rep")
    if prefixes == ("rep",) and stem in _COMPARING:
        raise Refusal(f"rep before {mnemonic} does not say until what", "write repe or repne")
    if size == 64 and mode != 64:
        raise Refusal(f"{mnemonic} exists only in 64-bit mode")
    data = bytes([_STRINGS[stem] + (size > 8)])
    if size == 64:
        data = b"\x48" + data
    elif (size == 16 and mode != 16) or (size == 32 and mode == 16):
        data = b"\x66" + data
    return bytes(_REP[prefix] for prefix in prefixes) + data


def fixed_decoded(mnemonic: str, mode: int) -> str:
    """The mnemonic under which the decoder knows an instruction without operands."""
    if mnemonic not in _SIZED:
        return mnemonic
    _, name, size = _SIZED[mnemonic]
    if name in ("cbw", "cwd") and mode != 16:
        return name
    return _SHOWN.get((name, size or mode), name)
