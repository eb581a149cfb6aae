"""Software enable and disable in the spurious-interrupt vector register, and ExtINT beside the APIC's own priority."""

from harness import Deviation, Kernel, ProbeBody, probe

TCG = "*-tcg*"
NAMES = ["LVT_TIMER", "LVT_THERMAL", "LVT_PERFORMANCE", "LVT_LINT0", "LVT_LINT1", "LVT_ERROR"]
LVTS = {name: 0x61 + number for number, name in enumerate(NAMES)}  # values that unmask without any event to come
DISABLED = "SDM vol. 3A, Local APIC State After It Has Been Software Disabled"
NOT_MASKED = Deviation(targets=TCG, kind="bug", sees="MASK=0", ref="lapic-software-disable")


@probe.each(register=list(LVTS))
@probe(spec=DISABLED, covers=["lapic.software-disable"], deviation=NOT_MASKED)
def software_disable_masks_the_lvt(k: Kernel, register: str) -> ProbeBody:
    """Clearing the enable bit in the SVR sets every LVT mask, and enabling again does not clear it."""
    entry = getattr(k.lapic, register)
    entry.write(LVTS[register])
    before = entry.read("before")
    k.trigger(k.lapic.SVR.write, ENABLE=0, VECTOR=0xFF)
    disabled = entry.read("disabled")
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    enabled = entry.read("enabled")
    entry.write(0x10000)

    run = yield

    assert run[before].MASK == 0, run[before]
    assert run[disabled].MASK == 1, f"software-disabled: {run[disabled]}"
    assert run[enabled].MASK == 1, f"enabled again: {run[enabled]}"


@probe.each(register=list(LVTS))
@probe(spec=DISABLED, covers=["lapic.software-disable"], deviation=NOT_MASKED)
def lvt_mask_cannot_be_cleared_while_disabled(k: Kernel, register: str) -> ProbeBody:
    """While the APIC is software-disabled a write to an LVT register cannot clear its mask; the vector is taken."""
    entry = getattr(k.lapic, register)
    entry.write(0x10000)
    k.lapic.SVR.write(ENABLE=0, VECTOR=0xFF)
    k.trigger(entry.write, LVTS[register])
    disabled = entry.read("disabled")
    entry.write(0x10000)
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)

    run = yield

    assert LVTS[register] == run[disabled].VECTOR, "the write was lost"
    assert run[disabled].MASK == 1, f"software-disabled: {run[disabled]}"


@probe(spec=DISABLED, covers=["lapic.software-disable"])
def pending_requests_survive_software_disable(k: Kernel) -> ProbeBody:
    """What is in IRR and ISR when the APIC is software-disabled stays there, and is delivered once it is enabled."""
    k.hold(0x51)
    k.sti()
    k.lapic.self_ipi(0x51)
    k.wait_for(0x51)
    k.trigger(k.lapic.self_ipi, 0x45)
    k.lapic.SVR.write(ENABLE=0, VECTOR=0xFF)
    irr, isr = k.lapic.requested(0x45, "irr"), k.lapic.in_service(0x51, "isr")
    k.settle()
    k.mark("enabled")
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    k.lapic.eoi()
    k.wait_for(0x45)

    run = yield

    assert 0x45 in run[irr] and 0x51 in run[isr]
    assert run.sequence == [0x51, "enabled", 0x45]


@probe(
    spec=DISABLED,
    covers=["lapic.software-disable-ipi"],
    deviation=Deviation(
        targets=TCG,
        kind="manual silent or contradictory",
        sees=r"\[0x46, 0x41\] == \[0x41\]|\[0x41, 0x46\] == \[0x41\]",
        ref="lapic-disabled-accepts",
    ),
)
def disabled_apic_takes_no_fixed_interrupt(k: Kernel) -> ProbeBody:
    """A software-disabled APIC answers INIT, NMI, SMI and SIPI only: a fixed IPI is not kept for later."""
    k.sti()
    k.lapic.SVR.write(ENABLE=0, VECTOR=0xFF)
    k.lapic.send(destination=0, VECTOR=0x46, LEVEL=1)
    k.settle()
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    k.trigger(k.lapic.self_ipi, 0x41)
    k.wait_for(0x41)
    k.settle()

    run = yield

    assert run.vectors == [0x41]


@probe(spec=f"{DISABLED}; Interrupt Command Register (ICR)", covers=["lapic.software-disable-ipi"])
def disabled_apic_takes_an_nmi(k: Kernel) -> ProbeBody:
    """A software-disabled APIC still sends IPIs, and responds to an NMI."""
    k.expect(2)
    k.lapic.SVR.write(ENABLE=0, VECTOR=0xFF)
    k.trigger(k.lapic.send, destination=0, DELIVERY_MODE=4, LEVEL=1)
    k.wait_for(2, quiet_ms=1)

    run = yield

    assert run.vectors == [2]


@probe.each(tpr=[0x00, 0xFF])
@probe(
    spec="SDM vol. 3A, Interrupt, Task, and Processor Priority; Task Priority Register (TPR)",
    covers=["lapic.extint"],
    needs=["pc-testdev"],
)
def extint_ignores_the_priorities(k: Kernel, tpr: int) -> ProbeBody:
    """ExtINT is subject neither to the TPR nor to what the APIC has in service: it is gated by RFLAGS.IF alone."""
    k.hold(0xF1)
    k.deliver_8259(5)
    k.sti()
    k.lapic.self_ipi(0xF1)
    k.wait_for(0xF1)
    k.lapic.TPR.write(tpr)
    k.trigger(k.lines.up, 5)
    k.wait_for(0x55)
    isr = k.lapic.in_service(0xF1, "isr")

    run = yield

    assert run.vectors == [0xF1, 0x55]
    assert run[isr] == 1 << (0xF1 % 32)


@probe(spec="SDM vol. 3A, Spurious Interrupt", covers=["lapic.spurious"])
def raised_task_priority_takes_a_request_back(k: Kernel) -> ProbeBody:
    """A TPR raised before a request is taken leaves it in the IRR: only the spurious vector may come instead.

    The spurious vector sets no ISR bit and needs no EOI.
    """
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xEF)
    k.cli()
    k.trigger(k.lapic.self_ipi, 0x41)
    k.lapic.TPR.write(0x40)
    k.sti()
    k.settle()
    irr, isr = k.lapic.requested(0x41, "irr"), k.lapic.in_service(0xEF, "isr")
    k.mark("lowered")
    k.lapic.TPR.write(0)
    k.wait_for(0x41)
    k.settle()

    run = yield

    assert run.sequence in (["lowered", 0x41], [0xEF, "lowered", 0x41])
    assert run[irr] == 1 << (0x41 % 32)
    assert run[isr] == 0
