"""IRETQ: what it refuses, and with which error code."""

from harness import (
    SEL_CODE,
    SEL_DATA,
    SEL_SPARE,
    SEL_TSS,
    SEL_USER_CODE,
    SEL_USER_DATA,
    Deviation,
    Kernel,
    ProbeBody,
    Rflags,
    probe,
)

CODE64 = 0x00AF_9B00_0000_FFFF
DATA = 0x00CF_9300_0000_FFFF
P, L, D, DPL3 = 1 << 47, 1 << 53, 1 << 54, 3 << 45
USER_CS, USER_SS = SEL_USER_CODE | 3, SEL_USER_DATA | 3
# Name: CS, SS, descriptor of the spare slot (0: none), vector, error code.
FRAMES = {
    "cs_null": (0, SEL_DATA, 0, 13, 0),
    "cs_null_rpl3": (3, USER_SS, 0, 13, 0),
    "cs_data": (SEL_DATA, SEL_DATA, 0, 13, SEL_DATA),
    "cs_system": (SEL_TSS, SEL_DATA, 0, 13, SEL_TSS),
    "cs_beyond_gdt": (0x140, SEL_DATA, 0, 13, 0x140),
    "cs_no_ldt": (0x0C, SEL_DATA, 0, 13, 0x0C),
    "cs_l_and_d": (SEL_SPARE, SEL_DATA, CODE64 | D, 13, SEL_SPARE),
    "cs_not_present": (SEL_SPARE, SEL_DATA, CODE64 & ~P, 11, SEL_SPARE),
    "cs_dpl_below_rpl": (SEL_CODE | 3, USER_SS, 0, 13, SEL_CODE),
    "cs_dpl_above_rpl": (SEL_USER_CODE, SEL_DATA, 0, 13, SEL_USER_CODE),
    "ss_null_to_ring_3": (USER_CS, 3, 0, 13, 0),
    "ss_null_rpl0_to_ring_3": (USER_CS, 0, 0, 13, 0),
    "ss_code": (USER_CS, USER_CS, 0, 13, SEL_USER_CODE),
    "ss_rpl": (USER_CS, SEL_USER_DATA, 0, 13, SEL_USER_DATA),
    "ss_dpl": (USER_CS, SEL_DATA | 3, 0, 13, SEL_DATA),
    "ss_read_only": (USER_CS, SEL_SPARE | 3, 0x00CF_F100_0000_FFFF, 13, SEL_SPARE),
    "ss_not_present": (USER_CS, SEL_SPARE | 3, (DATA | DPL3) & ~P, 12, SEL_SPARE),
    "ss_beyond_gdt": (USER_CS, 0x143, 0, 13, 0x140),
}  # fmt: skip


def iretq(cs: int, ss: int, *, rflags: int = 2, rip: str = "lea rax, [rip+target]") -> str:
    """IRETQ to `target` with these selectors; R12 keeps RSP."""
    return f"""
        mov r12, rsp
        mov rcx, rsp
        push {ss:#x}
        push rcx
        push {rflags:#x}
        push {cs:#x}
        {rip}
        push rax
    culprit:
        iretq
    target:
        nop
    """


@probe.each(case=list(FRAMES))
@probe(
    spec="SDM vol. 2, IRET/IRETD/IRETQ—Interrupt Return",
    covers=["exceptions.iret-selectors"],
    deviation=[
        Deviation(
            targets="*-tcg*", cases="cs_l_and_d", kind="bug", sees=r"\['tried'\] ==", ref="exceptions-iret-l-and-d"
        ),
        Deviation(
            targets="*-tcg*",
            cases="ss_not_present",
            kind="manual silent or contradictory",
            sees=r"\['tried', 11\] ==",
            ref="exceptions-iret-ss-not-present",
        ),
    ],
)
def iretq_checks_both_selectors(k: Kernel, case: str) -> ProbeBody:
    """IRETQ with a bad CS or SS faults at itself: #GP, #NP or #SS with the selector, on the old stack."""
    cs, ss, descriptor, vector, named = FRAMES[case]
    if descriptor:
        k.tables.descriptor(SEL_SPARE, descriptor)
    with k.faults(), k.trigger():
        k.mark("tried")
        k.asm(iretq(cs, ss))
    k.asm("mov rsp, r12")

    run = yield

    assert run.sequence == ["tried", vector]
    assert run.interrupts[0].error_code == named
    assert run.interrupts[0].where.split()[0] == "culprit"
    assert run.interrupts[0].cs == SEL_CODE


@probe(spec="SDM vol. 2, IRET/IRETD/IRETQ—Interrupt Return (64-bit mode)", covers=["exceptions.iret-nt"])
def iretq_with_nt_set_is_gp(k: Kernel) -> ProbeBody:
    """There are no task returns in IA-32e mode: IRETQ while NT is set raises #GP(0)."""
    with k.faults():
        k.trigger(k.asm, "pushfq\nbts qword ptr [rsp], 14\npopfq")
        k.asm(iretq(SEL_CODE, SEL_DATA))
    k.asm("push 2\npopfq\nmov rsp, r12")

    run = yield

    assert run.fields("vector", "error_code") == [(13, 0)]
    assert run.interrupts[0].where.split()[0] == "culprit"
    assert Rflags(run.interrupts[0].rflags).NT == 1


@probe.each(rip=[0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF])
@probe(
    spec="SDM vol. 2, IRET/IRETD/IRETQ—Interrupt Return (64-bit mode exceptions)",
    covers=["exceptions.iret-non-canonical"],
    deviation=Deviation(
        targets="*-tcg*",
        kind="bug",
        sees=r"'0x(8000000|ffff7fff)\w*' == 'culprit'",
        ref="exceptions-iret-non-canonical",
    ),
)
def iretq_to_a_non_canonical_rip_is_gp(k: Kernel, rip: int) -> ProbeBody:
    """IRETQ whose return address is not canonical raises #GP(0) at the IRETQ, before anything is loaded."""
    with k.faults(), k.trigger():
        k.asm(iretq(SEL_CODE, SEL_DATA, rip=f"movabs rax, {rip:#x}"))
    k.asm("mov rsp, r12")

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].where.split()[0] == "culprit"


@probe(spec="SDM vol. 2, IRET/IRETD/IRETQ—Interrupt Return", covers=["exceptions.iret-null-ss"])
def iretq_to_ring_0_takes_a_null_ss(k: Kernel) -> ProbeBody:
    """In 64-bit mode IRETQ within ring 0 may load a null SS, as delivery itself leaves one."""
    ss = k.value("ss_after")
    k.trigger(k.asm, iretq(SEL_CODE, 0))
    k.asm(f"mov eax, ss\nmov qword ptr [{ss.name}], rax\nmov eax, SEL_DATA\nmov ss, eax\nmov rsp, r12")

    run = yield

    assert run[ss] == 0
    assert run.vectors == []


@probe.each(flag=["CF", "DF", "OF", "AC", "ID", "IF"])
@probe(spec="SDM vol. 2, IRET/IRETD/IRETQ—Interrupt Return", covers=["exceptions.iret-flags"])
def iretq_in_ring_0_loads_every_flag(k: Kernel, flag: str) -> ProbeBody:
    """At CPL 0 IRETQ loads the whole of RFLAGS from the frame."""
    seen = k.value("flags_after")
    k.trigger(k.asm, iretq(SEL_CODE, SEL_DATA, rflags=int(Rflags.of(2, **{flag: 1}))))
    k.asm(f"pushfq\npop qword ptr [{seen.name}]\npush 2\npopfq\nmov rsp, r12")

    run = yield

    assert run[seen] == Rflags.of(2, **{flag: 1})


@probe.each(bit=[1, 3, 5, 15, 22])
@probe(spec="SDM vol. 3A, System Flags and Fields in the EFLAGS Register", covers=["exceptions.iret-flags"])
def reserved_flags_read_as_they_must(k: Kernel, bit: int) -> ProbeBody:
    """Bit 1 of RFLAGS always reads 1; bits 3, 5, 15 and 22 always read 0, whatever IRETQ loads."""
    seen = k.value("flags_after")
    with k.trigger():
        k.asm(iretq(SEL_CODE, SEL_DATA, rflags=1 << bit | 1))
        k.asm(f"pushfq\npop qword ptr [{seen.name}]\npush 2\npopfq\nmov rsp, r12")

    run = yield

    assert run[seen] == 3
