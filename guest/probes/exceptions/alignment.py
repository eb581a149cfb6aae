"""#AC: only in ring 3, only with CR0.AM and EFLAGS.AC."""

from harness import USER_ALIAS, Deviation, Kernel, ProbeBody, probe

ACCESSES = {
    "word": "mov ax, word ptr [rbx+1]",
    "dword": "mov eax, dword ptr [rbx+2]",
    "qword": "mov rax, qword ptr [rbx+4]",
    "write": "mov dword ptr [rbx+1], eax",
    "push": "push rax",
}
AC = "SDM vol. 3A, Interrupt 17—Alignment Check Exception (#AC)"
NO_AC = Deviation(
    targets="*-tcg*", kind="unimplemented", sees=["the access passed", r"\[\] == \[17\]"], ref="exceptions-ac"
)


@probe.each(access=list(ACCESSES))
@probe(spec=AC, covers=["exceptions.ac", "exceptions.vectors"], deviation=NO_AC)
def a_misaligned_access_in_ring_3_is_ac(k: Kernel, access: str) -> ProbeBody:
    """With CR0.AM and EFLAGS.AC set, a misaligned data access at CPL 3 raises #AC with error code 0, as a fault."""
    data = k.buffer("unaligned", 64, align=64)
    k.cr.CR0.update(AM=1)
    k.asm("xor r13d, r13d")
    with k.faults(17), k.ring3():
        k.asm(f"movabs rbx, USER_ALIAS+{data.name}\npushfq\nbts qword ptr [rsp], 18\npopfq")
        if access == "push":
            k.asm("mov rsi, rsp\nlea rsp, [rbx+17]")
        with k.trigger():
            k.asm(f"culprit: {ACCESSES[access]}")
            k.asm("mov r13d, 1")
    k.cr.CR0.update(AM=0)
    passed = k.value("passed", "r13")

    run = yield

    assert run[passed] == 0, "the access passed"
    assert run.vectors == [17]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].rip == USER_ALIAS + run.address("culprit")


QUIET = {
    "am_clear": (0, 1, 3, "mov eax, dword ptr [rbx+1]"),
    "ac_clear": (1, 0, 3, "mov eax, dword ptr [rbx+1]"),
    "ring_0": (1, 1, 0, "mov eax, dword ptr [rbx+1]"),
    "aligned_dword": (1, 1, 3, "mov eax, dword ptr [rbx+4]"),
    "byte": (1, 1, 3, "mov al, byte ptr [rbx+1]"),
}


@probe.each(case=list(QUIET))
@probe(spec=AC, covers=["exceptions.ac"])
def without_any_of_the_three_there_is_no_ac(k: Kernel, case: str) -> ProbeBody:
    """CR0.AM, EFLAGS.AC and CPL 3 are needed all, and an operand that is misaligned for its size."""
    am, ac, ring, text = QUIET[case]
    data = k.buffer("unaligned", 64, align=64, fill=bytes(range(64)))
    out = k.buffer("result", 8)
    flags = f"pushfq\nand qword ptr [rsp], ~0x40000\nor qword ptr [rsp], {ac << 18:#x}\npopfq"
    k.cr.CR0.update(AM=am)
    alias = "USER_ALIAS" if ring else "0"
    access = f"""
        xor eax, eax
        movabs rbx, {alias}+{data.name}
        {flags}
        {text}
        movabs rdi, {alias}+{out.name}
        mov dword ptr [rdi], eax
        push 2
        popfq
    """
    with k.trigger():
        if ring == 0:
            k.asm(access)
        else:
            k.ring3().do(k.asm, access)
    k.cr.CR0.update(AM=0)

    run = yield

    start = 4 if case == "aligned_dword" else 1
    expected = bytes(range(start, start + 4)) if case != "byte" else bytes([1, 0, 0, 0])
    assert run.memory(out)[:4] == expected
    assert run.vectors == []
