"""Stack switches: IST, RSP0, and what IRETQ takes back."""

from harness import GDT, SEL_TSS, STACKS, TSS, Deviation, Kernel, ProbeBody, probe, tss_ist_offset, tss_rsp_offset

VECTOR, OTHER = 0x50, 0x51
PRIVATE = "private_stack"


def stack_for_ist(k: Kernel, ist: int) -> int:
    """A stack of the probe's own in IST `ist`; its top."""
    area = k.buffer(f"{PRIVATE}_{ist}", 4096, align=4096)
    top = area.address + area.size
    k.asm(f"mov qword ptr [{TSS + tss_ist_offset(ist):#x}], {top:#x}")
    return top


def note_rsp(k: Kernel, vector: int, name: str) -> None:
    """Point the gate at a first instruction that stores RSP, before the recording stub continues."""
    value = k.value(name)
    k.asm(f"""
        jmp past_{name}
    entry_{name}:
        mov qword ptr [{value.name}], rsp
        jmp stub_{vector:02x}
    past_{name}:
    """)
    k.tables.gate_offset(vector, f"entry_{name}")


@probe.each(ist=range(1, 8))
@probe(spec="SDM vol. 3A, Interrupt Stack Table", covers=["descriptors.ist"])
def an_ist_index_switches_the_stack_within_ring_0(k: Kernel, ist: int) -> ProbeBody:
    """A gate with IST n loads RSP from IST n of the TSS, within ring 0 too, and IRETQ takes it back."""
    top = stack_for_ist(k, ist)
    note_rsp(k, VECTOR, "inside")
    before = k.value("rsp_before", "rsp")
    k.trigger(k.tables.gate, VECTOR, ist=ist)
    k.int_n(VECTOR)
    after = k.value("rsp_after", "rsp")

    run = yield

    assert run.vectors == [VECTOR]
    assert run["inside"] == top - 40
    assert run.fields("rsp", "ss") == [(run[before], 0x10)]
    assert run[after] == run[before]


@probe(spec="SDM vol. 3A, Interrupt Stack Table", covers=["descriptors.ist"])
def ist_0_does_not_switch(k: Kernel) -> ProbeBody:
    """A gate with IST 0 stays on the current stack within ring 0."""
    note_rsp(k, VECTOR, "inside")
    before = k.value("rsp_before", "rsp")
    k.trigger(k.int_n, VECTOR)

    run = yield

    assert run.vectors == [VECTOR]
    assert run["inside"] == (run[before] & ~15) - 40


@probe.each(low=[1, 8, 15])
@probe(spec="SDM vol. 3A, 64-Bit Mode Stack Frame", covers=["descriptors.ist", "descriptors.alignment"])
def an_unaligned_ist_pointer_is_aligned(k: Kernel, low: int) -> ProbeBody:
    """The stack pointer taken from the TSS is aligned down to 16 before the frame is pushed."""
    top = stack_for_ist(k, 2)
    note_rsp(k, VECTOR, "inside")
    k.tables.gate(VECTOR, ist=2)
    k.trigger(k.asm, f"sub qword ptr [{TSS + tss_ist_offset(2):#x}], {16 - low}")
    k.int_n(VECTOR)

    run = yield

    assert run.vectors == [VECTOR]
    assert run["inside"] == top - 16 - 40


@probe(spec="SDM vol. 3A, Interrupt Stack Table", covers=["descriptors.ist-nested"])
def nested_use_of_one_ist_overwrites(k: Kernel) -> ProbeBody:
    """The IST pointer is loaded anew each time: a second event on the same IST writes over the first one's frame."""
    top = stack_for_ist(k, 3)
    inner_frame, outer_frame = k.values("outer_rip_before", "outer_rip_after")
    k.tables.gate(VECTOR, ist=3)
    k.tables.gate(OTHER, ist=3)
    k.tables.gate_offset(VECTOR, "outer")
    k.tables.gate_offset(OTHER, "inner")
    k.asm("jmp past\nouter:")
    k.asm(f"mov rax, qword ptr [{top - 40:#x}]\nmov qword ptr [{inner_frame.name}], rax")
    k.trigger(k.int_n, OTHER)
    k.asm(f"""
    inner_return:
        mov rax, qword ptr [{top - 40:#x}]
        mov qword ptr [{outer_frame.name}], rax
        lea rax, [rip+back]
        mov qword ptr [rsp], rax
        mov qword ptr [rsp+24], rbx
        iretq
    inner:
        iretq
    past:
        mov rbx, rsp
        int {VECTOR:#x}
    back:
    """)

    run = yield

    assert run[inner_frame] == run.address("back")
    assert run[outer_frame] == run.address("inner_return")


@probe(spec="SDM vol. 3A, Interrupt Stack Table; 64-Bit Mode Stack Frame", covers=["descriptors.ist"])
def a_non_canonical_ist_pointer_is_a_stack_fault(k: Kernel) -> ProbeBody:
    """Pushing the frame at a non-canonical RSP raises #SS: the event cannot be delivered."""
    k.tables.gate(VECTOR, ist=4)
    k.trigger(k.asm, f"mov rax, 0x800000000000\nmov qword ptr [{TSS + tss_ist_offset(4):#x}], rax")
    k.faults(12).do(k.int_n, VECTOR)

    run = yield

    assert run.fields("vector", "error_code") == [(12, 0)]


RING3_SS, RING3_CS = 0x33, 0x3B


@probe.each(kind=["int_n", "interrupt", "exception"])
@probe(
    spec="SDM vol. 3A, 64-Bit Mode Stack Frame; Stack Switching in IA-32e Mode",
    covers=["descriptors.ring3-rsp0", "descriptors.ring3-null-ss"],
)
def ring_3_enters_ring_0_on_rsp0_with_a_null_ss(k: Kernel, kind: str) -> ProbeBody:
    """From ring 3 the frame goes to RSP0 of the TSS, SS becomes null with RPL 0, and IRETQ restores ring 3's stack."""
    vector = 6 if kind == "exception" else VECTOR
    ss, inside = k.values("ss_inside", "inside")
    back = k.buffer("back", 16)
    top = STACKS + 0xA000
    k.asm(f"mov qword ptr [{TSS + tss_rsp_offset(0):#x}], {top:#x}")
    k.asm(f"""
        jmp past
    entry:
        mov qword ptr [{inside.name}], rsp
        push rax
        mov eax, 0xFFFFFFFF
        mov eax, ss
        mov qword ptr [{ss.name}], rax
        pop rax
        jmp stub_{vector:02x}
    past:
    """)
    k.tables.gate_offset(vector, "entry")
    with k.handler(vector):
        if kind == "exception":
            k.asm("add qword ptr [rdi+FRAME_RIP], 2")
    if kind == "int_n":
        k.tables.gate(VECTOR, dpl=3)
    with k.ring3(interrupts=kind == "interrupt"):
        if kind == "interrupt":
            # Ring 3 may write the local APIC through its user alias.
            k.trigger(k.asm, f"movabs rdi, USER_ALIAS+LAPIC_ICR_LOW\nmov dword ptr [rdi], {0x44000 | VECTOR:#x}")
            k.asm("mov ecx, 200\nspin: dec ecx\njnz spin")
        else:
            k.trigger(k.asm, "ud2" if kind == "exception" else f"int {VECTOR:#x}")
        k.asm(f"""
            movabs rdi, USER_ALIAS+{back.name}
            mov qword ptr [rdi], rsp
            mov eax, ss
            mov dword ptr [rdi+8], eax
            mov eax, cs
            mov dword ptr [rdi+12], eax
        """)

    run = yield

    assert run.vectors == [vector]
    (interrupt,) = run.interrupts
    assert run[inside] == top - 40
    assert run[ss] == 0
    assert (interrupt.cs, interrupt.ss) == (RING3_CS, RING3_SS)
    content = run.memory(back)
    assert int.from_bytes(content[:8], "little") == interrupt.rsp
    assert content[8:16] == bytes([RING3_SS, 0, 0, 0, RING3_CS, 0, 0, 0])


@probe.each(ist=[1, 7])
@probe(spec="SDM vol. 3A, Interrupt Stack Table", covers=["descriptors.ist", "descriptors.ring3-rsp0"])
def ist_goes_before_rsp0(k: Kernel, ist: int) -> ProbeBody:
    """From ring 3 a gate with an IST index uses that stack, not RSP0."""
    top = stack_for_ist(k, ist)
    note_rsp(k, VECTOR, "inside")
    k.tables.gate(VECTOR, dpl=3)
    k.trigger(k.tables.gate, VECTOR, ist=ist)
    k.ring3().do(k.int_n, VECTOR)

    run = yield

    assert run.fields("vector", "cs") == [(VECTOR, RING3_CS)]
    assert run["inside"] == top - 40


def tss_limit(k: Kernel, limit: int) -> None:
    """Give the TSS another limit and load it again."""
    k.asm(f"""
        mov word ptr [{GDT + SEL_TSS:#x}], {limit:#x}
        and byte ptr [{GDT + SEL_TSS + 5:#x}], 0xFD
        mov eax, SEL_TSS
        ltr ax
    """)


@probe.each(ist=[1, 2, 7])
@probe(spec="SDM vol. 3A, Interrupt 10—Invalid TSS Exception (#TS)", covers=["descriptors.tss-limit", "exceptions.ts"])
def an_ist_beyond_the_tss_limit(k: Kernel, ist: int) -> ProbeBody:
    """Delivery through an IST whose pointer lies beyond the TSS limit raises #TS with the TSS's selector."""
    k.tables.gate(VECTOR, ist=ist)
    last = tss_ist_offset(ist) + 7
    k.expect(VECTOR)
    tss_limit(k, last)
    k.int_n(VECTOR)
    k.trigger(tss_limit, k, last - 1)
    k.faults().do(k.int_n, VECTOR)
    tss_limit(k, 0x67)

    run = yield

    assert run.vectors == [VECTOR, 10]
    assert run.interrupts[1].error_code == SEL_TSS


CASES = {
    "busy": (SEL_TSS, 13, SEL_TSS),
    "null": (0, 13, 0),
    "code": (0x08, 13, 0x08),
    "beyond_gdt": (0x138, 13, 0x138),
    "local": (SEL_TSS | 4, 13, SEL_TSS | 4),
    "not_present": (SEL_TSS + 0x10, 11, SEL_TSS + 0x10),
}


@probe.each(case=list(CASES))
@probe(
    spec="SDM vol. 2, LTR—Load Task Register",
    covers=["descriptors.ltr"],
    deviation=Deviation(
        targets="*-tcg*",
        cases="null",
        kind="bug",
        sees=["'0x0' == '0x40'", r"\[\] == \[13\]"],
        ref="descriptors-ltr-null",
    ),
)
def ltr_takes_only_an_available_tss(k: Kernel, case: str) -> ProbeBody:
    """LTR of a busy TSS, of no TSS, of the null selector or beyond the GDT raises #GP; of one not present, #NP."""
    selector, exception, named = CASES[case]
    if case == "not_present":
        k.asm(f"and byte ptr [{GDT + selector + 5:#x}], 0x7F")
    with k.faults(), k.trigger():
        k.asm(f"mov eax, {selector:#x}\nculprit: ltr ax")
    k.asm("str rax")
    task_register = k.value("task_register", "rax")
    tss_limit(k, 0x67)

    run = yield

    assert hex(run[task_register]) == hex(SEL_TSS)
    assert run.vectors == [exception]
    assert run.interrupts[0].error_code == named
    assert run.interrupts[0].rip == run.address("culprit")


@probe(spec="SDM vol. 2, LTR—Load Task Register; vol. 3A, TSS Descriptor in 64-bit mode", covers=["descriptors.ltr"])
def ltr_marks_the_tss_busy(k: Kernel) -> ProbeBody:
    """LTR sets the busy bit of the descriptor that it loads: type 9 becomes 11."""
    at = GDT + SEL_TSS + 0x10
    before = k.peek(at + 5, "type_before", width=8)
    k.trigger(k.asm, f"mov eax, {SEL_TSS + 0x10:#x}\nltr ax")
    after = k.peek(at + 5, "type_after", width=8)
    tss_limit(k, 0x67)

    run = yield

    assert (run[before], run[after]) == (0x89, 0x8B)
