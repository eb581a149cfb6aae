"""What kernels do with IPIs: reschedule, function call, TLB shootdown; and interrupts spread over processors."""

from harness import PAGE_TABLES, PAGE_WINDOW, Kernel, ProbeBody, probe

VECTOR = 0x73
CPUS = 4
ISSUING = "SDM vol. 3A, Issuing Interprocessor Interrupts"
MESSAGE = "SDM vol. 3A, Message Address Register Format: Destination ID"
DESTINATION = "82093AA, I/O Redirection Table Registers: Destination Field"
SHOOTDOWN = "SDM vol. 3A, Propagation of Paging-Structure Changes to Multiple Processors"

PAGE, OTHER = PAGE_WINDOW + 0x5000, PAGE_WINDOW + 0x9000  # virtual page under test, and the frame it moves to
PTE = PAGE_TABLES + 0x6000 + 8 * 5


@probe(spec=f"{ISSUING}; SDM vol. 2A, HLT—Halt", cpus=2, covers=["smp.reschedule"])
def reschedule_wakes_an_idle_processor(k: Kernel) -> ProbeBody:
    """Work that is queued before the IPI is found by the processor that the IPI wakes from HLT; nothing is lost."""
    rounds = 20
    queue, done = k.values("queue", "done", initial=0)
    k.smp.start()
    with k.smp.on(1):
        k.asm(f"""
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
        """)
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
    """A function-call IPI runs on every other processor before the caller continues, which sees all results."""
    left, results = k.value("left", CPUS - 1), k.values(*(f"result_{cpu}" for cpu in range(CPUS)))
    with k.handler(VECTOR):
        k.asm("""
            mov edi, LAPIC_ID
            mov eax, dword ptr [rdi]
            shr eax, 24
            lea ecx, [rax+100]
            mov qword ptr [result_0+rax*8], rcx
            lock dec qword ptr [left]
        """)
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
    acknowledged, warm, go = k.values("acknowledged", "warm", "go", initial=0)
    before, after = [], []
    k.poke(PAGE, 0x11)
    k.poke(OTHER, 0x22)
    with k.handler(VECTOR):
        k.trigger(k.asm, f"invlpg [{PAGE:#x}]")
        k.count(acknowledged)
    k.smp.start()
    for cpu in range(1, CPUS):
        with k.smp.on(cpu):
            before.append(k.peek(PAGE, f"before_{cpu}"))
            k.count(warm)
            k.sti()
            k.wait_until(go, 1)
            k.cli()
            after.append(k.peek(PAGE, f"after_{cpu}"))
    k.wait_until(warm, CPUS - 1)
    before.append(k.peek(PAGE, "before_0"))
    k.asm(f"mov qword ptr [{PTE:#x}], {OTHER + 3:#x}\ninvlpg [{PAGE:#x}]")
    k.lapic.send(VECTOR=VECTOR, LEVEL=1, DESTINATION_SHORTHAND=3)
    k.wait_until(acknowledged, CPUS - 1)
    k.store(go, 1)
    after.append(k.peek(PAGE, "after_0"))
    for cpu in range(1, CPUS):
        k.smp.join(cpu)

    run = yield

    assert [run[value] for value in before] == [0x11] * CPUS
    assert [run[value] for value in after] == [0x22] * CPUS, "a processor still used the old translation"
    assert sorted(interrupt.cpu for interrupt in run.interrupts) == [1, 2, 3]


@probe(spec=MESSAGE, cpus=CPUS, needs=["hpet-fsb"], covers=["smp.spread-msi"])
def message_addresses_spread_interrupts(k: Kernel) -> ProbeBody:
    """The destination ID in a message's address chooses the processor: four HPET messages go to four processors."""
    with k.smp.listening():
        timer = k.hpet.TIMER[0]
        for cpu in range(CPUS):
            k.hpet.stop()
            timer.FSB_ROUTE.write(ADDRESS=0xFEE0_0000 | cpu << 12, VALUE=VECTOR + cpu)
            timer.CONFIG.write(INT_ENABLE=1, FSB_ENABLE=1)
            timer.COMPARATOR.write(10_000)
            k.trigger(k.hpet.CONFIG.write, ENABLE=1)
            k.wait_for(VECTOR + cpu)
        k.stay_quiet()

    run = yield

    assert run.fields("cpu", "vector") == [(cpu, VECTOR + cpu) for cpu in range(CPUS)]


@probe(spec=DESTINATION, cpus=CPUS, needs=["pc-testdev"], covers=["smp.spread-ioapic"])
def io_apic_destinations_spread_interrupts(k: Kernel) -> ProbeBody:
    """Four lines to four processors, raised together: each processor takes its own."""
    lines = (3, 5, 6, 7)
    with k.smp.listening():
        for cpu, line in enumerate(lines):
            k.ioapic.redirect(pin=line, vector=VECTOR, DESTINATION=cpu)
        with k.trigger():
            for line in lines:
                k.lines.pulse(line)
        k.wait_for(VECTOR, CPUS, quiet_ms=1)

    run = yield

    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [1] * CPUS
