"""#GP and related exceptions: reserved bits, privileged instructions, selectors, alignment of SSE."""

from harness import SEL_CODE, SEL_SPARE, SEL_USER_DATA, Deviation, Kernel, ProbeBody, probe

OSXSAVE = "mov rax, cr4\nbts rax, 18\nmov cr4, rax\nxor ecx, ecx"
RESERVED = {
    "cr0_upper_half": "movabs rax, 0x100000000\nmov rcx, cr0\nor rax, rcx\nculprit: mov cr0, rax",
    "cr0_nw_without_cd": "mov rax, cr0\nbts rax, 29\nbtr rax, 30\nculprit: mov cr0, rax",
    "dr6_upper_half": "mov rax, 0x1FFFF0FF0\nculprit: mov dr6, rax",
    "dr7_upper_half": "mov rax, 0x100000400\nculprit: mov dr7, rax",
    "rdmsr_no_such": "mov ecx, 0x40FF1234\nculprit: rdmsr",
    "wrmsr_no_such": "mov ecx, 0x40FF1234\nxor eax, eax\nxor edx, edx\nculprit: wrmsr",
    "wrmsr_efer_reserved": "mov ecx, 0xC0000080\nrdmsr\nbts edx, 31\nculprit: wrmsr",
    "wrmsr_efer_lme_while_paging": "mov ecx, 0xC0000080\nrdmsr\nbtr eax, 8\nculprit: wrmsr",
    "wrmsr_lstar_non_canonical": "mov ecx, 0xC0000082\nxor eax, eax\nmov edx, 0x8000\nculprit: wrmsr",
    "wrmsr_fs_base_non_canonical": "mov ecx, 0xC0000100\nxor eax, eax\nmov edx, 0x8000\nculprit: wrmsr",
    "wrmsr_sysenter_eip_non_canonical": "mov ecx, 0x176\nxor eax, eax\nmov edx, 0x8000\nculprit: wrmsr",
    "wrmsr_pat_reserved_type": "mov ecx, 0x277\nmov eax, 0x00070402\nmov edx, 0x00070406\nculprit: wrmsr",
    "xsetbv_without_x87": f"{OSXSAVE}\nxor eax, eax\nxor edx, edx\nculprit: xsetbv",
    "xsetbv_avx_without_sse": f"{OSXSAVE}\nmov eax, 5\nxor edx, edx\nculprit: xsetbv",
    "fxrstor_misaligned": "lea rax, [rsp-1016]\nand rax, -16\ninc rax\nculprit: fxrstor [rax]",
    "ldmxcsr_reserved": "mov dword ptr [rsp-8], 0x10000\nculprit: ldmxcsr [rsp-8]",
    "movaps_misaligned": "lea rax, [rsp-64]\nand rax, -16\nor rax, 8\nculprit: movaps xmm0, [rax]",
    "movaps_misaligned_by_one": "lea rax, [rsp-64]\nand rax, -16\nor rax, 1\nculprit: movaps [rax], xmm0",
    "cmpxchg16b_misaligned": "lea rdi, [rsp-64]\nand rdi, -16\nor rdi, 8\nculprit: cmpxchg16b [rdi]",
}  # fmt: skip


UNCHECKED = (
    *("cr0_upper_half", "cr0_nw_without_cd", "rdmsr_no_such", "wrmsr_no_such", "wrmsr_efer_reserved"),
    *("wrmsr_efer_lme_while_paging", "wrmsr_lstar_non_canonical", "wrmsr_fs_base_non_canonical"),
    *("wrmsr_pat_reserved_type", "ldmxcsr_reserved"),
)
INTEL_ONLY = ("wrmsr_sysenter_eip_non_canonical",)
"""Cases where AMD's processors do not fault: their SYSENTER_EIP has 32 bits, and SYSENTER is no 64-bit instruction."""
AMD = int.from_bytes(b"cAMD", "little")  # ECX of CPUID leaf 0


@probe.each(case=list(RESERVED))
@probe(
    spec="SDM vol. 3A, Interrupt 13—General Protection Exception (#GP); AMD APM vol. 2, SYSENTER and SYSEXIT MSRs",
    covers=["exceptions.gp-reserved", "exceptions.gp-msr", "exceptions.gp-sse"],
    deviation=[
        Deviation(
            targets="*-tcg*",
            cases=case,
            kind="unimplemented",
            vendor="GenuineIntel" if case in INTEL_ONLY else "*",
            sees=r"\['tried'\] == \['tried', 13\]",
            ref="exceptions-gp-registers",
        )
        for case in UNCHECKED + INTEL_ONLY
    ],
)
def a_reserved_bit_or_a_bad_value_is_gp(k: Kernel, case: str) -> ProbeBody:
    """Reserved bits of control, debug and model-specific registers, and misaligned SSE operands, raise #GP(0)."""
    (vendor,) = k.cpuid(0, ecx="vendor")
    with k.faults(optional=case in INTEL_ONLY), k.trigger():
        k.mark("tried")
        k.asm(RESERVED[case])
    k.asm("mov eax, 0xFFFF0FF0\nmov dr6, rax\nmov rax, cr4\nbtr rax, 18\nmov cr4, rax")

    run = yield

    faults = case not in INTEL_ONLY or run[vendor] != AMD
    assert run.sequence == (["tried", 13] if faults else ["tried"])
    if not faults:
        return
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].rip == run.address("culprit")


FATAL = {
    "cr4_bit_15": "mov rax, cr4\nbts rax, 15\nculprit: mov cr4, rax",
    "cr4_bit_31": "mov rax, cr4\nbts rax, 31\nculprit: mov cr4, rax",
    "cr4_bit_63": "mov rax, cr4\nbts rax, 63\nculprit: mov cr4, rax",
    "cr3_bit_51": "mov rax, cr3\nbts rax, 51\nculprit: mov cr3, rax",
    "cr3_bit_63": "mov rax, cr3\nbts rax, 63\nculprit: mov cr3, rax",
    "cr0_pg_without_pe": "mov rax, cr0\nbtr rax, 0\nculprit: mov cr0, rax",
    "cr0_pg_cleared_in_64_bit_mode": "mov rax, cr0\nbtr rax, 31\nculprit: mov cr0, rax",
    "cr4_pae_cleared": "mov rax, cr4\nbtr rax, 5\nculprit: mov cr4, rax",
}  # fmt: skip


@probe.each(case=list(FATAL))
@probe(
    spec="SDM vol. 3A, Interrupt 13—General Protection Exception (#GP); vol. 2, MOV—Move to/from Control Registers",
    covers=["exceptions.gp-reserved"],
    watchdog_s=1.0,
    deviation=[
        Deviation(
            targets="*-tcg*", cases="cr[34]_bit_*", kind="bug", sees=r"gave no sign.*culprit", ref="exceptions-cr-hang"
        ),
        Deviation(
            targets="*-tcg*",
            cases="cr0_*",
            kind="bug",
            sees=r"gave no sign|reset the machine",
            ref="exceptions-leave-long-mode",
        ),
        Deviation(
            targets="*-tcg*", cases="cr4_pae*", kind="bug", sees=r"reset the machine", ref="exceptions-leave-long-mode"
        ),
    ],
)
def a_control_register_refuses_what_would_break_it(k: Kernel, case: str) -> ProbeBody:
    """Reserved bits of CR3 and CR4, and turning PE, PAE or PG off in 64-bit mode, raise #GP(0)."""
    with k.faults(), k.trigger():
        k.asm(FATAL[case])

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].rip == run.address("culprit")


PRIVILEGED = {
    "hlt": "hlt", "clts": "clts", "invd": "invd", "wbinvd": "wbinvd", "invlpg": "invlpg [rax]", "lmsw": "lmsw ax",
    "mov_from_cr0": "mov rax, cr0", "mov_to_cr0": "mov cr0, rax", "mov_from_cr2": "mov rax, cr2",
    "mov_to_cr3": "mov cr3, rax", "mov_from_cr4": "mov rax, cr4", "mov_from_cr8": "mov rax, cr8",
    "mov_to_cr8": "mov cr8, rax", "mov_from_dr0": "mov rax, dr0", "mov_to_dr7": "mov dr7, rax", "rdmsr": "rdmsr",
    "wrmsr": "wrmsr", "swapgs": "swapgs", "sysret": ".byte 0x48, 0x0F, 0x07", "in": "in al, 0x80",
    "out": "out 0x80, al", "insb": "insb", "outsb": "outsb", "cli": "cli", "sti": "sti", "xsetbv": "xsetbv",
}  # fmt: skip


@probe.each(instruction=list(PRIVILEGED))
@probe(
    spec="SDM vol. 3A, Privileged Instructions; vol. 1, I/O Privilege Level",
    covers=["exceptions.gp-privileged"],
    deviation=[
        Deviation(
            targets="*-tcg*",
            cases=case,
            versions=">=9.1",
            kind="bug",
            sees=["the instruction passed", r"\[\] == \[13\]"],
            ref="exceptions-wbinvd",
        )
        for case in ("invd", "wbinvd")
    ],
)
def a_privileged_instruction_in_ring_3_is_gp(k: Kernel, instruction: str) -> ProbeBody:
    """System instructions, and I/O and IF changes with IOPL 0, raise #GP(0) at CPL 3."""
    k.asm("mov rax, cr4\nbts rax, 18\nmov cr4, rax\nmov ecx, 0xC0000080\nrdmsr\nor eax, 1\nwrmsr")
    k.asm("xor r13d, r13d")
    with k.faults(), k.ring3():
        k.asm("mov ecx, 0x10\nxor edx, edx\nmov eax, 1\nmov rsi, rsp\nmov rdi, rsp")
        with k.trigger():
            k.asm(f"culprit: {PRIVILEGED[instruction]}")
            k.asm("mov r13d, 1")
    passed = k.value("passed", "r13")
    k.asm("mov rax, cr4\nbtr rax, 18\nmov cr4, rax")

    run = yield

    assert run[passed] == 0, "the instruction passed"
    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].rip & 0xFFFF_FFFF == run.address("culprit")


DATA, P, DPL3 = 0x00CF_9300_0000_FFFF, 1 << 47, 3 << 45
# Name: register, selector, descriptor (0: none), vector, error code.
LOADS = {
    "ds_code_execute_only": ("ds", SEL_SPARE, 0x00AF_9900_0000_FFFF, 13, SEL_SPARE),
    "ds_system": ("ds", SEL_SPARE, 0x0000_8900_0000_0067, 13, SEL_SPARE),
    "ds_not_present": ("ds", SEL_SPARE, DATA & ~P, 11, SEL_SPARE),
    "ds_beyond_gdt": ("ds", 0x140, 0, 13, 0x140),
    "ds_null_descriptor_slot": ("ds", SEL_SPARE, 0, 13, SEL_SPARE),
    "ds_rpl_above_dpl": ("ds", SEL_SPARE | 3, DATA, 13, SEL_SPARE),
    "ds_no_ldt": ("ds", 0x0C, 0, 13, 0x0C),
    "es_not_present": ("es", SEL_SPARE, DATA & ~P, 11, SEL_SPARE),
    "gs_not_present": ("gs", SEL_SPARE, DATA & ~P, 11, SEL_SPARE),
    "ss_not_present": ("ss", SEL_SPARE, DATA & ~P, 12, SEL_SPARE),
    "ss_code": ("ss", SEL_CODE, 0, 13, SEL_CODE),
    "ss_read_only": ("ss", SEL_SPARE, 0x00CF_9100_0000_FFFF, 13, SEL_SPARE),
    "ss_dpl": ("ss", SEL_SPARE, DATA | DPL3, 13, SEL_SPARE),
    "ss_rpl": ("ss", SEL_SPARE | 3, DATA, 13, SEL_SPARE),
    "ss_user_data": ("ss", SEL_USER_DATA | 3, 0, 13, SEL_USER_DATA),
    "ss_beyond_gdt": ("ss", 0xFFF8, 0, 13, 0xFFF8),
}  # fmt: skip


@probe.each(case=list(LOADS))
@probe(
    spec="SDM vol. 2, MOV—Move (protected mode exceptions); vol. 3A, Interrupt 12—Stack-Segment Fault (#SS)",
    covers=["exceptions.np", "exceptions.ss-load", "exceptions.gp-selector"],
)
def loading_a_bad_selector_blames_it(k: Kernel, case: str) -> ProbeBody:
    """A data segment load checks type, privilege, limit and presence: #GP, #NP or, for SS, #SS with the selector."""
    register, selector, descriptor, vector, named = LOADS[case]
    if descriptor:
        k.tables.descriptor(SEL_SPARE, descriptor)
    with k.faults(), k.trigger():
        k.mark("tried")
        k.asm(f"mov eax, {selector:#x}\nculprit: mov {register}, eax")
    k.asm("mov eax, SEL_DATA\nmov ds, eax\nmov es, eax\nmov ss, eax\nxor eax, eax\nmov gs, eax")

    run = yield

    assert run.sequence == ["tried", vector]
    assert run.fields("error_code", "rip") == [(named, run.address("culprit"))]


@probe(
    spec="SDM vol. 3A, Segment Selectors; Null Segment Checking",
    covers=["exceptions.gp-null"],
    deviation=Deviation(
        targets="*-tcg*", kind="unimplemented", sees=r"\['null'\] == \['null', 13\]", ref="exceptions-null-segment"
    ),
)
def a_null_segment_cannot_be_used_in_compatibility_mode(k: Kernel) -> ProbeBody:
    """Loading DS with a null selector is allowed; in compatibility mode using it raises #GP(0), in 64-bit mode not."""
    with k.trigger():
        k.asm("xor eax, eax\nmov ds, eax")
        k.mark("null")
    k.asm("mov eax, dword ptr [rsp]\nmov ebx, VALUES\nmov eax, dword ptr [rbx]")
    with k.faults(13), k.compatibility_mode():
        k.asm("culprit: mov eax, dword ptr [ebx]")
    k.asm("mov eax, SEL_DATA\nmov ds, eax")

    run = yield

    assert run.sequence == ["null", 13]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].rip == run.address("culprit")


LIMIT = 0x20_1FFF  # of a segment with 4-KiB units


@probe.each(segment=["ds", "ss"])
@probe(
    spec="SDM vol. 3A, Limit Checking; Interrupt 12—Stack Fault Exception (#SS)",
    covers=["exceptions.limit"],
    deviation=Deviation(
        targets="*-tcg*", kind="unimplemented", sees=r"\['inside', 'beyond'\] == ", ref="exceptions-limit"
    ),
)
def a_segment_limit_holds_in_compatibility_mode(k: Kernel, segment: str) -> ProbeBody:
    """In compatibility mode the dword that ends at the limit can be read, the next one is #GP(0), through SS #SS(0)."""
    k.tables.descriptor(SEL_SPARE, 0x00C0_9300_0000_0000 | LIMIT >> 12)
    load = "mov ds, eax" if segment == "ds" else "mov ss, eax"
    base = "ebx" if segment == "ds" else "ebp"
    k.mark("inside")
    k.asm(f"mov ebp, {LIMIT - 3:#x}\nmov ebx, ebp")
    with k.compatibility_mode():
        k.asm(f"mov eax, {SEL_SPARE:#x}\n{load}\nmov edx, dword ptr [{base}]\nmov eax, SEL_DATA\n{load}")
    with k.trigger():
        k.mark("beyond")
        k.asm("inc ebp\ninc ebx")
    with k.faults(), k.compatibility_mode():
        k.asm(f"mov eax, {SEL_SPARE:#x}\n{load}\nculprit: mov edx, dword ptr [{base}]")
    k.asm("mov eax, SEL_DATA\nmov ss, eax\nmov ds, eax")

    run = yield

    vector = 13 if segment == "ds" else 12
    assert run.sequence == ["inside", "beyond", vector]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].rip == run.address("culprit")
