"""What delivery through a good gate does: flags, frame, alignment, offset."""

from harness import HIGH_ALIAS, IDT, Deviation, Kernel, ProbeBody, Rflags, SystemType, probe

VECTOR = 0x50


@probe.each(gate=[SystemType.INTERRUPT_GATE, SystemType.TRAP_GATE], interrupts=[True, False])
@probe(
    spec="SDM vol. 3A, Flag Usage By Exception- or Interrupt-Handler Procedure",
    covers=["descriptors.interrupt-trap-gate"],
)
def an_interrupt_gate_clears_if_a_trap_gate_does_not(k: Kernel, gate: SystemType, interrupts: bool) -> ProbeBody:
    """Entry through an interrupt gate clears IF, through a trap gate leaves it; the frame holds IF as it was."""
    inside, after = k.values("flags_inside", "flags_after")
    k.handler(VECTOR).do(k.asm, f"mov rax, qword ptr [rdi+FRAME_RFLAGS]\nmov qword ptr [{after.name}], rax")
    # The recording stub does not save the flags: the first instruction behind the gate stores them.
    k.asm(f"""
        jmp past
    entry:
        pushfq
        pop qword ptr [{inside.name}]
        jmp stub_{VECTOR:02x}
    past:
    """)
    k.tables.gate(VECTOR, type=int(gate))
    k.tables.gate_offset(VECTOR, "entry")
    k.asm("sti\nnop" if interrupts else "cli")
    k.trigger(k.int_n, VECTOR)
    k.cli()

    run = yield

    assert run.vectors == [VECTOR]
    assert bool(Rflags(run[inside]).IF) is (interrupts and gate is SystemType.TRAP_GATE)
    assert bool(Rflags(run[after]).IF) is interrupts


FLAGS = {"TF": 0, "NT": 0, "RF": 0, "AC": 1, "ID": 1, "DF": 1, "OF": 1, "CF": 1}


@probe.each(gate=[SystemType.INTERRUPT_GATE, SystemType.TRAP_GATE], flag=list(FLAGS))
@probe(
    spec="SDM vol. 3A, Flag Usage By Exception- or Interrupt-Handler Procedure; vol. 2, INT n (operation)",
    covers=["descriptors.flags-on-entry", "descriptors.iretq-restores"],
)
def entry_clears_tf_nt_rf_and_nothing_else(k: Kernel, gate: SystemType, flag: str) -> ProbeBody:
    """Entry clears TF, NT and RF and leaves the other flags; the frame keeps them and IRETQ brings them back."""
    inside, pushed, back = k.values("flags_inside", "flags_pushed", "flags_back")
    k.tables.gate(VECTOR, type=int(gate))
    k.tables.gate_offset(VECTOR, "entry")
    bit = int(Rflags.of(**{flag: 1}))
    # A pending single step comes after the INT that follows POPFQ, and is lost: entry clears TF (table "Priority").
    # RF and TF get in by IRETQ, which loads all of RFLAGS; the INT is its first instruction.
    k.asm(f"""
        mov rax, rsp
        push SEL_DATA
        push rax
        push {bit | 2:#x}
        push SEL_CODE
        lea rax, [rip+with_flag]
        push rax
        jmp go
    entry:
        pushfq
        pop qword ptr [{inside.name}]
        mov rax, qword ptr [rsp+16]
        mov qword ptr [{pushed.name}], rax
        and qword ptr [rsp+16], ~0x100
        iretq
    go:
    """)
    k.asm("iretq\nwith_flag:")
    k.trigger(k.int_n, VECTOR)
    k.asm(f"pushfq\npop qword ptr [{back.name}]\npush 2\npopfq")

    run = yield

    assert Rflags(run[inside]) & bit == bit * FLAGS[flag]
    if flag != "RF":  # INT n completes, so RF is clear again when RFLAGS is pushed
        assert Rflags(run[pushed]) & bit == bit
    if flag in ("NT", "AC", "ID", "DF", "OF", "CF"):
        assert Rflags(run[back]) & bit == bit


@probe.each(rsp_offset=[0, 1, 7, 8, 9, 15])
@probe(spec="SDM vol. 3A, 64-Bit Mode Stack Frame", covers=["descriptors.frame", "descriptors.alignment"])
def the_frame_is_aligned_and_complete(k: Kernel, rsp_offset: int) -> ProbeBody:
    """Delivery aligns RSP to 16 first, then pushes SS, RSP, RFLAGS, CS, RIP, each as 8 bytes, within ring 0 too."""
    frame = k.buffer("frame", 48)
    old, new = k.values("rsp_before", "rsp_inside")
    k.tables.gate_offset(VECTOR, "entry")
    k.asm(f"""
        jmp past
    entry:
        mov qword ptr [{new.name}], rsp
        mov rsi, rsp
        mov edi, {frame.name}
        mov ecx, 6
        rep movsq
        iretq
    past:
        mov rbx, rsp
        and rsp, -16
        sub rsp, {16 + rsp_offset}
        mov qword ptr [{old.name}], rsp
    """)
    k.trigger(k.int_n, VECTOR)
    k.asm("after: mov rsp, rbx")

    run = yield

    words = memoryview(run.memory(frame)).cast("Q")
    before = run[old]
    assert run[new] == (before & ~15) - 40
    assert (words[0], words[1]) == (run.address("after"), 0x08)
    assert words[2] & 0x202 == 0x002
    assert (words[3], words[4]) == (before, 0x10)


@probe.each(rsp_offset=[0, 8, 15])
@probe(spec="SDM vol. 3A, 64-Bit Mode Stack Frame; Error Code", covers=["descriptors.frame", "descriptors.alignment"])
def the_error_code_is_pushed_last(k: Kernel, rsp_offset: int) -> ProbeBody:
    """An exception's error code is pushed as 8 bytes below RIP: 48 bytes below the aligned RSP."""
    frame = k.buffer("frame", 48)
    new, old = k.values("rsp_inside", "rsp_before")
    k.tables.gate_offset(13, "entry")
    k.asm(f"""
        jmp past
    entry:
        mov qword ptr [{new.name}], rsp
        mov rsi, rsp
        mov edi, {frame.name}
        mov ecx, 6
        rep movsq
        lea rax, [rip+after]
        mov qword ptr [rsp+8], rax
        add rsp, 8
        iretq
    past:
        mov rbx, rsp
        and rsp, -16
        sub rsp, {16 + rsp_offset}
        mov qword ptr [{old.name}], rsp
        mov eax, 0xFFF8
    """)
    k.trigger(k.asm, "culprit: mov ds, eax")
    k.asm("after: mov rsp, rbx")

    run = yield

    words = memoryview(run.memory(frame)).cast("Q")
    assert run[new] == (run[old] & ~15) - 48
    assert (words[0], words[1], words[2]) == (0xFFF8, run.address("culprit"), 0x08)
    assert (words[4], words[5]) == (run[old], 0x10)


@probe(spec="SDM vol. 3A, 64-Bit Mode IDT", covers=["descriptors.offset"])
def a_handler_above_4_gib_is_reached(k: Kernel) -> ProbeBody:
    """All 64 bits of the gate's offset count: a handler in the upper canonical half runs there."""
    rip = k.value("rip_inside")
    k.asm(f"""
        jmp past
    entry:
        lea rax, [rip+entry]
        mov qword ptr [{rip.name}], rax
        iretq
    past:
    """)
    k.tables.gate_offset(VECTOR, "entry", high=HIGH_ALIAS)
    k.trigger(k.int_n, VECTOR)

    run = yield

    assert run[rip] == HIGH_ALIAS + run.address("entry")


# Bits of the offset, from each of its three fields, the first and last ones included.
@probe.each(bit=[0, 1, 15, 16, 17, 31, 32, 46])
@probe(spec="SDM vol. 3A, 64-Bit Mode IDT", covers=["descriptors.offset"])
def each_field_of_the_offset_matters(k: Kernel, bit: int) -> ProbeBody:
    """Flipping one bit of a gate's offset moves the handler by exactly that bit: the first fetch is there."""
    # The handler's address is one whose flipped bit lands in a page that is not present, so the fetch shows where.
    byte, mask = bit // 8, 1 << bit % 8
    at = IDT + 16 * VECTOR + {0: 0, 1: 1, 2: 6, 3: 7, 4: 8, 5: 9}[byte]
    target = 0x0000_5555_5540_0000
    k.asm(f"""
        movabs rax, {target:#x}
        mov word ptr [{IDT + 16 * VECTOR:#x}], ax
        shr rax, 16
        mov word ptr [{IDT + 16 * VECTOR + 6:#x}], ax
        shr rax, 16
        mov dword ptr [{IDT + 16 * VECTOR + 8:#x}], eax
    """)
    k.trigger(k.asm, f"xor byte ptr [{at:#x}], {mask:#x}")
    k.faults(14).do(k.int_n, VECTOR)

    run = yield

    assert run.fields("vector", "rip", "cr2") == [(14, target ^ 1 << bit, target ^ 1 << bit)]


@probe(
    spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure (64-bit mode exceptions)",
    covers=["descriptors.offset"],
    deviation=Deviation(
        targets="*-tcg*",
        kind="unimplemented",
        sees=r"'0x80000010\w{4}' == 'culprit'",
        ref="descriptors-non-canonical-handler",
    ),
)
def a_non_canonical_handler_is_refused(k: Kernel) -> ProbeBody:
    """A gate whose offset is not canonical cannot be entered: #GP, and the interrupted RIP stays in the frame."""
    k.trigger(k.asm, f"mov dword ptr [{IDT + 16 * VECTOR + 8:#x}], 0x8000")
    k.expect(VECTOR)
    k.faults(13).do(k.asm, f"culprit: int {VECTOR:#x}")

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0
    assert run.interrupts[0].where.split()[0] == "culprit"


@probe(
    spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure; vol. 3A, Software-Generated Interrupts",
    covers=["descriptors.int-n-256"],
)
def int_n_reaches_each_of_the_256_gates(k: Kernel) -> ProbeBody:
    """INT n arrives at gate n for every n from 0 to 255, with the RIP behind it and never an error code."""
    k.expect(*range(256))
    with k.trigger():
        for vector in range(256):
            k.asm(f".byte 0xCD, {vector:#x}\nbehind_{vector}:")

    run = yield

    assert run.vectors == list(range(256))
    assert [i.error_code for i in run.interrupts] == [None] * 256
    assert [i.rip for i in run.interrupts] == [run.address(f"behind_{v}") for v in range(256)]
