"""Guests that wait in vain for a vector, each with one gate of its path closed."""

from harness import IDT, DeliveryMode, DestinationShorthand, Kernel, ProbeBody, probe

SPEC = "none: the wait of this guest must end by its deadline"
VECTOR = 0x50
PIN = 5
ISA = ["pc-testdev"]


def _self_ipi(k: Kernel, vector: int = VECTOR) -> None:
    k.lapic.ICR_LOW.write(VECTOR=vector, DESTINATION_SHORTHAND=DestinationShorthand.SELF)


@probe(spec=SPEC, needs=ISA)
def ioapic_mask(k: Kernel) -> ProbeBody:
    """MASK of the entry is 1."""
    k.ioapic.redirect(PIN, VECTOR, MASK=1)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def ioapic_remote_irr(k: Kernel) -> ProbeBody:
    """The entry's vector changes before the EOI, which therefore does not clear Remote IRR."""
    with k.handler(0x51):
        k.ioapic.redirect(PIN, VECTOR, TRIGGER_MODE=1)
    k.ioapic.redirect(PIN, 0x51, TRIGGER_MODE=1)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(0x51, ms=1)
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def ioapic_destination(k: Kernel) -> ProbeBody:
    """The physical destination is an APIC ID that no processor has."""
    k.ioapic.redirect(PIN, VECTOR, DESTINATION=9)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def ioapic_logical_destination(k: Kernel) -> ProbeBody:
    """The logical destination shares no bit with LDR."""
    k.lapic.DFR.write(0xFFFF_FFFF)
    k.lapic.LDR.write(LOGICAL_APIC_ID=1)
    k.ioapic.redirect(PIN, VECTOR, DESTINATION_MODE=1, DESTINATION=0x80)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def ioapic_cluster_destination(k: Kernel) -> ProbeBody:
    """The logical destination names another cluster."""
    k.lapic.DFR.write(0x0FFF_FFFF)
    k.lapic.LDR.write(LOGICAL_APIC_ID=0x11)
    k.ioapic.redirect(PIN, VECTOR, DESTINATION_MODE=1, DESTINATION=0x21)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def ioapic_delivery_mode(k: Kernel) -> ProbeBody:
    """The entry sends an NMI, which has no vector."""
    k.ioapic.redirect(PIN, VECTOR, DELIVERY_MODE=DeliveryMode.NMI)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def ioapic_vector(k: Kernel) -> ProbeBody:
    """A vector below 10h is illegal. The entry is masked too, as QEMU's local APIC takes such a vector."""
    k.ioapic.redirect(PIN, 0x0F, MASK=1)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(0x0F, ms=1)
    run = yield
    assert run.vectors == [0x0F]


@probe(spec=SPEC, cpus=2, needs=ISA)
def processor_not_started(k: Kernel) -> ProbeBody:
    """The destination is a processor that waits for SIPI."""
    k.ioapic.redirect(PIN, VECTOR, DESTINATION=1)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def ioapic_no_request(k: Kernel) -> ProbeBody:
    """Each gate is open, and nothing drives the pin."""
    k.ioapic.redirect(PIN, VECTOR)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def pic_imr(k: Kernel) -> ProbeBody:
    """IMR masks the timer's input."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7)
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, ms=1)
    run = yield
    assert run.vectors == [0x20]


@probe(spec=SPEC)
def pic_isr(k: Kernel) -> ProbeBody:
    """The first input stays in service."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7)
    k.pic.unmask(0)
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, 1, ms=3)
    k.wait_for(0x20, 2, ms=1)
    run = yield
    assert run.vectors == [0x20] * 2


@probe(spec=SPEC, needs=ISA)
def pic_cascade(k: Kernel) -> ProbeBody:
    """The slave's input is open, and the master's IR2 is not."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7)
    k.prepare_8259(11)
    k.pic.SLAVE.OCW1.write(0xF7)
    k.sti()
    k.lines.up(11)
    k.wait_for(0x73, ms=1)
    run = yield
    assert run.vectors == [0x73]


@probe(spec=SPEC, needs=ISA)
def pic_slave_isr(k: Kernel) -> ProbeBody:
    """The slave's input stays in service."""
    k.deliver_8259(11, serve=False)
    k.sti()
    k.lines.pulse(11)
    k.wait_for(0x73, ms=1)
    k.lines.pulse(11)
    k.wait_for(0x73, 2, ms=1)
    run = yield
    assert run.vectors == [0x73] * 2


@probe(spec=SPEC)
def pic_not_initialised(k: Kernel) -> ProbeBody:
    """ICW1 alone: there is no vector base."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7)
    k.pic.MASTER.ICW1.write(INITIALIZE=1, IC4=1)
    k.pic.SLAVE.ICW1.write(INITIALIZE=1, IC4=1)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def lint0_mask(k: Kernel) -> ProbeBody:
    """LVT LINT0 is masked."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=7, MASK=1)
    k.pic.unmask(0)
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, ms=1)
    run = yield
    assert run.vectors == [0x20]


@probe(spec=SPEC)
def lint0_mode(k: Kernel) -> ProbeBody:
    """LVT LINT0 has no mode in which the 8259 gives the vector."""
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=DeliveryMode.NMI, MASK=0)
    k.expect(2)
    k.pic.unmask(0)
    k.sti()
    k.pit.program(0, 2, 1000)
    k.wait_for(0x20, ms=1)
    run = yield
    assert run.vectors == [0x20]


@probe(spec=SPEC, needs=ISA)
def apic_disabled(k: Kernel) -> ProbeBody:
    """IA32_APIC_BASE bit 11 is 0."""
    k.ioapic.redirect(PIN, VECTOR)
    k.asm("mov ecx, 0x1B\nrdmsr\nand eax, 0xFFFFF7FF\nwrmsr")
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def apic_software_disabled(k: Kernel) -> ProbeBody:
    """SVR.ENABLE is 0."""
    k.ioapic.redirect(PIN, VECTOR)
    k.lapic.SVR.write(VECTOR=0xFF, ENABLE=0)
    k.sti()
    k.lines.pulse(PIN)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def timer_mask(k: Kernel) -> ProbeBody:
    """MASK of LVT TIMER is 1."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
    k.sti()
    k.lapic.INITIAL_COUNT.write(1000)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def timer_not_started(k: Kernel) -> ProbeBody:
    """INITIAL_COUNT is 0."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def timer_counts(k: Kernel) -> ProbeBody:
    """The timer expires long after the wait."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR)
    k.sti()
    k.lapic.INITIAL_COUNT.write(0xFFFF_FFFF)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def timer_expired(k: Kernel) -> ProbeBody:
    """The one-shot timer expired while it was masked."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
    k.sti()
    k.lapic.INITIAL_COUNT.write(1000)
    k.delay(1000)
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def error_mask(k: Kernel) -> ProbeBody:
    """MASK of LVT ERROR is 1."""
    k.lapic.LVT_ERROR.write(VECTOR=VECTOR, MASK=1)
    k.sti()
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
def in_service(k: Kernel) -> ProbeBody:
    """A vector of a higher class has no EOI."""
    with k.handler(0x61, eoi=False):
        pass
    k.sti()
    _self_ipi(k, 0x61)
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def interrupts_off(k: Kernel) -> ProbeBody:
    """IF is 0."""
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, cpus=2)
def halted_with_interrupts_off(k: Kernel) -> ProbeBody:
    """The destination is halted with IF = 0."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("cli\n.Lasleep: hlt\njmp .Lasleep")
    k.delay(100)
    k.lapic.ICR_HIGH.write(DESTINATION=1)
    k.lapic.ICR_LOW.write(VECTOR=VECTOR)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def ipi_destination(k: Kernel) -> ProbeBody:
    """ICR names an APIC ID that no processor has."""
    k.sti()
    k.lapic.ICR_HIGH.write(DESTINATION=7)
    k.lapic.ICR_LOW.write(VECTOR=VECTOR)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def ipi_to_the_others(k: Kernel) -> ProbeBody:
    """The IPI goes to all other processors, and there is none."""
    k.sti()
    k.lapic.ICR_LOW.write(VECTOR=VECTOR, DESTINATION_SHORTHAND=DestinationShorthand.ALL_EXCLUDING_SELF)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def idt_limit(k: Kernel) -> ProbeBody:
    """The IDT ends before the vector; the probe takes the #GP."""
    k.expect(13)
    k.asm(f"sub rsp, 16\nsidt [rsp]\nmov word ptr [rsp], {16 * VECTOR - 1}\nlidt [rsp]\nadd rsp, 16")
    k.sti()
    with k.faults(13):
        _self_ipi(k)
    k.cli()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def idt_gate_absent(k: Kernel) -> ProbeBody:
    """P of the gate is 0; the probe takes the #NP."""
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
def idt_gate_leads_away(k: Kernel) -> ProbeBody:
    """The gate leads to the stub of another vector."""
    k.asm(f"mov ax, word ptr [{IDT + 0x51 * 16:#x}]\nmov word ptr [{IDT + VECTOR * 16:#x}], ax")
    k.sti()
    _self_ipi(k)
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC)
def no_source(k: Kernel) -> ProbeBody:
    """Nothing names the vector."""
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def several_sources(k: Kernel) -> ProbeBody:
    """Two sources name the vector, each with a gate of its own closed."""
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, MASK=1)
    k.ioapic.redirect(PIN, VECTOR, MASK=1)
    k.sti()
    k.wait_for(VECTOR, ms=1)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def missing_in_a_comparison(k: Kernel) -> ProbeBody:
    """No wait: the comparison below the yield finds that the vector is missing."""
    k.ioapic.redirect(PIN, VECTOR, MASK=1)
    k.sti()
    k.lines.pulse(PIN)
    k.delay(100)
    run = yield
    assert run.vectors == [VECTOR]


@probe(spec=SPEC, needs=ISA)
def explained_by_the_probe(k: Kernel) -> ProbeBody:
    """The probe reads the path itself, at a checkpoint and at the end."""
    k.ioapic.redirect(PIN, VECTOR, MASK=1)
    k.checkpoint("armed")
    k.ioapic.redirect(PIN, VECTOR, DESTINATION=9)
    run = yield
    shut = run.why(VECTOR).first_closed
    assert shut is not None
    assert shut.name == "IOREDTBL[5].MASK"
    run.resume()
    assert run.count(VECTOR) == 1, str(run.why(VECTOR))


@probe(spec=SPEC)
def interrupts_off_at_the_end(k: Kernel) -> ProbeBody:
    """IF at the end of a program is not recorded, so that its gate is not known."""
    _self_ipi(k)
    run = yield
    assert run.vectors == [VECTOR]
