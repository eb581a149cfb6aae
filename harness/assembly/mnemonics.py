"""The mnemonics that are accepted, and the properties that the decoder's text cannot show.

Keystone can end the process on statements that it does not expect, so only mnemonics from these lists reach it.
Source of the names and properties: Intel SDM, volume 2, "Instruction Set Reference".
"""

from __future__ import annotations

from typing import Final

from harness.assembly.no_operands import NO_OPERANDS

__all__ = ["BYTE_IMMEDIATE", "CONDITIONS", "KNOWN", "LONG_ONLY", "RELATIVE", "ROTATES", "WITH_OPERANDS", "X87_HIDDEN"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONDITIONS = "o no b,c,nae ae,nb,nc e,z ne,nz be,na a,nbe s ns p,pe np,po l,nge ge,nl le,ng g,nle"
CONDITIONS: Final = {name: code for code, names in enumerate(_CONDITIONS.split()) for name in names.split(",")}
"""Condition suffixes of Jcc, SETcc and CMOVcc with their encoding (SDM volume 1, appendix B)."""

ROTATES: Final = _names("shl sal shr sar rol ror rcl rcr")
"""Shifts and rotations: their count does not depend on the operand size."""

BYTE_IMMEDIATE: Final = ROTATES | _names("""
bt bts btr btc shld shrd in out int aam aad rorx shufps shufpd pshufd pshufhw pshuflw palignr
psllw pslld psllq psrlw psrld psrlq psraw psrad pslldq psrldq
""")
"""Mnemonics whose immediate is an unsigned byte, whatever their operand size."""

LONG_ONLY: Final = _names("""
rdfsbase rdgsbase wrfsbase wrgsbase cmpxchg16b movsxd fxsave64 fxrstor64 xsave64 xrstor64 xsaveopt64 xsavec64
xsaves64 xrstors64 retfq
""")
"""Mnemonics that exist only in 64-bit mode."""

_X87_POP = _names("faddp fmulp fsubp fsubrp fdivp fdivrp")
_X87_FIRST = _names("fadd fmul fsub fsubr fdiv fdivr fcomi fcomip fucomi fucomip")
X87_HIDDEN: Final = dict.fromkeys(_X87_FIRST, 0) | dict.fromkeys(_X87_POP, 1)
"""The position of the operand that the decoder leaves out where it is ST(0)."""

_GENERAL = """
add or adc sbb and sub xor cmp test xchg cmpxchg xadd inc dec neg not mul div idiv imul bsf bsr popcnt lzcnt tzcnt lea
mov movabs movzx movsx movsxd movbe bswap movnti push pop call jmp ljmp lcall ret retn retf lret retfq lretq enter nop
adcx adox andn pdep pext mulx bextr bzhi sarx shlx shrx blsi blsr blsmsk crc32 rdrand rdseed
"""
_SYSTEM = """
lgdt lidt sgdt sidt lgdtd lidtd lar lsl lmsw lldt ltr verr verw str sldt smsw rdfsbase rdgsbase wrfsbase wrgsbase
invlpg invpcid invept invvpid vmread vmwrite vmptrld vmptrst vmclear vmxon rdpid cmpxchg8b cmpxchg16b clflush clflushopt
clwb prefetcht0 prefetcht1 prefetcht2 prefetchnta prefetchw fxsave fxrstor fxsave64 fxrstor64 xsave xsave64 xrstor
xrstor64 xsaveopt xsaveopt64 xsavec xsavec64 xsaves xsaves64 xrstors xrstors64 ldmxcsr stmxcsr vldmxcsr vstmxcsr
"""
_X87 = """
fld fst fstp fild fist fistp fisttp fbld fbstp fldcw fnstcw fnstsw fldenv fnstenv fnsave frstor fxch ffree
fadd fmul fsub fsubr fdiv fdivr fiadd fimul fisub fisubr fidiv fidivr
fcom fcomp fucom fucomp ficom ficomp fcomi fcomip fucomi fucomip
"""
_VECTOR = """
movd movq movaps movups movapd movupd movdqa movdqu movntps movntpd movntdq lddqu movss movsd movlps movhps movlpd
movhpd movhlps movlhps movmskps movmskpd pmovmskb addps addpd subps subpd mulps mulpd divps divpd minps minpd maxps
maxpd sqrtps sqrtpd rcpps rsqrtps andps andpd andnps andnpd orps orpd xorps xorpd unpcklps unpcklpd unpckhps unpckhpd
cvtdq2ps cvtps2dq cvttps2dq addss subss mulss divss minss maxss sqrtss rcpss rsqrtss comiss ucomiss cvtss2sd addsd
subsd mulsd divsd minsd maxsd sqrtsd comisd ucomisd cvtsd2ss cvtsi2ss cvtsi2sd cvtss2si cvttss2si cvtsd2si cvttsd2si
pxor por pand pandn paddb paddw paddd paddq psubb psubw psubd psubq pmullw pmulhw pmuludq pmaddwd pcmpeqb pcmpeqw
pcmpeqd pcmpgtb pcmpgtw pcmpgtd pshufb packsswb packssdw packuswb punpcklbw punpcklwd punpckldq punpckhbw punpckhwd
punpckhdq punpcklqdq punpckhqdq pmulld ptest aesenc aesenclast aesdec aesdeclast vmovaps vmovups vmovapd vmovupd
vmovdqa vmovdqu vaddps vaddpd vsubps vsubpd vmulps vmulpd vdivps vdivpd vxorps vxorpd vandps vorps vpxor vpor vpand
vpaddb vpaddd vpaddq vpsubd vpcmpeqb vpcmpeqd vpmovmskb
"""

WITH_OPERANDS: Final = (
    _names(_GENERAL + _SYSTEM + _X87 + _VECTOR)
    | BYTE_IMMEDIATE
    | _X87_POP
    | {f"{stem}{condition}" for stem in ("cmov", "set") for condition in CONDITIONS}
)
"""Mnemonics that Keystone may be given with operands."""

RELATIVE: Final = _names("jmp call xbegin loop loope loopz loopne loopnz jcxz jecxz jrcxz") | {
    f"j{c}" for c in CONDITIONS
}
"""Mnemonics that take a relative target."""

KNOWN: Final = WITH_OPERANDS | NO_OPERANDS | RELATIVE
"""Every mnemonic."""
