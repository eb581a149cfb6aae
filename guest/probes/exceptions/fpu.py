"""#NM, #MF and #XM: the exceptions of the floating-point units, and IRQ 13."""

from harness import Deviation, Kernel, ProbeBody, probe

UNMASKED_X87 = "fninit\nmov word ptr [rsp-8], 0x37E\nfldcw [rsp-8]"
X87_ERROR = f"{UNMASKED_X87}\nfldz\nfdiv st(0), st(0)"  # 0/0, invalid operation unmasked: pending
# CR0 bits, instruction, vector (0: none).
NM = {
    "ts_x87": ("TS", "fld1", 7),
    "ts_sse": ("TS", "xorps xmm0, xmm0", 7),
    "ts_fwait_mp": ("TS MP", "fwait", 7),
    "ts_fwait_no_mp": ("TS", "fwait", 0),
    "mp_fwait_no_ts": ("MP", "fwait", 0),
    "em_x87": ("EM", "fld1", 7),
    "em_sse": ("EM", "xorps xmm0, xmm0", 6),
    "em_fwait": ("EM", "fwait", 0),
    "ts_fxsave": ("TS", "fxsave [rbx]", 7),
    "em_fxsave": ("EM", "fxsave [rbx]", 7),
    "ts_ldmxcsr": ("TS", "ldmxcsr [rbx]", 7),
    "ts_fninit": ("TS", "fninit", 7),
    "ts_prefetch": ("TS", "prefetchnta [rbx]", 0),
    "ts_sfence": ("TS", "sfence", 0),
}


@probe.each(case=list(NM))
@probe(
    spec="SDM vol. 3A, Interrupt 7—Device Not Available Exception (#NM); Control Registers (EM, MP, TS)",
    covers=["exceptions.nm"],
)
def cr0_decides_whether_there_is_a_unit(k: Kernel, case: str) -> ProbeBody:
    """CR0.TS makes x87 and SSE #NM, EM x87 #NM and SSE #UD; FWAIT needs both MP and TS. CLTS clears TS."""
    bits, instruction, vector = NM[case]
    area = k.buffer("area", 512)
    k.asm(f"mov ebx, {area.name}\nmov dword ptr [rbx], 0x1F80")
    k.cr.CR0.update(MP=0, EM=0, TS=0)
    k.trigger(k.cr.CR0.update, **dict.fromkeys(bits.split(), 1))
    seen = k.cr.CR0.read("cr0_in_force")
    k.faults(optional=not vector).do(k.asm, f"culprit: {instruction}")
    k.asm("clts")
    cleared = k.cr.CR0.read("cr0_after_clts")
    k.cr.CR0.update(MP=1, EM=0, TS=0)

    run = yield

    assert {name for name in ("MP", "EM", "TS") if getattr(run[seen], name)} == set(bits.split())
    assert run.vectors == ([vector] if vector else [])
    if vector:
        assert run.interrupts[0].rip == run.address("culprit")
        assert run.interrupts[0].error_code is None
    assert run[cleared].TS == 0


WAITING = {"fwait": True, "fld1": True, "fnclex": False, "fnstsw ax": False, "fninit": False}


@probe.each(instruction=list(WAITING))
@probe(
    spec="SDM vol. 3A, Interrupt 16—x87 FPU Floating-Point Error (#MF)",
    covers=["exceptions.mf"],
    deviation=Deviation(
        targets="*-tcg*",
        cases="fld1",
        kind="unimplemented",
        sees=r"\['pending'\] == \['pending', 16\]",
        ref="exceptions-mf-waiting",
    ),
)
def mf_comes_at_the_next_waiting_instruction(k: Kernel, instruction: str) -> ProbeBody:
    """An unmasked x87 error is pending until the next waiting instruction, which raises #MF; FN… instructions pass."""
    waits = WAITING[instruction]
    status = k.value("status_word")
    k.asm("fninit")
    k.trigger(k.asm, X87_ERROR)
    k.asm(f"xor eax, eax\nfnstsw ax\nmov qword ptr [{status.name}], rax")
    k.mark("pending")
    k.faults(16, optional=not waits).do(k.asm, f"culprit: {instruction}")
    k.asm("fninit")

    run = yield

    assert run[status] & 0x81 == 0x81
    assert run.sequence == (["pending", 16] if waits else ["pending"])
    if waits:
        assert run.interrupts[0].rip == run.address("culprit")
        assert run.interrupts[0].error_code is None


SCALE = "mov dword ptr [rsp-8], {}\nfild dword ptr [rsp-8]\nfld1\nfscale"
ERRORS = {
    "invalid": (0x37E, "fldz\nfdiv st(0), st(0)", 0x01),
    "denormal": (0x37D, "mov dword ptr [rsp-8], 1\nfld1\nfadd dword ptr [rsp-8]", 0x02),
    "zero_divide": (0x37B, "fldz\nfld1\nfdiv st(0), st(1)", 0x04),
    "overflow": (0x377, f"{SCALE.format(0x7FFF)}\nfscale\nfst dword ptr [rsp-8]", 0x08),
    "underflow": (0x36F, f"{SCALE.format(-16445)}\nfstp dword ptr [rsp-8]", 0x10),
    "precision": (0x35F, "mov dword ptr [rsp-8], 3\nfld1\nfidiv dword ptr [rsp-8]", 0x20),
}  # fmt: skip


@probe.each(error=list(ERRORS))
@probe(
    spec="SDM vol. 1, x87 FPU Floating-Point Exception Conditions; vol. 3A, Interrupt 16 (#MF)",
    covers=["exceptions.mf"],
    deviation=Deviation(
        targets="*-tcg*",
        cases="denormal",
        versions="<10.1",
        kind="unimplemented",
        sees=[r"\[\] == \[16\]", r"& 128\) == 128", r"& 2\) == 2", "no #MF came in the block"],
        ref="exceptions-denormal",
    ),
)
def each_x87_exception_has_its_flag_and_mask(k: Kernel, error: str) -> ProbeBody:
    """Each of the six x87 exceptions, alone unmasked, sets its flag and ES in the status word and raises #MF."""
    control, text, flag = ERRORS[error]
    status = k.value("status_word")
    k.asm(f"fninit\nmov word ptr [rsp-8], {control:#x}\nfldcw [rsp-8]")
    with k.faults(16):
        with k.trigger():
            tried = k.value("tried", 1)
            k.asm(text)
        k.asm(f"xor eax, eax\nfnstsw ax\nmov qword ptr [{status.name}], rax\nfwait")
    k.asm("fninit")

    run = yield

    assert run[tried] == 1
    assert run.vectors == [16]
    assert run[status] & 0x80 == 0x80
    assert run[status] & flag == flag


@probe(
    spec="SDM vol. 3A, Interrupt 16—x87 FPU Floating-Point Error (#MF); Control Registers (CR0.NE)",
    covers=["exceptions.ferr"],
    deviation=Deviation(
        targets="*-tcg*", versions="<8.1.1", kind="bug", sees="ended by SIGABRT", ref="exceptions-ferr-abort"
    ),
)
def without_ne_the_error_becomes_irq_13(k: Kernel) -> ProbeBody:
    """With CR0.NE=0 an x87 error raises no #MF but FERR#, which a PC has on IRQ 13; port F0h clears it."""
    if k.platform.name == "microvm":
        k.unsupported("microvm is no PC here: its FERR# is wired to no interrupt line")
    k.pic.initialize(0x20)
    k.pic.unmask(13)
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7)
    with k.handler(0x2D):
        k.asm("fnclex\nxor eax, eax\nout 0xF0, al")
        k.pic.eoi(13)
    k.cr.CR0.update(NE=0)
    k.sti()
    k.trigger(k.asm, X87_ERROR)
    k.asm("fwait")
    k.wait_for(0x2D)
    k.cli()
    k.cr.CR0.update(NE=1)

    run = yield

    assert run.vectors == [0x2D]


SSE = {
    "invalid": (0x1F80 & ~0x80, "xorps xmm0, xmm0\ndivss xmm0, xmm0", 0x01),
    "denormal": (0x1F80 & ~0x100, "mov eax, 1\nmovd xmm0, eax\naddss xmm0, xmm0", 0x02),
    "zero_divide": (0x1F80 & ~0x200, "mov eax, 0x3F800000\nmovd xmm0, eax\nxorps xmm1, xmm1\ndivss xmm0, xmm1", 0x04),
    "overflow": (0x1F80 & ~0x400, "mov eax, 0x7F7FFFFF\nmovd xmm0, eax\naddss xmm0, xmm0", 0x08),
    "underflow": (0x1F80 & ~0x800, "mov eax, 0x00800001\nmovd xmm0, eax\nmulss xmm0, xmm0", 0x10),
    "precision": (0x1F80 & ~0x1000, "mov eax, 0x40400000\nmovd xmm1, eax\nrcpss xmm0, xmm1\ndivss xmm0, xmm1", 0x20),
}  # fmt: skip


@probe.each(error=list(SSE), osxmmexcpt=[True, False])
@probe(
    spec="SDM vol. 3A, Interrupt 19—SIMD Floating-Point Exception (#XM); Control Registers (OSXMMEXCPT)",
    covers=["exceptions.xm"],
    deviation=[
        Deviation(
            targets="*-tcg*", cases="[!d]*", kind="unimplemented", sees=r"\[\] == \[(19|6)\]", ref="exceptions-xm"
        ),
        Deviation(
            targets="*-tcg*",
            cases="denormal*",
            versions=">=10.1",
            kind="unimplemented",
            sees=r"\[\] == \[(19|6)\]",
            ref="exceptions-xm",
        ),
        Deviation(
            targets="*-tcg*",
            cases="denormal*",
            versions="<10.1",
            kind="unimplemented",
            sees=[r"== 2$|& 2\)", r"\[\] == \[(19|6)\]"],
            ref="exceptions-denormal",
        ),
    ],
)
def an_unmasked_sse_exception_is_xm(k: Kernel, error: str, osxmmexcpt: bool) -> ProbeBody:
    """An SSE exception unmasked in MXCSR is #XM, a fault, with its flag in MXCSR; with CR4.OSXMMEXCPT=0 it is #UD."""
    mask, text, flag = SSE[error]
    *before, last = text.splitlines()
    mxcsr = k.value("mxcsr")
    k.cr.CR4.update(OSXMMEXCPT=int(osxmmexcpt))
    k.asm(f"mov dword ptr [rsp-8], {mask:#x}\nldmxcsr [rsp-8]")
    with k.faults():
        k.asm("\n".join(before))
        with k.trigger():
            tried = k.value("tried", 1)
            k.asm(f"culprit: {last}")
    k.asm(f"stmxcsr [rsp-8]\nmov eax, dword ptr [rsp-8]\nmov qword ptr [{mxcsr.name}], rax")
    k.asm("mov dword ptr [rsp-8], 0x1F80\nldmxcsr [rsp-8]")
    k.cr.CR4.update(OSXMMEXCPT=1)

    run = yield

    assert run[tried] == 1
    assert run[mxcsr] & flag == flag
    assert run.vectors == [19 if osxmmexcpt else 6]
    assert run.interrupts[0].rip == run.address("culprit")
    assert run.interrupts[0].error_code is None
