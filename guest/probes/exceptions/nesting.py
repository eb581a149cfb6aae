"""Handlers inside handlers, and which event comes first."""

from harness import DeliveryMode, Kernel, ProbeBody, probe

DEPTH = 32
NMI, VECTOR = 2, 0x50
IA32_MCG_STATUS, IA32_MCG_CTL, IA32_S_CET, IA32_PL0_SSP = 0x17A, 0x17B, 0x6A2, 0x6A4


@probe(
    spec="SDM vol. 3A, Exception and Interrupt Handling; Interrupt 6—Invalid Opcode Exception (#UD)",
    covers=["exceptions.nested"],
)
def nested_exceptions_return_in_lifo_order(k: Kernel) -> ProbeBody:
    """32 #UD nested in each other's handlers return last in, first out, each to the instruction behind its own."""
    level, trail = k.value("level", 0), k.buffer("trail", 8 * 2 * DEPTH)
    with k.handler(6):
        # RDI points to the frame; the depth on entry is noted on the way in and again on the way out.
        k.asm(f"""
            push rdi
            mov rbx, qword ptr [{level.name}]
            push rbx
            mov rax, qword ptr [rdi+FRAME_RSP]
            mov qword ptr [{trail.name}+rbx*8], rax
            inc rbx
            mov qword ptr [{level.name}], rbx
            cmp rbx, {DEPTH}
            jae deep_enough
        """)
        k.trigger(k.asm, "ud2")
        k.asm(f"""
        deep_enough:
            pop rbx
            pop rdi
            dec qword ptr [{level.name}]
            mov rax, qword ptr [rdi+FRAME_RSP]
            mov rcx, qword ptr [{level.name}]
            mov qword ptr [{trail.address + 8 * DEPTH:#x}+rcx*8], rax
            add qword ptr [rdi+FRAME_RIP], 2
        """)
    k.asm("mov r12, rsp\nud2")
    after = k.value("rsp_kept")
    k.asm(f"sub r12, rsp\nmov qword ptr [{after.name}], r12")

    run = yield

    assert run.vectors == [6] * DEPTH
    assert [i.depth for i in run.interrupts] == list(range(DEPTH))
    assert run[level] == 0
    assert run[after] == 0
    words = memoryview(run.memory(trail)).cast("Q").tolist()
    assert words[:DEPTH] == [i.rsp for i in run.interrupts]
    assert words[DEPTH:] == words[:DEPTH]


@probe(
    spec="SDM vol. 3A, Priority Among Simultaneous Events (traps before the next instruction's faults)",
    covers=["exceptions.priority-trap-fault"],
)
def a_trap_of_the_last_instruction_comes_before_the_next_ones_fault(k: Kernel) -> ProbeBody:
    """The single-step trap of an instruction comes before the #UD of the next, with that next one's RIP."""
    k.handler(1).do(k.asm, "mov eax, 0xFFFF0FF0\nmov dr6, rax\nand qword ptr [rdi+FRAME_RFLAGS], ~0x100")
    k.handler(6).do(k.asm, "add qword ptr [rdi+FRAME_RIP], 2")
    k.trigger(k.asm, "pushfq\nbts qword ptr [rsp], 8\npopfq")
    k.asm("nop\nculprit: ud2")

    run = yield

    assert run.vectors == [1, 6]
    assert [i.rip for i in run.interrupts] == [run.address("culprit")] * 2


PAGE = 9


@probe.each(fault=["page_fault", "invalid_opcode"])
@probe(
    spec="SDM vol. 3A, Priority Among Simultaneous Events (code breakpoint before faults from fetching and decoding)",
    covers=["exceptions.priority-breakpoint"],
)
def a_code_breakpoint_comes_before_the_fetch(k: Kernel, fault: str) -> ProbeBody:
    """An instruction breakpoint on an address that cannot be fetched or decoded is #DB first, then the fault."""
    other = 14 if fault == "page_fault" else 6
    k.handler(1).do(k.asm, "mov eax, 0xFFFF0FF0\nmov dr6, rax\nbts qword ptr [rdi+FRAME_RFLAGS], 16")
    with k.handler(other):
        k.asm("lea rax, [rip+past]\nmov qword ptr [rdi+FRAME_RIP], rax\nbtr qword ptr [rdi+FRAME_RFLAGS], 16")
    k.asm(f"mov ebx, {k.pages.address(PAGE):#x}\nmov word ptr [rbx], 0x0B0F  # ud2")
    if fault == "page_fault":
        k.pages.entry(PAGE, P=0)
    k.trigger(k.asm, "mov dr0, rbx\nmov eax, 0x402\nmov dr7, rax")
    k.asm("jmp rbx\npast: mov eax, 0x400\nmov dr7, rax")

    run = yield

    assert run.vectors == [1, other]
    assert [i.rip for i in run.interrupts] == [k.pages.address(PAGE)] * 2


@probe.each(repeated=[False, True])
@probe(
    spec="SDM vol. 3A, Priority Among Simultaneous Events (NMI before maskable hardware interrupts)",
    covers=["exceptions.priority-nmi"],
)
def nmi_comes_before_a_maskable_interrupt(k: Kernel, repeated: bool) -> ProbeBody:
    """Of an NMI and an interrupt that become deliverable at the same boundary the NMI is taken first."""
    # Both wait behind an NMI that is being handled: its IRETQ unblocks NMIs and sets IF at once.
    rounds = k.value("rounds", 0)
    with k.handler(NMI):
        k.asm(f"inc qword ptr [{rounds.name}]\ntest qword ptr [{rounds.name}], 1\njz second\npush rdi")
        k.lapic.self_ipi(VECTOR)
        k.delay(us=5)
        k.trigger(k.lapic.send, destination=0, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1)
        k.delay(us=5)
        k.asm("pop rdi\nbts qword ptr [rdi+FRAME_RFLAGS], 9\nsecond:")
    count = 20 if repeated else 1
    k.asm(f"mov ebx, {count}\nagain:")
    k.lapic.send(destination=0, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1)
    k.delay(us=20)
    k.asm("cli\ndec ebx\njnz again")

    run = yield

    assert run.vectors == [NMI, NMI, VECTOR] * count
    # Both have interrupted the program: one that interrupts the other's stub came second, and is recorded first.
    for _, second, interrupt in zip(*[iter(run.interrupts)] * 3, strict=True):
        assert (second.rip, second.depth) == (interrupt.rip, interrupt.depth)


@probe(
    spec="SDM vol. 3A, Priority Among Simultaneous Events (faults on executing an instruction)",
    covers=["exceptions.priority-decode"],
)
def privilege_is_checked_before_the_operand_is_accessed(k: Kernel) -> ProbeBody:
    """A privileged instruction at CPL 3 whose operand is not mapped raises #GP, not #PF."""
    with k.faults(), k.ring3(), k.trigger():
        k.asm("movabs rax, 0x4000000000\nlidt [rax]")

    run = yield

    assert run.fields("vector", "error_code") == [(13, 0)]


@probe(
    spec="SDM vol. 3A, Interrupt 18—Machine-Check Exception (#MC); Machine-Check Architecture", covers=["exceptions.mc"]
)
def a_machine_check_arrives_on_vector_18(k: Kernel) -> ProbeBody:
    """With CR4.MCE set an uncorrected error raises #MC on vector 18, without an error code, and MCIP is set."""
    if k.accelerator != "tcg":
        k.unsupported("the monitor's `mce` command reaches the guest under TCG only")
    k.cr.CR4.update(MCE=1)
    k.wrmsr(IA32_MCG_CTL, (1 << 64) - 1)
    with k.handler(18):
        status = k.rdmsr(IA32_MCG_STATUS, "mcg_status")
        k.wrmsr(IA32_MCG_STATUS, 0)
    k.checkpoint("armed")
    k.delay(us=100)

    run = yield

    with run.stopped_at("armed"):
        run.trigger(run.hmp, "mce 0 1 0xb200000000000000 0x5 0 0")
    assert run.fields("vector", "error_code") == [(18, None)]
    assert run[status] & 4 == 4


@probe(
    spec="SDM vol. 3A, Interrupt 18—Machine-Check Exception (#MC) (CR4.MCE = 0: shutdown)",
    covers=["exceptions.mc-shutdown"],
)
def a_machine_check_without_mce_is_shutdown(k: Kernel) -> ProbeBody:
    """With CR4.MCE clear a machine check puts the processor into shutdown, which the board turns into a reset."""
    if k.accelerator != "tcg":
        k.unsupported("the monitor's `mce` command reaches the guest under TCG only")
    k.expect(18)
    k.wrmsr(IA32_MCG_CTL, (1 << 64) - 1)
    k.checkpoint("armed")
    k.delay(us=100)

    run = yield

    with run.stopped_at("armed"):
        run.hold_reset()
        run.trigger(run.hmp, "mce 0 1 0xb200000000000000 0x5 0 0")
    reasons = [event["data"]["reason"] for event in run.machine.events if event["event"] == "SHUTDOWN"]
    assert reasons == ["guest-reset"]
    assert run.vectors == []


@probe(
    spec="SDM vol. 1, Control-flow Enforcement Technology; vol. 3A, Interrupt 21—Control Protection Exception (#CP)",
    covers=["exceptions.cp"],
)
def a_corrupted_return_address_is_cp(k: Kernel) -> ProbeBody:
    """With supervisor shadow stacks on, a RET whose address differs from the shadow stack's raises #CP(NEAR-RET)."""
    k.require_cpuid(7, "ecx", 7, "CET_SS")
    k.pages.entry(PAGE, RW=0, D=1, US=0)
    with k.faults(21):
        k.wrmsr(IA32_PL0_SSP, k.pages.address(PAGE) + 0xFF8)
        k.wrmsr(IA32_S_CET, 1)
        k.asm("mov rax, cr4\nbts rax, 23\nmov cr4, rax\ncall callee\ncallee:")
        k.trigger(k.asm, "add qword ptr [rsp], 1")
        k.asm("culprit: ret")
    k.asm("mov rax, cr4\nbtr rax, 23\nmov cr4, rax")

    run = yield

    assert run.fields("vector", "error_code") == [(21, 1)]
