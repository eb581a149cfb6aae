"""Guests whose waits end by their deadlines, each for a reason of its own."""

from harness import IDT, PER_CPU, Kernel, ProbeBody, probe

SPEC = "none: the wait of this guest must end by its deadline"
VECTOR = 0x50


def _self_ipi(k: Kernel, vector: int = VECTOR) -> None:
    k.lapic.ICR_LOW.write(VECTOR=vector, DESTINATION_SHORTHAND=1)


@probe(spec=SPEC)
def interrupts_off(k: Kernel) -> ProbeBody:
    """IF is 0."""
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def task_priority(k: Kernel) -> ProbeBody:
    """TPR holds the class back."""
    k.lapic.TPR.write(0x50)
    k.sti()
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def no_eoi(k: Kernel) -> ProbeBody:
    """The handler sends no EOI, so that the second one stays pending."""
    with k.handler(VECTOR, eoi=False):
        pass
    k.sti()
    _self_ipi(k)
    _self_ipi(k)
    k.wait_for(VECTOR, 2, ms=1)
    run = yield
    assert run.vectors == [VECTOR] * 2


@probe(spec=SPEC)
def no_eoi_of_another(k: Kernel) -> ProbeBody:
    """A vector of a higher class is in service for ever."""
    with k.handler(0x61, eoi=False):
        pass
    k.sti()
    _self_ipi(k, 0x61)
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def once_and_no_eoi(k: Kernel) -> ProbeBody:
    """One came, and its EOI never; nothing requests the second."""
    with k.handler(VECTOR, eoi=False):
        pass
    k.sti()
    _self_ipi(k)
    k.wait_for(VECTOR, 2, ms=1)
    run = yield
    assert run.vectors == [VECTOR] * 2


@probe(spec=SPEC, needs=["pc-testdev"])
def masked_pin(k: Kernel) -> ProbeBody:
    """The IO APIC's entry is masked."""
    k.ioapic.redirect(5, VECTOR, MASK=1)
    k.sti()
    k.lines.pulse(5)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def nobody_there(k: Kernel) -> ProbeBody:
    """The IO APIC's entry names an APIC ID that no processor has."""
    k.ioapic.redirect(5, VECTOR, DESTINATION=9)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def masked_timer(k: Kernel) -> ProbeBody:
    """The timer's LVT entry is masked."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
    k.sti()
    k.lapic.INITIAL_COUNT.write(1000)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def timer_not_started(k: Kernel) -> ProbeBody:
    """The timer has no count."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def timer_too_slow(k: Kernel) -> ProbeBody:
    """The timer expires long after the wait."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR)
    k.sti()
    k.lapic.INITIAL_COUNT.write(0xFFFFFFFF)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def apic_disabled_by_software(k: Kernel) -> ProbeBody:
    """SVR bit 8 is 0."""
    k.lapic.SVR.write(VECTOR=0xFF, ENABLE=0)
    k.sti()
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def apic_disabled(k: Kernel) -> ProbeBody:
    """IA32_APIC_BASE bit 11 is 0."""
    k.asm("mov ecx, 0x1B\nrdmsr\nand eax, 0xFFFFF7FF\nwrmsr")
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def wrong_vector(k: Kernel) -> ProbeBody:
    """Another vector comes."""
    k.sti()
    _self_ipi(k, 0x51)
    _self_ipi(k, 0x51)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def gate_leads_away(k: Kernel) -> ProbeBody:
    """The IDT gate leads to the stub of another vector."""
    k.asm(f"mov ax, word ptr [{IDT + 0x51 * 16:#x}]\nmov word ptr [{IDT + VECTOR * 16:#x}], ax")
    k.sti()
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def gate_absent(k: Kernel) -> ProbeBody:
    """The IDT gate is not present, and the probe takes the #NP."""
    k.expect(11)
    k.asm(f"mov byte ptr [{IDT + VECTOR * 16 + 5:#x}], 0x0E")
    k.sti()
    with k.faults(11):
        _self_ipi(k)
    k.cli()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def gate_absent_unexpected(k: Kernel) -> ProbeBody:
    """The IDT gate is not present, and the probe does not expect the #NP."""
    k.asm(f"mov byte ptr [{IDT + VECTOR * 16 + 5:#x}], 0x0E")
    k.sti()
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def masked_8259(k: Kernel) -> ProbeBody:
    """The 8259's input is masked."""
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, ms=3)
    run = yield
    assert run.vectors == [0x20]


@probe(spec=SPEC)
def no_eoi_to_the_8259(k: Kernel) -> ProbeBody:
    """The first input stays in service."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7)
    k.pic.unmask(0)
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, 2, ms=3)
    run = yield
    assert run.vectors == [0x20] * 2


@probe(spec=SPEC)
def lint0_masked(k: Kernel) -> ProbeBody:
    """The 8259's request ends at the local APIC."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7, MASK=1)
    k.pic.unmask(0)
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, ms=3)
    run = yield
    assert run.vectors == [0x20]


@probe(spec=SPEC)
def nothing_at_all(k: Kernel) -> ProbeBody:
    """Nothing causes it."""
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, cpus=2)
def off_on_the_other(k: Kernel) -> ProbeBody:
    """The IPI goes to a processor whose interrupts are off."""
    k.smp.start()
    k.sti()
    k.lapic.ICR_HIGH.write(DESTINATION=1)
    k.lapic.ICR_LOW.write(VECTOR=VECTOR)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, watchdog_s=0.5)
def asleep(k: Kernel) -> ProbeBody:
    """As the first, in a wait that sleeps: its timer is masked."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
    k.sti()
    k.wait_for(VECTOR, halt=True)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def a_word(k: Kernel) -> ProbeBody:
    """Waits for a number that nothing writes."""
    done = k.value("done")
    k.store(done, 5)
    k.asm("mov rbx, 0x1234567\nmov r15, 0x7654321")
    k.wait_until(done, 1, ms=1)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def an_unwritten_word(k: Kernel) -> ProbeBody:
    """Waits for a value that nothing writes."""
    done = k.value("done")
    k.wait_until(done, 1, ms=1)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=2)
def another_processor_spins(k: Kernel) -> ProbeBody:
    """Joins a processor that goes round and round."""
    k.smp.start()
    with k.smp.on(1):
        k.asm(".Lround: pause\njmp .Lround")
    k.smp.join(1, ms=1)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def interrupted_in_a_wait(k: Kernel) -> ProbeBody:
    """Interrupts that come in each of the waits, and in the program."""
    go = k.value("go")
    k.store(go, 0)
    with k.handler(VECTOR):
        k.store(go, 1)
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR)
    k.sti()
    k.lapic.INITIAL_COUNT.write(10_000)
    k.wait_for(VECTOR, 1)
    k.lapic.INITIAL_COUNT.write(10_000)
    k.stay_quiet(ms=1)
    k.store(go, 0)
    k.lapic.INITIAL_COUNT.write(10_000)
    k.wait_until(go, 1)
    k.lapic.INITIAL_COUNT.write(10_000)
    k.wait_for(VECTOR, 4, halt=True)
    k.lapic.INITIAL_COUNT.write(10_000)
    k.asm(f".Lround: cmp dword ptr [COUNTS+{4 * VECTOR}], 5\njb .Lround")
    k.asm(f"cmp qword ptr [{PER_CPU:#x}+PC_WAIT], 0\njz .Lgood\nud2\n.Lgood:")
    run = yield
    assert run.count(VECTOR) == 5


@probe(spec=SPEC)
def marks_and_values(k: Kernel) -> ProbeBody:
    """Two marks, an interrupt between them, a value that is written and one that is not."""
    number = k.value("number")
    k.value("never")
    k.expect(0x80)
    k.mark("armed")
    k.int_n(0x80)
    k.mark("done")
    k.store(number, 5)
    run = yield
    assert run.sequence == ["armed", 0x80, "done"]
