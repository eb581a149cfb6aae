"""Which operands each mnemonic takes, from the Intel SDM, volume 2, "Instruction Set Reference".

A form is a list of operand kinds separated by commas; the forms of a mnemonic are separated by blanks. `S` stands for
one operand size out of the mnemonic's set (b: 8 to 64 bits, v: 16 to 64, d: 32 and 64), the same throughout the form.

    r8 r16 r32 r64 rS   a general register           rm8 … rmS    a general register or memory
    m8 … m512 mS        memory of that size          m            memory whose size the mnemonic implies
    i8 i16              an unsigned immediate        iS           an immediate of S bits, at most 32 and sign-extended
    iF                  an immediate of all S bits   al ax eax cl dx  that register
    x y k               an xmm, ymm, mmx register    x32 … y256   the register, or memory of that size
    c d rN              a control, debug register, and the general register as wide as they are in the mode
"""

from __future__ import annotations

from typing import Final

__all__ = ["CONDITIONS", "FORMS", "LOCKABLE"]

CONDITIONS: Final = {
    "o": 0,
    "no": 1,
    "b": 2,
    "c": 2,
    "nae": 2,
    "ae": 3,
    "nb": 3,
    "nc": 3,
    "e": 4,
    "z": 4,
    "ne": 5,
    "nz": 5,
    "be": 6,
    "na": 6,
    "a": 7,
    "nbe": 7,
    "s": 8,
    "ns": 9,
    "p": 10,
    "pe": 10,
    "np": 11,
    "po": 11,
    "l": 12,
    "nge": 12,
    "ge": 13,
    "nl": 13,
    "le": 14,
    "ng": 14,
    "g": 15,
    "nle": 15,
}
"""Condition suffixes of Jcc, SETcc and CMOVcc with their encoding (SDM volume 1, appendix B)."""

LONG_ONLY: Final = frozenset(
    [
        "rdfsbase",
        "rdgsbase",
        "wrfsbase",
        "wrgsbase",
        "cmpxchg16b",
        "movsxd",
        "fxsave64",
        "fxrstor64",
        "xsave64",
        "xrstor64",
        "xsaveopt64",
        "xsavec64",
        "xsaves64",
        "xrstors64",
    ]
)
"""Mnemonics that exist only in 64-bit mode."""

BYTE_SIZED: Final = frozenset(("invlpg", "clflush", "clflushopt", "clwb", "prefetcht0", "prefetcht1", "prefetcht2"))
"""Mnemonics of implied memory size that may be written with `byte ptr`."""

LOCKABLE: Final = frozenset(
    [
        "add",
        "adc",
        "and",
        "btc",
        "btr",
        "bts",
        "cmpxchg",
        "cmpxchg8b",
        "cmpxchg16b",
        "dec",
        "inc",
        "neg",
        "not",
        "or",
        "sbb",
        "sub",
        "xor",
        "xadd",
        "xchg",
    ]
)
"""The mnemonics that accept LOCK, with a memory destination (SDM volume 2, "LOCK")."""

_TABLE: Final = """
b | add or adc sbb and sub xor cmp    | rmS,rS rS,rmS rmS,iS
b | test                              | rmS,rS rS,mS rmS,iS
b | xchg                              | rmS,rS rS,mS
b | cmpxchg xadd                      | rmS,rS
b | inc dec neg not mul div idiv      | rmS
b | shl sal shr sar rol ror rcl rcr   | rmS,i8 rmS,cl
v | bsf bsr popcnt lzcnt tzcnt        | rS,rmS
v | bt bts btr btc                    | rmS,rS rmS,i8
v | shld shrd                         | rmS,rS,i8 rmS,rS,cl
v | lea                               | rS,m
v | movbe                             | rS,mS mS,rS
d | bswap                             | rS
d | movnti                            | mS,rS
d | adcx adox                         | rS,rmS
d | andn pdep pext mulx               | rS,rS,rmS
d | bextr bzhi sarx shlx shrx         | rS,rmS,rS
d | blsi blsr blsmsk                  | rS,rmS
d | rorx                              | rS,rmS,i8
d | rdfsbase rdgsbase wrfsbase wrgsbase | rS
v | rdrand rdseed                     | rS
v | lar lsl                           | rS,rS
- | movsxd                            | r64,rm32
- | movd                              | x,rm32 rm32,x k,rm32 rm32,k
- | movq                              | x,r64 r64,x x,x64 m64,x k,r64 r64,k k,k64 m64,k
- | invlpg fxsave fxrstor fxsave64 fxrstor64 xsave xsave64 xrstor xrstor64 xsaveopt xsaveopt64 xsavec xsavec64 | m
- | xsaves xsaves64 xrstors xrstors64 fldenv fnstenv fnsave frstor clflushopt clwb clflush | m
- | prefetcht0 prefetcht1 prefetcht2 prefetchnta prefetchw | m
- | ldmxcsr stmxcsr vldmxcsr vstmxcsr | m32
- | cmpxchg8b                         | m64
- | cmpxchg16b                        | m128
- | lmsw lldt ltr verr verw           | rm16
- | str sldt smsw                     | r16 r32 r64 m16
- | fldcw fnstcw                      | m16
- | fnstsw                            | ax m16
- | fld fstp                          | m32 m64 m80
- | fst fadd fmul fsub fsubr fdiv fdivr fcom fcomp | m32 m64
- | fild fistp                        | m16 m32 m64
- | fist fiadd fimul fisub fisubr fidiv fidivr ficom ficomp | m16 m32
- | fisttp                            | m16 m32 m64
- | fbld fbstp                        | m80
- | movaps movups movapd movupd movdqa movdqu | x,x128 m128,x
- | movntps movntpd movntdq           | m128,x
- | lddqu                             | x,m128
- | movss                             | x,x32 m32,x
- | movsd                             | x,x64 m64,x
- | movlps movhps movlpd movhpd       | x,m64 m64,x
- | movhlps movlhps                   | x,x
- | movmskps movmskpd pmovmskb        | r32,x
- | addps addpd subps subpd mulps mulpd divps divpd minps minpd maxps maxpd sqrtps sqrtpd rcpps rsqrtps | x,x128
- | andps andpd andnps andnpd orps orpd xorps xorpd unpcklps unpcklpd unpckhps unpckhpd | x,x128
- | cvtdq2ps cvtps2dq cvttps2dq       | x,x128
- | addss subss mulss divss minss maxss sqrtss rcpss rsqrtss comiss ucomiss cvtss2sd | x,x32
- | addsd subsd mulsd divsd minsd maxsd sqrtsd comisd ucomisd cvtsd2ss | x,x64
- | cvtsi2ss cvtsi2sd                 | x,rm32 x,rm64
- | cvtss2si cvttss2si                | r32,x32 r64,x32
- | cvtsd2si cvttsd2si                | r32,x64 r64,x64
- | shufps shufpd pshufd pshufhw pshuflw palignr | x,x128,i8
- | pxor por pand pandn paddb paddw paddd paddq psubb psubw psubd psubq pmullw pmulhw pmuludq pmaddwd | x,x128 k,k64
- | pcmpeqb pcmpeqw pcmpeqd pcmpgtb pcmpgtw pcmpgtd pshufb packsswb packssdw packuswb | x,x128 k,k64
- | punpcklbw punpcklwd punpckldq     | x,x128
- | punpckhbw punpckhwd punpckhdq punpcklqdq punpckhqdq pmulld ptest aesenc aesenclast aesdec aesdeclast | x,x128
- | psllw pslld psllq psrlw psrld psrlq psraw psrad | x,i8 x,x128
- | pslldq psrldq                     | x,i8
- | vmovaps vmovups vmovapd vmovupd vmovdqa vmovdqu | x,x128 m128,x y,y256 m256,y
- | vaddps vaddpd vsubps vsubpd vmulps vmulpd vdivps vdivpd vxorps vxorpd vandps vorps | x,x,x128 y,y,y256
- | vpxor vpor vpand vpaddb vpaddd vpaddq vpsubd vpcmpeqb vpcmpeqd | x,x,x128 y,y,y256
- | vpmovmskb                         | r32,x r32,y
"""

SIZE_SETS: Final = {
    "b": (8, 16, 32, 64),
    "v": (16, 32, 64),
    "d": (32, 64),
    "-": (0,),
    "s": (16, -3),
    "j": (-2, -1),
}
"""Sizes of S; -1 is the width of a branch target in the mode, -2 the other one outside 64-bit mode, -3 the width of a
push that is not 16 bits."""


def _forms() -> dict[str, tuple[tuple[int, ...], tuple[tuple[str, ...], ...]]]:
    table: dict[str, tuple[tuple[int, ...], tuple[tuple[str, ...], ...]]] = {}

    def add(sizes: str, mnemonics: str, forms: str) -> None:
        for mnemonic in mnemonics.split():
            table[mnemonic] = (SIZE_SETS[sizes], tuple(tuple(form.split(",")) for form in forms.split()))

    for row in _TABLE.strip().splitlines():
        sizes, mnemonics, forms = (column.strip() for column in row.split("|"))
        add(sizes, mnemonics, forms)
    add("b", "mov", "rmS,rS rS,mS rS,iF mS,iS c,rN rN,c d,rN rN,d")
    add("b", "movabs", "rS,iF")
    add("-", "in", "al,i8 ax,i8 eax,i8 al,dx ax,dx eax,dx")
    add("-", "out", "i8,al i8,ax i8,eax dx,al dx,ax dx,eax")
    add("v", "imul", "rmS rS,rmS rS,iS rS,rmS,iS")
    table["imul"] = ((8, 16, 32, 64), table["imul"][1])
    for condition in CONDITIONS:
        add("v", f"cmov{condition}", "rS,rmS")
        add("-", f"set{condition}", "rm8")
    add("v", "movzx movsx", "rS,rm8 rS,rm16")
    add("-", "crc32", "r32,rm8 r32,rm16 r32,rm32 r64,rm8 r64,rm64")
    add("-", "invpcid invept invvpid", "r32,m128 r64,m128")
    add("d", "vmread", "rmS,rS")
    add("d", "vmwrite", "rS,rmS")
    add("-", "vmptrld vmptrst vmclear vmxon", "m64")
    add("s", "push pop", "rS mS")
    add("j", "call jmp", "rmS")
    return table


FORMS: Final = _forms()
"""For each mnemonic the sizes that S can take, and its forms."""
