"""IF: which instruction changes it, and at which boundary the pending interrupt comes."""

from harness import Deviation, Kernel, ProbeBody, Rflags, probe

VECTOR = 0x50
ROUNDS = 20_000, 20_000_000  # at most, in virtual and in real time
TICKS = 1777, 177_777  # of the timer: in real time a shorter period may leave no time between interrupts
SHADOW = "SDM vol. 2, STI—Set Interrupt Flag"


def pend(k: Kernel, vector: int = VECTOR) -> None:
    """Raise a request while IF is clear, and let it arrive in IRR."""
    k.cli()
    k.trigger(k.lapic.self_ipi, vector)
    k.delay(us=10)


def start_timer(k: Kernel) -> None:
    """Periodic interrupts, of which one may come between any two instructions."""
    k.asm(f"""
        mov edi, LAPIC_LVT_TIMER
        mov dword ptr [rdi], {VECTOR | 0x20000:#x}
        mov edi, LAPIC_INITIAL_COUNT
        mov dword ptr [rdi], {k.by_clock(*TICKS)}
    """)


@probe(spec="SDM vol. 3A, Masking Maskable Hardware Interrupts", covers=["masking.cli"])
def with_if_clear_a_request_stays_pending(k: Kernel) -> ProbeBody:
    """With IF clear an interrupt waits in the local APIC's IRR, however long; with IF set it comes."""
    pend(k)
    k.checkpoint("pending")
    k.delay(us=500)
    k.mark("sti")
    k.asm("sti\nnop\ncli")

    run = yield

    with run.stopped_at("pending"):
        assert run.lapic.irr == {VECTOR}
        assert run.vectors == []
    assert run.sequence == ["sti", VECTOR]
    assert run.lapic.irr == set()


@probe(spec=SHADOW, covers=["masking.sti-shadow", "masking.once"])
def sti_holds_back_for_one_instruction(k: Kernel) -> ProbeBody:
    """After STI a pending interrupt comes behind the next instruction, not before it, and once."""
    pend(k)
    k.asm("sti\nnext: nop\nbehind_next: nop\nnop\nnop\ncli")

    run = yield

    assert run.fields("vector", "rip") == [(VECTOR, run.address("behind_next"))]


@probe(spec=SHADOW, covers=["masking.sti-shadow"])
def sti_cli_lets_nothing_in(k: Kernel) -> ProbeBody:
    """STI followed by CLI delivers nothing: the shadow covers the CLI; repeated a thousand times too."""
    pend(k)
    k.checkpoint("pending")
    k.asm("mov ecx, 1000\nagain: sti\ncli\ndec ecx\njnz again")
    k.mark("a thousand times")
    k.asm("sti\nnop\ncli")

    run = yield

    with run.stopped_at("pending"):
        assert run.lapic.irr == {VECTOR}
    assert run.sequence == ["a thousand times", VECTOR]


@probe(spec=SHADOW, covers=["masking.sti-shadow"])
def a_second_sti_has_no_shadow_of_its_own(k: Kernel) -> ProbeBody:
    """STI with IF set already delays nothing: after STI STI the interrupt comes behind the second one."""
    pend(k)
    k.asm("sti\nsti\nbehind: nop\nnop\ncli")

    run = yield

    assert run.fields("vector", "rip") == [(VECTOR, run.address("behind"))]


@probe.each(instruction=["popfq", "iretq"])
@probe(
    spec="SDM vol. 3A, Masking Maskable Hardware Interrupts; vol. 2, POPF/POPFD/POPFQ; IRET/IRETD/IRETQ",
    covers=["masking.popf-iret"],
)
def popfq_and_iretq_have_no_shadow(k: Kernel, instruction: str) -> ProbeBody:
    """When POPFQ or IRETQ sets IF, the pending interrupt comes before the next instruction."""
    pend(k)
    if instruction == "popfq":
        k.asm("push 0x202\npopfq\nbehind: nop\ncli")
    else:
        k.asm("""
            mov rax, rsp
            push SEL_DATA
            push rax
            push 0x202
            push SEL_CODE
            lea rax, [rip+behind]
            push rax
            iretq
        behind:
            nop
            cli
        """)

    run = yield

    assert run.fields("vector", "rip") == [(VECTOR, run.address("behind"))]
    assert Rflags(run.interrupts[0].rflags).IF == 1


@probe.each(instruction=["cli", "popfq"])
@probe(
    spec="SDM vol. 3A, Masking Maskable Hardware Interrupts; vol. 2, CLI—Clear Interrupt Flag", covers=["masking.cli"]
)
def clearing_if_works_at_once(k: Kernel, instruction: str) -> ProbeBody:
    """Behind CLI, or a POPFQ that clears IF, no interrupt is taken: not even a timer's that expires right there."""
    k.trigger(start_timer, k)
    k.asm(f"mov ebx, {k.by_clock(*ROUNDS)}")
    off = "cli" if instruction == "cli" else "push 2\npopfq"
    k.asm(f"""
    again:
        sti
        nop
        {off}
    closed:
        nop
        nop
        nop
    closed_end:
        cmp dword ptr [COUNTS+{4 * VECTOR}], 20
        jae enough
        dec ebx
        jnz again
    enough:
        mov edi, LAPIC_LVT_TIMER
        mov dword ptr [rdi], 0x10000
    """)

    run = yield

    symbol = run.built.symbols
    assert run.count(VECTOR) >= 20
    assert [i.where for i in run.interrupts if symbol["closed"] <= i.rip <= symbol["closed_end"] + 4] == []


@probe(spec="SDM vol. 3A, Masking Exceptions and Interrupts When Switching Stacks", covers=["masking.mov-ss"])
def mov_ss_holds_an_interrupt_back(k: Kernel) -> ProbeBody:
    """No interrupt is taken between MOV SS and the next instruction: of many of a timer's, none has that RIP."""
    k.asm(f"mov eax, SEL_DATA\nmov ebx, {k.by_clock(*ROUNDS)}\nsti")
    k.trigger(start_timer, k)
    k.asm(f"""
    again:
        mov ss, eax
    shadowed:
        mov ecx, ecx
    open:
        cmp dword ptr [COUNTS+{4 * VECTOR}], 20
        jae enough
        dec ebx
        jnz again
    enough:
        cli
        mov edi, LAPIC_LVT_TIMER
        mov dword ptr [rdi], 0x10000
    """)

    run = yield

    assert run.count(VECTOR) >= 20
    assert [i.rip for i in run.interrupts if i.rip == run.address("shadowed")] == []


@probe.each(value=range(16))
@probe(
    spec="SDM vol. 3A, Task Priority in IA-32e Mode; Interaction of Task Priorities between CR8 and APIC",
    covers=["masking.cr8"],
)
def cr8_and_tpr_are_one_register(k: Kernel, value: int) -> ProbeBody:
    """MOV to CR8 sets TPR[7:4] and clears TPR[3:0]; a write to TPR shows its bits 7:4 in CR8."""
    k.lapic.TPR.write(0x5F)
    with k.trigger():
        k.cr.CR8.write(TPL=value)
        tpr = k.lapic.TPR.read("tpr_after_cr8")
        k.lapic.TPR.write((15 - value) << 4 | 0xF)
        cr8 = k.cr.CR8.read("cr8_after_tpr")
    k.lapic.TPR.write(0)

    run = yield

    assert (int(run[tpr]), int(run[cr8])) == (value << 4, 15 - value)


@probe.each(value=[16, 1 << 63])
@probe(
    spec="SDM vol. 3A, Task Priority in IA-32e Mode",
    covers=["masking.cr8"],
    deviation=Deviation(
        targets="*-tcg*", kind="unimplemented", sees=["'0x0' == '0x70'", r"\[\] == \[13\]"], ref="masking-cr8-reserved"
    ),
)
def cr8_has_four_bits(k: Kernel, value: int) -> ProbeBody:
    """A MOV to CR8 with a reserved bit set raises #GP(0) and leaves the priority as it was."""
    k.cr.CR8.write(TPL=7)
    with k.faults(13), k.trigger():
        k.asm(f"movabs rax, {value:#x}\nmov cr8, rax")
    tpr = k.lapic.TPR.read("tpr")
    k.lapic.TPR.write(0)

    run = yield

    assert hex(run[tpr]) == "0x70"
    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0


@probe.each(instruction=["cli", "sti", "popfq"], iopl=[0, 2, 3])
@probe(spec="SDM vol. 2, CLI—Clear Interrupt Flag; STI—Set Interrupt Flag; POPF/POPFD/POPFQ", covers=["masking.iopl"])
def ring_3_changes_if_with_iopl_3_only(k: Kernel, instruction: str, iopl: int) -> ProbeBody:
    """At CPL 3 CLI and STI with IOPL < 3 are #GP(0) and POPFQ leaves IF alone; with IOPL 3 all change it."""
    before = Rflags.of(2, IF=int(instruction == "cli"), IOPL=iopl)
    changed = int(instruction != "cli")
    text = {"cli": "cli", "sti": "sti", "popfq": f"push {2 | changed << 9:#x}\npopfq"}[instruction]
    seen = k.buffer("flags_seen", 8)
    with k.handler(VECTOR):  # in ring 0 the frame's RFLAGS are those of ring 3
        k.asm(f"mov rax, qword ptr [rdi+FRAME_RFLAGS]\nmov qword ptr [{seen.name}], rax")
    k.tables.gate(VECTOR, dpl=3)
    k.tables.gate(VECTOR + 1, dpl=3)
    k.handler(VECTOR + 1).do(k.asm, f"mov qword ptr [rdi+FRAME_RFLAGS], {int(before):#x}")
    with k.faults(13, optional=iopl == 3 or instruction == "popfq"), k.ring3():
        k.int_n(VECTOR + 1)
        with k.trigger():
            k.asm(f"culprit: {text}")
            k.int_n(VECTOR)

    run = yield

    if iopl < 3 and instruction != "popfq":
        assert run.vectors == [VECTOR + 1, 13]
        assert run.interrupts[1].error_code == 0
    else:
        assert run.vectors == [VECTOR + 1, VECTOR]
        flags = Rflags(int.from_bytes(run.memory(seen), "little"))
        expected = changed if iopl == 3 else before.IF
        assert bool(flags.IF) is bool(expected)
