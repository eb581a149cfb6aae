"""What kernels do with IPIs: reschedule, function call, TLB shootdown; and interrupts spread over processors."""

from harness import PAGE_TABLES, PAGE_WINDOW, Kernel, ProbeBody, probe

VECTOR = 0x73
CPUS = 4
ISSUING = "SDM vol. 3A, Issuing Interprocessor Interrupts"
SHOOTDOWN = "SDM vol. 3A, Propagation of Paging-Structure Changes to Multiple Processors"

PAGE, OTHER = PAGE_WINDOW + 0x5000, PAGE_WINDOW + 0x9000  # virtual page under test, and the frame it moves to
PTE = PAGE_TABLES + 0x6000 + 8 * 5


@probe(spec=f"{ISSUING}; SDM vol. 2A, HLT—Halt", cpus=2, covers=["smp.reschedule"])
def reschedule_wakes_an_idle_processor(k: Kernel) -> ProbeBody:
    """Work that is queued before the IPI is seen by the processor that the IPI wakes from HLT; nothing is lost."""
    queue, done, rounds = k.value("queue"), k.value("done"), 20
    k.store(queue, 0)
    k.store(done, 0)
    k.smp.start()
    with k.smp.on(1):
        k.asm(
            f"""
            .Lidle:
                cli
                mov rax, qword ptr [done]
                cmp rax, qword ptr [queue]
                jne .Lwork
                sti                     # its shadow covers the HLT: no wake-up slips in between
                hlt
                jmp .Lidle
            .Lwork:
                inc qword ptr [done]
                cmp qword ptr [done], {rounds}
                jb .Lidle
            """
        )
    for number in range(1, rounds + 1):
        k.count(queue)
        k.trigger(k.lapic.send, destination=1, VECTOR=VECTOR, LEVEL=1)
        k.wait_until(done, number)
    k.smp.join(1)

    run = yield

    assert run[done] == rounds
    assert run.count(VECTOR, cpu=0) == 0
    assert rounds - 1 <= run.count(VECTOR, cpu=1) <= rounds, "the last may come when the routine has ended already"


@probe(spec=ISSUING, cpus=CPUS, covers=["smp.function-call"])
def function_call_runs_there_and_the_caller_waits(k: Kernel) -> ProbeBody:
    """A function-call IPI runs on every other processor before the caller goes on: it sees all of their results."""
    left, results = k.value("left"), [k.value(f"result_{cpu}") for cpu in range(CPUS)]
    k.store(left, CPUS - 1)
    with k.handler(VECTOR):
        k.asm(
            """
                mov edi, LAPIC_ID
                mov eax, dword ptr [rdi]
                shr eax, 24
                lea ecx, [rax+100]
                mov qword ptr [result_0+rax*8], rcx
                lock dec qword ptr [left]
            """
        )
    k.smp.listen()
    k.trigger(k.lapic.send, VECTOR=VECTOR, LEVEL=1, DESTINATION_SHORTHAND=3)
    k.wait_until(left, 0)
    k.mark("returned")
    k.smp.hush()

    run = yield

    assert run.sequence == [VECTOR] * (CPUS - 1) + ["returned"]
    assert [run[value] for value in results[1:]] == [101, 102, 103]
    assert not run.written(results[0])
    assert sorted(interrupt.cpu for interrupt in run.interrupts) == [1, 2, 3]


@probe(spec=SHOOTDOWN, cpus=CPUS, covers=["smp.shootdown"])
def tlb_shootdown(k: Kernel) -> ProbeBody:
    """After INVLPG by IPI has been acknowledged by every processor, none of them uses the old translation any more."""
    acknowledged, warm, go = k.value("acknowledged"), k.value("warm"), k.value("go")
    before = [k.value(f"before_{cpu}") for cpu in range(CPUS)]
    after = [k.value(f"after_{cpu}") for cpu in range(CPUS)]
    for value in (acknowledged, warm, go):
        k.store(value, 0)
    k.asm(f"mov qword ptr [{PAGE:#x}], 0x11\nmov qword ptr [{OTHER:#x}], 0x22")
    with k.handler(VECTOR):
        k.trigger(k.asm, f"invlpg [{PAGE:#x}]")
        k.count(acknowledged)
    k.smp.start()
    for cpu in range(1, CPUS):
        with k.smp.on(cpu):
            k.asm(f"mov rax, qword ptr [{PAGE:#x}]\nmov qword ptr [before_{cpu}], rax")
            k.count(warm)
            k.sti()
            k.wait_until(go, 1)
            k.cli()
            k.asm(f"mov rax, qword ptr [{PAGE:#x}]\nmov qword ptr [after_{cpu}], rax")
    k.wait_until(warm, CPUS - 1)
    k.asm(f"mov rax, qword ptr [{PAGE:#x}]\nmov qword ptr [before_0], rax")
    k.asm(f"mov qword ptr [{PTE:#x}], {OTHER + 3:#x}\ninvlpg [{PAGE:#x}]")
    k.lapic.send(VECTOR=VECTOR, LEVEL=1, DESTINATION_SHORTHAND=3)
    k.wait_until(acknowledged, CPUS - 1)
    k.store(go, 1)
    k.asm(f"mov rax, qword ptr [{PAGE:#x}]\nmov qword ptr [after_0], rax")
    for cpu in range(1, CPUS):
        k.smp.join(cpu)

    run = yield

    assert [run[value] for value in before] == [0x11] * CPUS
    assert [run[value] for value in after] == [0x22] * CPUS, "a processor still used the old translation"
    assert sorted(interrupt.cpu for interrupt in run.interrupts) == [1, 2, 3]


@probe(
    spec="SDM vol. 3A, Message Address Register Format: Destination ID",
    cpus=CPUS,
    needs=["hpet-fsb"],
    covers=["smp.spread-msi"],
)
def message_addresses_spread_interrupts(k: Kernel) -> ProbeBody:
    """The destination ID in a message's address chooses the processor: four HPET messages go to four processors."""
    k.smp.listen()
    k.sti()
    timer = k.hpet.TIMER[0]
    for cpu in range(CPUS):
        k.hpet.CONFIG.write(ENABLE=0)
        k.hpet.MAIN_COUNTER.write(0)
        timer.FSB_ROUTE.write(ADDRESS=0xFEE0_0000 | cpu << 12, VALUE=VECTOR + cpu)
        timer.CONFIG.write(INT_ENABLE=1, FSB_ENABLE=1)
        timer.COMPARATOR.write(10_000)
        k.trigger(k.hpet.CONFIG.write, ENABLE=1)
        k.wait_for(VECTOR + cpu)
    k.stay_quiet()
    k.smp.hush()

    run = yield

    assert [(interrupt.cpu, interrupt.vector) for interrupt in run.interrupts] == [
        (cpu, VECTOR + cpu) for cpu in range(CPUS)
    ]


@probe(
    spec="82093AA, I/O Redirection Table Registers: Destination Field",
    cpus=CPUS,
    needs=["pc-testdev"],
    covers=["smp.spread-ioapic"],
)
def io_apic_destinations_spread_interrupts(k: Kernel) -> ProbeBody:
    """Four lines to four processors, raised together: each processor takes its own."""
    lines = (3, 5, 6, 7)
    k.smp.listen()
    k.sti()
    for cpu, line in enumerate(lines):
        k.ioapic.redirect(pin=line, vector=VECTOR, DESTINATION=cpu)
    with k.trigger():
        for line in lines:
            k.lines.pulse(line)
    k.wait_for(VECTOR, CPUS, quiet_ms=1)
    k.smp.hush()

    run = yield

    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [1] * CPUS
