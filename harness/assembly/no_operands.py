"""Instructions without operands, by their exact bytes (Intel SDM, volume 2; AMD APM, volume 3 for SVM).

Keystone lacks a third of them, and gives bare names such as `iret`, `pushf` or `ret` a size that is not that of the
mode. Here a bare name means the size of the mode, except `iret` in 64-bit mode, which is refused: GNU as makes it
IRETD, and `iretq` is nearly always meant. The unit tests compare every entry with GNU as.
"""

from __future__ import annotations

from typing import Final

from harness.assembly.source import Refusal

__all__ = ["NO_OPERANDS", "no_operand_bytes"]

_ANY_MODE: Final = """
nop 90, hlt f4, cli fa, sti fb, cld fc, std fd, clc f8, stc f9, cmc f5, lahf 9f, sahf 9e, xlatb d7, fwait 9b, wait 9b,
int3 cc, int1 f1, icebp f1, pause f390, clts 0f06, invd 0f08, wbinvd 0f09, wbnoinvd f30f09, ud2 0f0b, rsm 0faa,
cpuid 0fa2, rdtsc 0f31, rdtscp 0f01f9, rdpmc 0f33, rdmsr 0f32, wrmsr 0f30, lfence 0faee8, mfence 0faef0, sfence 0faef8,
monitor 0f01c8, mwait 0f01c9, clac 0f01ca, stac 0f01cb, xgetbv 0f01d0, xsetbv 0f01d1, serialize 0f01e8, getsec 0f37,
vmcall 0f01c1, vmlaunch 0f01c2, vmresume 0f01c3, vmxoff 0f01c4, vmfunc 0f01d4, vmmcall 0f01d9, stgi 0f01dc, clgi 0f01dd,
emms 0f77, fninit dbe3, finit 9bdbe3, fnclex dbe2, fclex 9bdbe2, fnop d9d0, fld1 d9e8, fldz d9ee, fldpi d9eb,
fldl2t d9e9, fldl2e d9ea, fldlg2 d9ec, fldln2 d9ed, fchs d9e0, fabs d9e1, ftst d9e4, fxam d9e5, fsqrt d9fa, fsin d9fe,
fcos d9ff, fsincos d9fb, fptan d9f2, fpatan d9f3, f2xm1 d9f0, fyl2x d9f1, fyl2xp1 d9f9, fscale d9fd, frndint d9fc,
fprem d9f8, fprem1 d9f5, fxtract d9f4, fincstp d9f7, fdecstp d9f6, fcompp ded9, fucompp dae9,
faddp dec1, fmulp dec9, fsubp dee9, fsubrp dee1, fdivp def9, fdivrp def1, fxch d9c9, fcom d8d1, fcomp d8d9, fucom dde1,
fucomp dde9,
rdpkru 0f01ee, wrpkru 0f01ef, xend 0f01d5, xtest 0f01d6, vmrun 0f01d8, vmload 0f01da, vmsave 0f01db,
vzeroupper c5f877, vzeroall c5fc77, syscall 0f05, sysenter 0f34, endbr64 f30f1efa, endbr32 f30f1efb,
sysret 0f07, sysretd 0f07, sysretl 0f07, sysexit 0f35, sysexitd 0f35,
leave c9, ret c3, retn c3, retf cb, lret cb, pushf 9c, popf 9d,
movsb a4, cmpsb a6, stosb aa, lodsb ac, scasb ae, insb 6c, outsb 6e
"""
_BY_MODE: Final = """
swapgs - - 0f01f8,    sysretq - - 480f07,   sysexitq - - 480f35,
aaa 37 37 -,          aas 3f 3f -,          daa 27 27 -,
das 2f 2f -,          into ce ce -,         cbw 98 6698 6698,
cwde 6698 98 98,      cdqe - - 4898,        cwd 99 6699 6699,
cdq 6699 99 99,       cqo - - 4899,         iret cf cf -,
iretw cf 66cf 66cf,   iretd 66cf cf cf,     iretq - - 48cf,
retfw cb 66cb 66cb,   lretw cb 66cb 66cb,   retfd 66cb cb cb,
lretd 66cb cb cb,     retfq - - 48cb,       lretq - - 48cb,
pushfw 9c 669c 669c,  pushfd 669c 9c -,     pushfq - - 9c,
popfw 9d 669d 669d,   popfd 669d 9d -,      popfq - - 9d,
pusha 60 60 -,        pushaw 60 6660 -,     pushad 6660 60 -,
popa 61 61 -,         popaw 61 6661 -,      popad 6661 61 -,
movsw a5 66a5 66a5,   movsd 66a5 a5 a5,     movsq - - 48a5,
cmpsw a7 66a7 66a7,   cmpsd 66a7 a7 a7,     cmpsq - - 48a7,
stosw ab 66ab 66ab,   stosd 66ab ab ab,     stosq - - 48ab,
lodsw ad 66ad 66ad,   lodsd 66ad ad ad,     lodsq - - 48ad,
scasw af 66af 66af,   scasd 66af af af,     scasq - - 48af,
insw 6d 666d 666d,    insd 666d 6d 6d,
outsw 6f 666f 666f,   outsd 666f 6f 6f
"""
"""Mnemonic, then its bytes in 16-bit, 32-bit and 64-bit mode; `-` where the mode does not have it."""

_COPYING: Final = frozenset({"movs", "stos", "lods", "ins", "outs"})
_COMPARING: Final = frozenset({"cmps", "scas"})
_REPEAT: Final = {"rep": b"\xf3", "repe": b"\xf3", "repz": b"\xf3", "repne": b"\xf2", "repnz": b"\xf2"}
_INSTEAD: Final = {"pushfd": "write pushfq", "popfd": "write popfq"} | dict.fromkeys(
    ("pusha", "pushaw", "pushad", "popa", "popaw", "popad"), "push and pop the registers one by one"
)
_SIZED_BY_O32: Final = {"retf": "retfd", "lret": "retfd", "iret": "iretd", "pushf": "pushfd", "popf": "popfd"}


def _table() -> dict[str, dict[int, bytes]]:
    pairs = (entry.split() for entry in _ANY_MODE.replace("\n", " ").split(","))
    table = {name: dict.fromkeys((16, 32, 64), bytes.fromhex(data)) for name, data in pairs}
    for entry in _BY_MODE.split(","):
        name, *columns = entry.split()
        table[name] = {m: bytes.fromhex(data) for m, data in zip((16, 32, 64), columns, strict=True) if data != "-"}
    return table


_BYTES: Final = _table()

NO_OPERANDS: Final = frozenset(_BYTES)
"""Every mnemonic that has a form without operands."""


def no_operand_bytes(mnemonic: str, prefixes: tuple[str, ...], mode: int) -> bytes:
    """The bytes of an instruction without operands; raises `Refusal` where the mode does not have it."""
    if prefixes in (("o32",), ("data32",)) and mode == 16 and mnemonic in _SIZED_BY_O32:
        mnemonic, prefixes = _SIZED_BY_O32[mnemonic], ()
    repeat = _repeat(mnemonic, prefixes) if prefixes else b""
    data = _BYTES[mnemonic].get(mode)
    if data is not None:
        return repeat + data
    if mnemonic == "iret":
        raise Refusal("iret in 64-bit mode is not clear about its size", "write iretq, or iretd")
    raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode", _INSTEAD.get(mnemonic))


def _repeat(mnemonic: str, prefixes: tuple[str, ...]) -> bytes:
    """The one prefix that a string instruction can have; raises `Refusal` for others, and before others."""
    stem, prefix = mnemonic[:-1], prefixes[0]
    if stem not in _COPYING | _COMPARING or len(prefixes) > 1 or prefix not in _REPEAT:
        raise Refusal(f"{' '.join(prefixes)} is not allowed before {mnemonic}")
    if stem in _COPYING and prefix != "rep":
        raise Refusal(f"{prefix} before {mnemonic}, which compares nothing", "write rep")
    if stem in _COMPARING and prefix == "rep":
        raise Refusal(f"rep before {mnemonic} does not state the condition that ends it", "write repe or repne")
    return _REPEAT[prefix]
