"""#DB: single step, breakpoints, general detect, and the shadow of MOV SS."""

from harness import BreakpointCondition, BreakpointLength, Deviation, Dr6, Kernel, ProbeBody, Rflags, Value, probe

EXECUTION, WRITE, IO, READ_WRITE = BreakpointCondition
PORT = 0x80


def on_debug(k: Kernel, *, until: int = 100) -> Value[int]:
    """Handle #DB: keep the first DR6 in a value, clear it; leave the program after `until` of them."""
    first = k.value("first_dr6")
    count = k.value("debug_exceptions", 0)
    with k.handler(1):
        k.asm(f"""
            mov rax, dr6
            cmp qword ptr [{count.name}], 0
            jne not_first
            mov qword ptr [{first.name}], rax
        not_first:
            mov eax, 0xFFFF0FF0
            mov dr6, rax
            inc qword ptr [{count.name}]
            cmp qword ptr [{count.name}], {until}
            jb enough
            and qword ptr [rdi+FRAME_RFLAGS], ~0x100
            xor eax, eax
            mov dr7, rax
        enough:
        """)
    return first


def arm(k: Kernel, number: int, condition: int, length: int = BreakpointLength.BYTE) -> None:
    """Enable breakpoint `number` globally; its address is in RAX already."""
    k.asm(f"""
        mov dr{number}, rax
        mov rcx, dr7
        mov edx, {2 << 2 * number | 0x200 | (condition | length << 2) << 16 + 4 * number:#x}
        or rcx, rdx
        mov dr7, rcx
    """)


def disarm(k: Kernel) -> None:
    """No breakpoint is enabled, DR6 is as after reset."""
    k.asm("mov eax, 0x400\nmov dr7, rax\nmov eax, 0xFFFF0FF0\nmov dr6, rax")


@probe(spec="SDM vol. 3B, Single-Step Exception Condition", covers=["exceptions.db-step", "exceptions.vectors"])
def tf_traps_after_each_instruction(k: Kernel) -> ProbeBody:
    """With TF set #DB is a trap after every instruction, the first one after POPFQ excepted, with DR6.BS set."""
    first = on_debug(k)
    k.asm("pushfq\npop rbx")
    k.trigger(k.asm, "bts rbx, 8")
    k.asm("""
        push rbx
        popfq
    one: nop
    two: mov eax, ebx
    three: push rax
    four: btr qword ptr [rsp], 8
    five: popfq
    six: nop
    """)

    run = yield

    symbol = run.built.symbols
    assert run.vectors == [1] * 5
    assert [i.rip for i in run.interrupts] == [symbol[name] for name in ("two", "three", "four", "five", "six")]
    assert Dr6(run[first]) == Dr6.of(0xFFFF0FF0, BS=1)


@probe(spec="SDM vol. 3B, Single-Step Exception Condition", covers=["exceptions.db-step"])
def the_handler_runs_without_tf(k: Kernel) -> ProbeBody:
    """The processor clears TF when it delivers #DB: the handler itself is not stepped."""
    on_debug(k, until=3)
    k.trigger(k.asm, "pushfq\nbts qword ptr [rsp], 8\npopfq")
    k.asm("nop\nnop\nnop\nnop\nnop")

    run = yield

    assert run.vectors == [1] * 3
    assert [i.depth for i in run.interrupts] == [0, 0, 0]
    assert [Rflags(i.rflags).TF for i in run.interrupts] == [1, 1, 1]


@probe.each(number=[0, 1, 2, 3])
@probe(
    spec="SDM vol. 3B, Instruction-Breakpoint Exception Condition; Debug Status Register (DR6)",
    covers=["exceptions.db-instruction", "exceptions.rf"],
)
def an_instruction_breakpoint_is_a_fault(k: Kernel, number: int) -> ProbeBody:
    """An execution breakpoint is a fault before its instruction, Bn set in DR6 and RF clear; its handler sets RF."""
    first = on_debug(k)
    ran = k.value("ran", 0)
    with k.handler(1, replace=True):
        k.asm(f"mov rax, dr6\nmov qword ptr [{first.name}], rax\nbts qword ptr [rdi+FRAME_RFLAGS], 16")
    k.asm("lea rax, [rip+here]")
    k.trigger(arm, k, number, EXECUTION)
    k.asm(f"here: inc qword ptr [{ran.name}]")
    disarm(k)

    run = yield

    assert run.fields("vector", "rip") == [(1, run.address("here"))]
    assert run[ran] == 1
    assert Dr6(run[first]) & 0xE00F == 1 << number
    assert Rflags(run.interrupts[0].rflags).RF == 0


@probe(spec="SDM vol. 3B, Instruction-Breakpoint Exception Condition", covers=["exceptions.db-instruction"])
def rf_suppresses_one_instruction_breakpoint(k: Kernel) -> ProbeBody:
    """RF loaded by IRETQ suppresses the breakpoint for one instruction only: the next round hits it again."""
    rounds = k.value("rounds", 0)
    k.handler(1).do(k.asm, "bts qword ptr [rdi+FRAME_RFLAGS], 16")
    k.asm("lea rax, [rip+here]\nmov ebx, 3")
    k.trigger(arm, k, 0, EXECUTION)
    k.asm(f"here: inc qword ptr [{rounds.name}]\ndec ebx\njnz here")
    disarm(k)

    run = yield

    assert run.vectors == [1, 1, 1]
    assert run[rounds] == 3


ACCESSES = {
    "write_to_write": (WRITE, "mov dword ptr [rbx], eax", True),
    "read_of_write": (WRITE, "mov eax, dword ptr [rbx]", False),
    "read_of_read_write": (READ_WRITE, "mov eax, dword ptr [rbx]", True),
    "write_to_read_write": (READ_WRITE, "mov dword ptr [rbx], eax", True),
    "read_modify_write": (WRITE, "inc dword ptr [rbx]", True),
    "fetch_of_read_write": (READ_WRITE, "jmp rbx", False),
    "push": (WRITE, "lea r12, [rsp]\nlea rsp, [rbx+8]\npush rax\nmov rsp, r12", True),
    "string_store": (WRITE, "mov rdi, rbx\nstosd", True),
}


@probe.each(number=[0, 3], access=list(ACCESSES))
@probe(
    spec="SDM vol. 3B, Data Memory and I/O Breakpoint Exception Conditions; Debug Control Register (DR7)",
    covers=["exceptions.db-data"],
)
def a_data_breakpoint_is_a_trap(k: Kernel, number: int, access: str) -> ProbeBody:
    """A data breakpoint is a trap after the access that its R/W field names, Bn set in DR6; other accesses pass."""
    condition, text, hits = ACCESSES[access]
    first = on_debug(k)
    data = k.buffer("watched", 64)
    k.asm(f"mov ebx, {data.name}\nmov dword ptr [rbx], 0xC3C3C3C3\nmov eax, ebx")
    if not hits:
        arm(k, number, condition, BreakpointLength.DWORD)
    else:
        k.trigger(arm, k, number, condition, BreakpointLength.DWORD)
    if access == "fetch_of_read_write":
        k.asm(f"lea rax, [rip+back]\npush rax\n{text}\nback:")
    else:
        k.asm(text)
    k.mark("after the access")
    if not hits:
        k.trigger(k.asm, "mov dword ptr [rbx], eax")
    disarm(k)

    run = yield

    assert run.vectors == [1]
    assert Dr6(run[first]) & 0xE00F == 1 << number
    assert run.sequence == ([1, "after the access"] if hits else ["after the access", 1])


# (LEN, breakpoint offset, access offset, access size, hit): the boundaries of each length.
BYTE, WORD, DWORD, QWORD = (BreakpointLength[name] for name in ("BYTE", "WORD", "DWORD", "QWORD"))
LENGTHS = {
    "byte_hit": (BYTE, 1, 1, "byte", True), "byte_below": (BYTE, 1, 0, "byte", False),
    "byte_above": (BYTE, 1, 2, "byte", False), "byte_inside_dword": (BYTE, 3, 0, "dword", True),
    "word_last": (WORD, 2, 3, "byte", True), "word_above": (WORD, 2, 4, "byte", False),
    "dword_last": (DWORD, 4, 7, "byte", True), "dword_below": (DWORD, 4, 3, "byte", False),
    "dword_above": (DWORD, 4, 8, "byte", False), "dword_overlap_from_below": (DWORD, 4, 1, "dword", True),
    "qword_last": (QWORD, 8, 15, "byte", True), "qword_above": (QWORD, 8, 16, "byte", False),
    "address_bits_below_the_length_are_ignored": (DWORD, 6, 4, "byte", True),
}  # fmt: skip


@probe.each(case=list(LENGTHS))
@probe(
    spec="SDM vol. 3B, Breakpoint Field Recognition",
    covers=["exceptions.db-data-length"],
    deviation=Deviation(
        targets="*-tcg*",
        cases="address_bits*",
        kind="manual silent or contradictory",
        sees=r"\['after the access', 1\] == \[1, 'after the access', 1\]",
        ref="exceptions-db-alignment",
    ),
)
def a_data_breakpoint_covers_its_length(k: Kernel, case: str) -> ProbeBody:
    """A breakpoint hits where any byte of the access lies in its aligned 1, 2, 4 or 8 bytes, and only there."""
    length, at, access, size, hit = LENGTHS[case]
    on_debug(k)
    data = k.buffer("watched", 64, align=64)
    k.asm(f"mov ebx, {data.name}\nlea eax, [rbx+{at}]")
    k.trigger(arm, k, 1, WRITE, length)
    k.asm(f"mov {size} ptr [rbx+{access}], 1")
    k.mark("after the access")
    k.asm(f"mov byte ptr [rbx+{at}], 1")  # this one always hits: the breakpoint was armed
    disarm(k)

    run = yield

    assert run.sequence == ([1, "after the access", 1] if hit else ["after the access", 1])


IO_CASES = {
    "out": (f"out {PORT:#x}, al", True),
    "in": (f"in al, {PORT:#x}", True),
    "out_word_across": (f"mov edx, {PORT - 1:#x}\nout dx, ax", True),
    "other_port": (f"out {PORT + 1:#x}, al", False),
}


@probe.each(case=list(IO_CASES))
@probe(spec="SDM vol. 3B, Data Memory and I/O Breakpoint Exception Conditions (CR4.DE)", covers=["exceptions.db-io"])
def an_io_breakpoint_traps_on_its_port(k: Kernel, case: str) -> ProbeBody:
    """With CR4.DE=1 an I/O breakpoint traps after IN or OUT of its port, with the RIP behind it and Bn in DR6."""
    text, hit = IO_CASES[case]
    first = on_debug(k)
    k.cr.CR4.update(DE=1)
    k.asm(f"mov eax, {PORT:#x}")
    k.trigger(arm, k, 2, IO)
    k.asm(text)
    k.asm("behind:")
    k.mark("after the access")
    k.asm(f"mov al, 0\nout {PORT:#x}, al")  # this one always hits
    disarm(k)
    k.cr.CR4.update(DE=0)

    run = yield

    assert run.sequence == ([1, "after the access", 1] if hit else ["after the access", 1])
    assert Dr6(run[first]) & 0xE00F == 1 << 2
    if hit:
        assert run.interrupts[0].rip == run.address("behind")


@probe(
    spec="SDM vol. 3B, General-Detect Exception Condition",
    covers=["exceptions.db-gd"],
    deviation=Deviation(
        targets="*-tcg*",
        versions="<9.1",
        kind="unimplemented",
        sees=["'0x2400' == '0x400'", r"\[\] == \[1\]"],
        ref="exceptions-db-gd",
    ),
)
def general_detect_guards_the_debug_registers(k: Kernel) -> ProbeBody:
    """With DR7.GD set, MOV to or from a debug register is a #DB fault with BD in DR6; its handler finds GD clear."""
    with k.handler(1):
        inside, first = k.dr.DR7.read("dr7_inside"), k.dr.DR6.read("first_dr6")
    k.trigger(k.asm, "mov eax, 0x2400\nmov dr7, rax")
    k.asm("culprit: mov rbx, dr0")
    after = k.dr.DR7.read("dr7_after")
    disarm(k)

    run = yield

    assert hex(run[after]) == "0x400"
    assert run.vectors == [1]
    assert run.interrupts[0].rip == run.address("culprit")
    assert Dr6(run[first]) & 0xE00F == 0x2000
    assert run[inside] & 0x2000 == 0


@probe.each(loader=["mov_ss", "pop_ss"])
@probe(
    spec="SDM vol. 3A, Masking Exceptions and Interrupts When Switching Stacks",
    covers=["exceptions.db-mov-ss", "masking.mov-ss-db"],
    deviation=Deviation(
        targets="*-tcg*", kind="unimplemented", sees=r"\['next'\] == \['behind_next'\]", ref="exceptions-db-mov-ss"
    ),
)
def mov_ss_holds_a_data_breakpoint_back(k: Kernel, loader: str) -> ProbeBody:
    """A data breakpoint that MOV SS or POP SS itself hits is held back until after the next instruction."""
    on_debug(k)
    data = k.buffer("watched", 16)
    k.asm(f"mov r12, rsp\nmov ebx, {data.name}\nmov qword ptr [rbx], SEL_DATA\nmov eax, ebx")
    k.trigger(arm, k, 0, READ_WRITE, BreakpointLength.WORD)
    if loader == "mov_ss":
        k.asm("mov ss, word ptr [rbx]\nnext: mov rsp, r12\nbehind_next: nop")
    else:  # POP SS does not exist in 64-bit mode
        k.asm("mov esi, esp")
        with k.compatibility_mode():
            k.asm("mov esp, ebx\npop ss\nnext: mov esp, esi\nbehind_next: nop")
    disarm(k)

    run = yield

    assert [i.where.split()[0] for i in run.interrupts] == ["behind_next"]


@probe.each(loader=["mov_ss", "pop_ss"])
@probe(
    spec="SDM vol. 3A, Masking Exceptions and Interrupts When Switching Stacks",
    covers=["exceptions.db-mov-ss", "masking.mov-ss-db"],
)
def mov_ss_has_no_single_step_trap(k: Kernel, loader: str) -> ProbeBody:
    """A single-step trap is not taken between MOV SS or POP SS and the instruction behind it."""
    on_debug(k)
    k.asm("mov esi, esp\nmov eax, SEL_DATA\npush rax\npushfq\npop rbx")
    k.trigger(k.asm, "bts rbx, 8")
    if loader == "mov_ss":
        k.asm("push rbx\npopfq\nmov ss, eax\nnext: mov esp, esi\nbehind_next: push 2\nlast: popfq\nafter:")
    else:
        with k.compatibility_mode():
            k.asm("push ebx\npopfd\npop ss\nnext: mov esp, esi\nbehind_next: push 2\nlast: popfd\nafter: nop")

    run = yield

    symbol = run.built.symbols
    assert [i.rip for i in run.interrupts] == [symbol["behind_next"], symbol["last"], symbol["after"]]


@probe(
    spec="SDM vol. 3A, Interrupt 1—Debug Exception (#DB); vol. 3B, Debug Status Register (DR6)",
    covers=["exceptions.db-icebp"],
    deviation=Deviation(
        targets="*-tcg*",
        versions="<9.1",
        kind="bug",
        sees=[r"\[6\] == \[1\]", r"(\d+) == \(\1 \+ 1\)"],
        ref="exceptions-icebp",
    ),
)
def int1_leaves_dr6_alone(k: Kernel) -> ProbeBody:
    """INT1 raises #DB as a trap without setting a condition in DR6."""
    disarm(k)
    with k.faults(), k.trigger():
        k.asm("culprit: .byte 0xF1")
    dr6 = k.dr.DR6.read("dr6_after")

    run = yield

    assert run.vectors == [1]
    assert run.interrupts[0].rip == run.address("culprit") + 1
    assert run[dr6] == 0xFFFF0FF0


@probe(
    spec="SDM vol. 3B, Debug Status Register (DR6)",
    covers=["exceptions.db-dr6"],
    deviation=Deviation(
        targets="*-tcg*", kind="bug", sees=[r"\[1, 1\] == \[1\]", "where='stub_01 "], ref="exceptions-db-together"
    ),
)
def bs_comes_together_with_a_breakpoint(k: Kernel) -> ProbeBody:
    """A single step and a data breakpoint of the same instruction are one #DB, with BS and Bn both set."""
    first = on_debug(k, until=1)
    data = k.buffer("watched", 16)
    k.asm(f"mov ebx, {data.name}\nmov eax, ebx")
    arm(k, 0, WRITE, BreakpointLength.DWORD)
    k.asm("pushfq\nbts qword ptr [rsp], 8\npopfq")
    k.trigger(k.asm, "mov dword ptr [rbx], eax")
    k.asm("behind: nop")
    disarm(k)

    run = yield

    assert run.vectors == [1]
    assert Dr6(run[first]) & 0xE00F == 0x4001
    assert run.interrupts[0].rip == run.address("behind")
