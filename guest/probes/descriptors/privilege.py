"""The gate's DPL: who may call it."""

from harness import USER_ALIAS, Deviation, Kernel, ProbeBody, SelectorErrorCode, probe

from .gates import TIMES_16, code

VECTOR = 0x50
HANDLERS = "SDM vol. 3A, Protection of Exception- and Interrupt-Handler Procedures"


@probe.each(dpl=[0, 1, 2])
@probe(spec=HANDLERS, covers=["descriptors.dpl"], deviation=TIMES_16)
def int_n_in_ring_3_needs_dpl_3(k: Kernel, dpl: int) -> ProbeBody:
    """INT n at CPL 3 through a gate with DPL < 3 raises #GP(n*8+2) at the INT; with DPL 3 it is delivered."""
    k.tables.gate(VECTOR, dpl=3)
    k.ring3().do(k.int_n, VECTOR)
    k.trigger(k.tables.gate, VECTOR, dpl=dpl)
    with k.faults(13), k.ring3():
        k.asm(f"culprit: int {VECTOR:#x}")

    run = yield

    assert run.vectors == [VECTOR, 13]
    assert run.interrupts[1].rip == USER_ALIAS + run.address("culprit")
    assert code(run, 1) == hex(SelectorErrorCode.gate(VECTOR))


@probe(
    spec=HANDLERS,
    covers=["descriptors.dpl-int3"],
    deviation=Deviation(
        targets="*-tcg*", versions="<8", kind="bug", sees="'0x32' == '0x1a'", ref="descriptors-idt-error-code"
    ),
)
def int3_checks_the_dpl(k: Kernel) -> ProbeBody:
    """INT3 at CPL 3 through a gate with DPL 0 raises #GP(3*8+2), with EXT clear; with DPL 3 it is #BP."""
    k.expect(3)
    k.tables.gate(3, dpl=3)
    k.ring3().do(k.asm, "int3")
    k.trigger(k.tables.gate, 3, dpl=0)
    with k.faults(13), k.ring3():
        k.asm("culprit: int3")

    run = yield

    assert run.vectors == [3, 13]
    assert run.interrupts[1].rip == USER_ALIAS + run.address("culprit")
    assert code(run, 1) == hex(SelectorErrorCode.gate(3))


@probe(spec=HANDLERS, covers=["descriptors.dpl-ignored"])
def a_hardware_interrupt_ignores_the_dpl(k: Kernel) -> ProbeBody:
    """An interrupt from the local APIC that comes at CPL 3 is delivered through a gate with DPL 0."""
    k.tables.gate(VECTOR, dpl=0)
    with k.ring3(interrupts=True):
        k.trigger(k.asm, f"movabs rdi, USER_ALIAS+LAPIC_ICR_LOW\nmov dword ptr [rdi], {0x44000 | VECTOR:#x}")
        k.asm("mov ecx, 200\nspin: dec ecx\njnz spin")

    run = yield

    assert run.fields("vector", "cs") == [(VECTOR, 0x3B)]


@probe.each(instruction=["ud2", "icebp", "div"])
@probe(
    spec=f"{HANDLERS}; vol. 2, INT1",
    covers=["descriptors.dpl-ignored"],
    deviation=Deviation(
        targets="*-tcg*", cases="icebp", versions="<9.1", kind="bug", sees=r"\[6\] == \[1\]", ref="exceptions-icebp"
    ),
)
def an_exception_ignores_the_dpl(k: Kernel, instruction: str) -> ProbeBody:
    """An exception that an instruction at CPL 3 raises is delivered through a gate with DPL 0; INT1 counts as one."""
    vector = {"ud2": 6, "icebp": 1, "div": 0}[instruction]
    text = {"ud2": "ud2", "icebp": ".byte 0xF1", "div": "xor ecx, ecx\ndiv ecx"}[instruction]
    k.tables.gate(vector, dpl=0)
    with k.faults(), k.ring3(), k.trigger():
        k.asm(text)

    run = yield

    assert run.vectors == [vector]
    assert run.interrupts[0].cs == 0x3B


@probe(
    spec=f"{HANDLERS}; vol. 2, INTO",
    covers=["descriptors.dpl-into"],
    deviation=Deviation(
        targets="*-tcg*", versions="<8", kind="bug", sees="'0x42' == '0x22'", ref="descriptors-idt-error-code"
    ),
)
def into_checks_the_dpl(k: Kernel) -> ProbeBody:
    """INTO with OF set at CPL 3, in compatibility mode, through a gate with DPL 0 raises #GP(4*8+2)."""
    # 32-bit code cannot reach the user alias: open the lower half to ring 3.
    k.asm("or byte ptr [PAGE_TABLES], 4\nmov rax, cr3\nmov cr3, rax")
    k.tables.gate(4, dpl=0)
    with k.faults():
        k.asm("""
            mov rcx, rsp
            push 0x33
            push rcx
            push 2
            push SEL_USER_CODE32+3
            lea rax, [rip+ring3_32]
            push rax
            iretq
        .code32
        ring3_32:
            mov al, 0x7F
            add al, 1
        culprit:
        """)
        k.trigger(k.asm, ".code32\ninto")
        k.asm(".code32\nud2\n.code64")

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].rip == run.address("culprit")
    assert run.interrupts[0].cs & 3 == 3
    assert code(run) == hex(SelectorErrorCode.gate(4))
