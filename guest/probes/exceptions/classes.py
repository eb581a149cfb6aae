"""Faults and traps: which vector, which saved RIP, which error code, and what happens when the cause is removed."""

from harness import GDT, NO_ERROR_CODE, SEL_SPARE, Deviation, Kernel, ProbeBody, Rflags, probe

NON_CANONICAL = 0x8000_0000_0000
NOT_PRESENT_DATA = 0x00CF_1300_0000_FFFF

# Name: vector, error code, instructions before, the faulting instruction.
FAULTS = {
    "de_zero": (0, None, "xor ecx, ecx", "div ecx"),
    "de_quotient_overflow": (0, None, "mov edx, 1\nxor eax, eax\nmov ecx, 1", "div ecx"),
    "de_quotient_overflow_8": (0, None, "mov eax, 0x100\nmov ecx, 1", "div cl"),
    "de_quotient_overflow_64": (0, None, "mov rdx, 5\nmov rcx, 5", "div rcx"),
    "de_idiv_most_negative": (0, None, "mov eax, 0x80000000\ncdq\nmov ecx, -1", "idiv ecx"),
    "de_idiv_most_negative_64": (0, None, "movabs rax, 0x8000000000000000\ncqo\nmov rcx, -1", "idiv rcx"),
    "de_idiv_most_negative_16": (0, None, "mov eax, 0x8000\ncwd\nmov ecx, -1", "idiv cx"),
    "ud_ud2": (6, None, "nop", "ud2"),
    "nm_x87": (7, None, "mov rax, cr0\nor rax, 8\nmov cr0, rax", "fld1"),
    "np_data": (11, SEL_SPARE, f"mov eax, {SEL_SPARE:#x}", "mov ds, eax"),
    "ss_non_canonical": (12, 0, f"mov rbp, {NON_CANONICAL:#x}", "mov rax, qword ptr [rbp]"),
    "gp_non_canonical": (13, 0, f"mov rbx, {NON_CANONICAL:#x}", "mov rax, qword ptr [rbx]"),
    "gp_selector": (13, 0xFFF8, "mov eax, 0xFFF8", "mov ds, eax"),
    "pf_read": (14, 0, "mov rbx, 0x4000000000", "mov rax, qword ptr [rbx]"),
    "mf": (16, None, "fninit\nmov word ptr [rsp-8], 0x37E\nfldcw [rsp-8]\nfldz\nfdiv st(0), st(0)", "fwait"),
}

SS, NO_SS = "ss_non_canonical", "exceptions-ss-non-canonical"
SS_IS_GP = Deviation(targets="*-tcg*", cases=SS, kind="unimplemented", sees=r"\[13\] == \[12\]", ref=NO_SS)
NO_RF = Deviation(targets="*-tcg*", versions="<9.1", kind="unimplemented", sees=r"assert 0 == 1", ref="exceptions-rf")


def prepare(k: Kernel, fault: str) -> None:
    """What the fault needs before its own instructions: a descriptor for #NP."""
    if fault == "np_data":
        k.tables.descriptor(SEL_SPARE, NOT_PRESENT_DATA)


@probe.each(fault=list(FAULTS))
@probe(
    spec="SDM vol. 3A, Exception and Interrupt Reference; Exception Classifications",
    covers=["exceptions.vectors", "exceptions.error-codes", "exceptions.de"],
    deviation=SS_IS_GP,
)
def a_fault_saves_its_own_instruction(k: Kernel, fault: str) -> ProbeBody:
    """A fault comes with its vector and error code, and the saved RIP points at the faulting instruction itself."""
    vector, code, before, instruction = FAULTS[fault]
    prepare(k, fault)
    with k.faults():
        k.asm(before)
        k.trigger(k.asm, f"culprit: {instruction}")

    run = yield

    assert run.vectors == [vector]
    assert run.fields("error_code", "rip") == [(code, run.address("culprit"))]


@probe.each(fault=list(FAULTS))
@probe(
    spec="SDM vol. 3A, Instruction-Breakpoint Exception Condition; System Flags and Fields in the EFLAGS Register (RF)",
    covers=["exceptions.rf"],
    deviation=[NO_RF, SS_IS_GP],
)
def a_fault_pushes_rf_set(k: Kernel, fault: str) -> ProbeBody:
    """The RFLAGS image that a fault pushes has RF set, so that a breakpoint on the instruction does not hit twice."""
    vector, _, before, instruction = FAULTS[fault]
    prepare(k, fault)
    with k.faults():
        k.asm(before)
        k.trigger(k.asm, instruction)

    run = yield

    assert run.vectors == [vector]
    assert Rflags(run.interrupts[0].rflags).RF == 1


@probe.each(kind=["fixed", "nmi"])
@probe(
    spec="SDM vol. 3B, Instruction-Breakpoint Exception Condition (RF in the pushed RFLAGS)",
    covers=["exceptions.rf"],
    deviation=Deviation(targets="*-tcg*", versions=">=9.1", kind="bug", sees=r"RF set", ref="exceptions-rf-interrupt"),
)
def an_interrupt_pushes_rf_clear(k: Kernel, kind: str) -> ProbeBody:
    """A hardware interrupt between two instructions pushes RFLAGS with RF clear."""
    vector = 2 if kind == "nmi" else 0x50
    k.expect(vector)
    k.sti()
    k.trigger(k.lapic.send, destination=0, DELIVERY_MODE=4 if kind == "nmi" else 0, LEVEL=1, VECTOR=vector)
    k.delay(us=10)
    k.cli()

    run = yield

    assert run.vectors == [vector]
    assert Rflags(run.interrupts[0].rflags).RF == 0, "RF set"


TRAPS = {
    "int3": (3, "int3", 1), "int3_long": (3, ".byte 0xCD, 3", 2),
    "int_4": (4, "int 4", 2), "icebp": (1, ".byte 0xF1", 1),
}  # fmt: skip


@probe.each(trap=list(TRAPS))
@probe(
    spec="SDM vol. 3A, Interrupt 3—Breakpoint Exception (#BP); vol. 2, INT n/INTO/INT3/INT1",
    covers=["exceptions.bp", "exceptions.rf"],
    deviation=Deviation(
        targets="*-tcg*",
        cases="icebp",
        versions="<9.1",
        kind="bug",
        sees=[r"\[6\] == \[1\]", r"(\d+) == \(\1 \+ 1\)"],
        ref="exceptions-icebp",
    ),
)
def a_trap_saves_the_next_instruction(k: Kernel, trap: str) -> ProbeBody:
    """INT3, INT n and INT1 save the RIP behind them, without error code, and RF clear."""
    vector, instruction, length = TRAPS[trap]
    with k.faults(), k.trigger():
        k.asm(f"culprit: {instruction}")

    run = yield

    assert run.vectors == [vector]
    assert run.interrupts[0].error_code is None
    assert run.interrupts[0].rip == run.address("culprit") + length
    assert Rflags(run.interrupts[0].rflags).RF == 0


# Name: vector, instructions before, the instruction, how the handler removes the cause, RAX after the restart.
REPAIRED = {
    "de": (0, "mov eax, 7\nxor edx, edx\nxor ecx, ecx", "div ecx", "mov qword ptr [rdi+FRAME_RCX], 7", 1),
    "nm": (7, "xor eax, eax\nfninit\nmov rcx, cr0\nor rcx, 8\nmov cr0, rcx", "fnstsw ax", "clts", 0),
    "np": (11, f"mov eax, {SEL_SPARE:#x}", "mov ds, eax", f"or byte ptr [{GDT + SEL_SPARE + 5:#x}], 0x80", SEL_SPARE),
    "ss": (
        12,
        f"push 0x77\nmov rbp, {NON_CANONICAL:#x}",
        "mov rax, qword ptr [rbp]",
        "mov rax, qword ptr [rdi+FRAME_RSP]\nmov qword ptr [rdi+FRAME_RBP], rax",
        0x77,
    ),
    "gp": (
        13,
        f"push 0x78\nmov rbx, {NON_CANONICAL:#x}",
        "mov rax, qword ptr [rbx]",
        "mov rax, qword ptr [rdi+FRAME_RSP]\nmov qword ptr [rdi+FRAME_RBX], rax",
        0x78,
    ),
    "ud": (
        6,
        "mov rax, cr4\nbtr rax, 18\nmov cr4, rax\nxor ecx, ecx",
        "xgetbv",
        "mov rax, cr4\nbts rax, 18\nmov cr4, rax",
        1,
    ),
    "mf": (
        16,
        "fninit\nmov word ptr [rsp-8], 0x37E\nfldcw [rsp-8]\nfldz\nfdiv st(0), st(0)\nmov eax, 0x55",
        "fwait",
        "fnclex",
        0x55,
    ),
}  # fmt: skip


@probe.each(fault=list(REPAIRED))
@probe(
    spec="SDM vol. 3A, Program or Task Restart",
    covers=["exceptions.restart"],
    deviation=Deviation(targets="*-tcg*", cases="ss", kind="unimplemented", sees=r"unexpected #GP\(0x0\)", ref=NO_SS),
)
def the_instruction_restarts_when_the_cause_is_removed(k: Kernel, fault: str) -> ProbeBody:
    """After the handler has removed the cause of a fault and returned, the instruction runs again, and completes."""
    vector, before, instruction, repair, result = REPAIRED[fault]
    after = k.value("rax_after")
    prepare(k, "np_data")
    k.handler(vector).do(k.asm, repair)
    k.asm("mov r12, rsp")
    k.asm(before)
    k.trigger(k.asm, instruction)
    k.asm(
        f"mov qword ptr [{after.name}], rax\nmov rsp, r12\nmov ecx, SEL_DATA\nmov ds, ecx"
        "\nmov rcx, cr4\nbtr rcx, 18\nmov cr4, rcx"
    )

    run = yield

    assert run.vectors == [vector]
    assert run[after] & ~(0xFFFF_FFFE if fault == "ud" else 0) == result


@probe(
    spec="SDM vol. 3A, Error Code; vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure",
    covers=["exceptions.error-codes"],
)
def int_n_of_a_vector_with_an_error_code_pushes_none(k: Kernel) -> ProbeBody:
    """INT 8, 10 to 14, 17, 21, 29 and 30 push no error code, although their exceptions do."""
    vectors = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]
    errors = k.buffer("errors", 8 * 32)
    for vector in vectors:
        with k.handler(vector):
            k.asm(f"mov rax, qword ptr [rdi+FRAME_ERROR]\nmov qword ptr [{errors.address + 8 * vector:#x}], rax")
    with k.trigger():
        for vector in vectors:
            k.int_n(vector)

    run = yield

    assert run.vectors == vectors
    words = memoryview(run.memory(errors)).cast("Q")
    assert [words[vector] for vector in vectors] == [NO_ERROR_CODE] * len(vectors)


COMPAT = {
    "into_set": ("mov al, 0x7F\nadd al, 1\ninto", 4, True),
    "bound_below": ("mov eax, 1\nculprit: .byte 0x62, 0x44, 0x24, 0xF0  # bound eax, [esp-16]", 5, False),
    "bound_above": ("mov eax, 11\nculprit: .byte 0x62, 0x44, 0x24, 0xF0  # bound eax, [esp-16]", 5, False),
}


@probe.each(case=list(COMPAT))
@probe(
    spec="SDM vol. 3A, Interrupt 4—Overflow Exception (#OF); Interrupt 5—BOUND Range Exceeded Exception (#BR)",
    covers=["exceptions.of-compat", "exceptions.br-compat"],
)
def into_and_bound_work_in_compatibility_mode(k: Kernel, case: str) -> ProbeBody:
    """In compatibility mode INTO with OF=1 is #OF, a trap, and BOUND outside its bounds #BR, a fault."""
    text, vector, trap = COMPAT[case]
    with k.faults(), k.compatibility_mode():
        k.asm("mov dword ptr [esp-16], 2\nmov dword ptr [esp-12], 10")
        k.trigger(k.asm, text)
        k.asm("past:")

    run = yield

    assert run.fields("vector", "error_code", "cs") == [(vector, None, 0x18)]
    assert run.interrupts[0].rip == run.address("past" if trap else "culprit")


@probe.each(value=[2, 10])
@probe(
    spec="SDM vol. 2, BOUND—Check Array Index Against Bounds; INTO",
    covers=["exceptions.of-compat", "exceptions.br-compat"],
)
def into_and_bound_let_good_values_pass(k: Kernel, value: int) -> ProbeBody:
    """INTO with OF=0 does nothing, and BOUND's bounds are both inside."""
    with k.faults(), k.compatibility_mode():
        k.asm("mov dword ptr [esp-16], 2\nmov dword ptr [esp-12], 10")
        k.asm(f"mov eax, {value}\n.byte 0x62, 0x44, 0x24, 0xF0\nxor eax, eax\ninto")
        with k.trigger():
            k.asm(
                f"mov eax, {value}\nadd dword ptr [esp-16], 1\nsub dword ptr [esp-12], 1\n"
                "culprit: .byte 0x62, 0x44, 0x24, 0xF0  # bound eax, [esp-16]"
            )

    run = yield

    assert run.fields("vector", "rip") == [(5, run.address("culprit"))]
