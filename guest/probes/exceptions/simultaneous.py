"""Two events that wait at one instruction boundary: which is taken first.

The order is judged by the saved frames and by what a handler finds, not by the order of the records alone: the second
event can arrive inside the first one's stub, before that has recorded.
"""

from harness import DeliveryMode, Deviation, Kernel, ProbeBody, probe

DB, NMI, UD, VECTOR = 1, 2, 6, 0x50
EVENTS = {"nmi": NMI, "interrupt": VECTOR}
COMMANDS = {"nmi": 0x4400, "interrupt": 0x40000 | VECTOR}  # of the ICR: to processor 0, or to self
PRIORITY = "SDM vol. 3A, Priority Among Simultaneous Events"
SMM = "SDM vol. 3C, SMI Handling Synchronous and Asynchronous; Exceptions and Interrupts Within System Management Mode"

# At SMBASE + 8000h after INIT or reset: 16-bit code that reaches 4 GiB. It counts its entries and the RSMs.
SMBASE = 0x30000
ENTERED, LEFT, GATE = SMBASE + 0x100, SMBASE + 0x104, SMBASE + 0x108


def install_smm(k: Kernel, body: str) -> None:
    """Put code at the entry point of system management mode. `body`: 16-bit code between the two counts."""
    k.asm(f"""
        jmp over
    smm_code:
    .code16
        inc dword ptr cs:[{ENTERED - SMBASE:#x}]
        {body}
        inc dword ptr cs:[{LEFT - SMBASE:#x}]
        rsm
    smm_end:
    .code64
    over:
        lea rsi, [rip+smm_code]
        mov edi, {SMBASE + 0x8000:#x}
        mov ecx, smm_end-smm_code
        rep movsb
        mov edi, {ENTERED:#x}
        xor eax, eax
        mov ecx, 12
        rep stosb
    """)


@probe.each(event=["nmi", "interrupt"])
@probe(
    spec=f"{PRIORITY} (traps on the previous instruction before NMI and maskable interrupts)",
    covers=["exceptions.priority-trap"],
)
def a_single_step_trap_comes_first(k: Kernel, event: str) -> ProbeBody:
    """Single step over a write that causes an NMI or an interrupt: the #DB is taken at that boundary."""
    k.handler(DB).do(k.asm, "mov eax, 0xFFFF0FF0\nmov dr6, rax\nand qword ptr [rdi+FRAME_RFLAGS], ~0x100")
    k.expect(EVENTS[event])
    k.sti()
    k.asm("mov ebx, 0xFEE00300\npushfq\nbts qword ptr [rsp], 8")
    k.trigger(k.asm, f"popfq\nmov dword ptr [rbx], {COMMANDS[event]:#x}\nafter: nop")
    k.delay(us=50)
    k.cli()

    run = yield

    assert sorted(run.vectors) == sorted([DB, EVENTS[event]])
    trap, other = sorted(run.interrupts, key=lambda record: record.vector != DB)
    assert trap.rip == run.address("after")
    assert other.seq > trap.seq or other.rip != run.address("after"), "it was taken before the trap"


@probe.each(event=["nmi", "interrupt"])
@probe(
    spec=f"{PRIORITY} (NMI and maskable interrupts before code breakpoints)",
    covers=["exceptions.priority-breakpoint"],
    deviation=Deviation(
        targets="*-tcg*",
        versions=">=9.1",
        kind="bug",
        sees=["1 did not come", r"\[\d+\] == \[\d+, \d+\]"],
        ref="exceptions-rf-interrupt",
    ),
)
def an_interrupt_comes_before_a_code_breakpoint(k: Kernel, event: str) -> ProbeBody:
    """An event and a breakpoint on the next instruction wait at the end of an NMI's IRETQ: the event is first."""
    k.handler(DB).do(k.asm, "mov eax, 0xFFFF0FF0\nmov dr6, rax\nbts qword ptr [rdi+FRAME_RFLAGS], 16")
    if event != "nmi":
        k.expect(EVENTS[event])
    with k.handler(NMI), k.first_time():
        k.asm("push rdi")
        k.trigger(k.asm, f"mov eax, 0xFEE00300\nmov dword ptr [rax], {COMMANDS[event]:#x}")
        k.delay(us=5)
        k.asm("""
            pop rdi
            bts qword ptr [rdi+FRAME_RFLAGS], 9
            lea rax, [rip+next]
            mov qword ptr [rdi+FRAME_RIP], rax
            mov dr0, rax
            mov eax, 0x402
            mov dr7, rax
        """)
    k.lapic.send(destination=0, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1)
    k.delay(us=50)
    k.asm("next: mov eax, 0x400\nmov dr7, rax\ncli")

    run = yield

    place = run.address("next")
    assert run.vectors == [NMI, EVENTS[event], DB]
    assert [record.rip for record in run.interrupts[1:]] == [place, place]


@probe.each(shadow=[False, True])
@probe(
    spec=f"{PRIORITY} (maskable interrupts before faults on the next instruction); STI—Set Interrupt Flag",
    covers=["exceptions.priority-interrupt-fault"],
)
def an_interrupt_comes_before_the_next_instructions_fault(k: Kernel, shadow: bool) -> ProbeBody:
    """A pending interrupt is taken before the #UD of the next instruction; in STI's shadow the #UD is first."""
    k.handler(UD).do(k.asm, "add qword ptr [rdi+FRAME_RIP], 2")
    k.expect(VECTOR)
    k.cli()
    k.trigger(k.lapic.self_ipi, VECTOR)
    k.delay(us=5)
    k.asm("sti\nculprit: ud2\ncli" if shadow else "sti\nnop\nculprit: ud2\ncli")

    run = yield

    culprit = run.address("culprit")
    assert run.fields("vector", "rip") == (
        [(UD, culprit), (VECTOR, culprit + 2)] if shadow else [(VECTOR, culprit), (UD, culprit)]
    )


@probe.each(event=["nmi", "interrupt"])
@probe(spec=f"{PRIORITY} (SMI before NMI and maskable interrupts); {SMM}", covers=["exceptions.priority-smi"])
def an_smi_comes_before_other_interrupts(k: Kernel, event: str) -> ProbeBody:
    """An SMI and another event wait for the end of SMM: the second SMI is taken before the event."""
    install_smm(
        k,
        f"""
        cmp dword ptr cs:[{ENTERED - SMBASE:#x}], 1
        jne done
        mov edi, 0xFEE00300
        mov dword ptr [edi], {COMMANDS[event]:#x}
        mov dword ptr [edi], 0x4200
    done:
    """,
    )
    entered = k.value("entered")
    k.handler(EVENTS[event]).do(k.asm, f"mov eax, dword ptr [{ENTERED:#x}]\nmov qword ptr [{entered.name}], rax")
    k.sti()
    k.trigger(k.lapic.send, destination=0, DELIVERY_MODE=DeliveryMode.SMI, LEVEL=1)
    k.delay(us=100)
    k.cli()
    left = k.peek(LEFT, "left", width=32)

    run = yield

    assert run.vectors == [EVENTS[event]]
    assert run[entered] == 2, "the second SMI was not taken before it"
    assert run[left] == 2


@probe(
    spec=f"AMD APM vol. 2, Exceptions and Interrupts in SMM (INIT); {SMM}",
    cpus=2,
    covers=["exceptions.smm-init"],
    deviation=Deviation(
        targets="*-tcg*", versions="*", kind="unimplemented", sees="ended the SMI handler", ref="exceptions-smm-init"
    ),
)
def an_init_waits_for_the_end_of_smm(k: Kernel) -> ProbeBody:
    """An INIT that reaches a processor in SMM is held until its RSM: the SMI handler runs to its end."""
    install_smm(
        k,
        f"""
    wait_for_gate:
        pause
        cmp byte ptr cs:[{GATE - SMBASE:#x}], 0
        je wait_for_gate
    """,
    )
    k.smp.start()
    k.lapic.send(destination=1, DELIVERY_MODE=DeliveryMode.SMI, LEVEL=1)
    k.delay(us=100)
    entered = k.peek(ENTERED, "entered", width=32)
    k.trigger(k.lapic.send, destination=1, DELIVERY_MODE=DeliveryMode.INIT, LEVEL=1)
    k.delay(us=100)
    early = k.peek(LEFT, "early", width=32)
    k.poke(GATE, 1, width=8)
    k.delay(us=100)
    left = k.peek(LEFT, "left", width=32)

    run = yield

    assert (run[entered], run[early]) == (1, 0)
    assert run[left] == 1, "the INIT ended the SMI handler"
