"""INTx: level-triggered, active low, from a function's INTA# through the chipset to the IO APIC."""

from harness import DeliveryMode, Kernel, ProbeBody, probe
from harness.devices import ConsoleQueue, EduDevice, Part, SplitQueue, VirtioPci

VECTOR = 0x61
CAUSE = 0x5


def _acknowledge(k: Kernel, edu: EduDevice) -> None:
    """A handler that takes the cause away before the end of interrupt."""
    k.handler(VECTOR).do(edu.INTERRUPT_ACKNOWLEDGE.write, CAUSE)


@probe(
    spec="PCI Local Bus Specification 3.0, Interrupt Pins; Intel 82093AA, Interrupt Redirection Registers",
    needs=["edu"],
    covers=["pci.intx-routing"],
)
def inta_reaches_the_pin_that_the_chipset_routes_it_to(k: Kernel) -> ProbeBody:
    """INTA# of a device arrives once at the IO APIC pin of its PIRQ, and at no other pin."""
    edu = EduDevice(k)
    _acknowledge(k, edu)
    for pin in range(3, 24):  # every other pin has a vector of its own: a wrong route shows
        if pin not in (8, edu.pin):
            k.ioapic.redirect(pin, 0x80 + pin, TRIGGER_MODE=1, POLARITY=1)
    k.ioapic.redirect(edu.pin, VECTOR, TRIGGER_MODE=1, POLARITY=1)
    before = edu.function.STATUS.read("before")
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, quiet_ms=1)
    after = edu.function.STATUS.read("after")

    run = yield

    assert run.vectors == [VECTOR]
    assert run[before].INTERRUPT_STATUS == 0
    assert run[after].INTERRUPT_STATUS == 0
    assert run.ioapic[edu.pin].remote_irr == 0


@probe(
    spec="PCI Local Bus Specification 3.0, Device Control; PCI Local Bus Specification 3.0, Device Status",
    needs=["edu"],
    covers=["pci.intx-disable", "pci.interrupt-status"],
)
def interrupt_disable_holds_the_line_but_not_the_status(k: Kernel) -> ProbeBody:
    """With Interrupt Disable set INTx# stays deasserted, while Interrupt Status shows the request."""
    edu = EduDevice(k)
    _acknowledge(k, edu)
    edu.function.enable(intx=False)
    k.ioapic.redirect(edu.pin, VECTOR, TRIGGER_MODE=1, POLARITY=1)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()
    held = edu.function.STATUS.read("held")
    k.mark("enable")
    edu.function.COMMAND.update(INTERRUPT_DISABLE=0)
    k.wait_for(VECTOR, quiet_ms=1)
    done = edu.function.STATUS.read("done")

    run = yield

    assert run[held].INTERRUPT_STATUS == 1
    assert run[done].INTERRUPT_STATUS == 0
    assert [type(event).__name__ for event in run.events] == ["Mark", "InterruptRecord"]


@probe(
    spec="PCI Local Bus Specification 3.0, Interrupt Pins; Intel 82093AA, Interrupt Redirection Registers",
    needs=["edu"],
    covers=["pci.intx-level"],
)
def an_unserved_request_interrupts_again(k: Kernel) -> ProbeBody:
    """INTx# is a level: after an EOI with the cause still there the interrupt comes again, until the cause is gone."""
    edu = EduDevice(k)
    k.value("left", 3)
    with k.handler(VECTOR):
        k.asm("""
            dec qword ptr [left]
            jnz kept
        """)
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
        k.asm("kept:")
    k.ioapic.redirect(edu.pin, VECTOR, TRIGGER_MODE=1, POLARITY=1)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, 3, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR] * 3
    assert run.ioapic[edu.pin].remote_irr == 0


@probe(
    spec="PCI Local Bus Specification 3.0, Interrupt Pins; Intel 82093AA, Interrupt Redirection Registers",
    needs=["edu", "virtio-serial"],
    covers=["pci.intx-shared"],
)
def a_shared_line_stays_asserted_until_the_last_cause_is_gone(k: Kernel) -> ProbeBody:
    """Two devices on one line: serving one of them is not enough, the interrupt comes again for the other."""
    edu = EduDevice(k)
    serial = VirtioPci(k, "virtio-serial")
    serial.negotiate()
    transmit = SplitQueue(serial, int(ConsoleQueue.TRANSMITQ_0))
    serial.start()
    letter = k.buffer("letter", 1, fill=0x41)
    k.ioapic.redirect(edu.pin, VECTOR, TRIGGER_MODE=1, POLARITY=1)
    first_status, second_status, turn = k.value("first_status"), k.value("second_status"), k.value("turn")
    k.store(turn, 0)
    with k.handler(VECTOR):
        k.asm("""
            inc qword ptr [turn]
            cmp qword ptr [turn], 1
            jne second_turn
        """)
        k.store(first_status, edu.INTERRUPT_STATUS)
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
        k.asm("""
            ret
        second_turn:
        """)
        k.store(second_status, serial.isr.ISR)
    transmit.offer(transmit.chain([Part(letter.address, 1)]))
    transmit.notify()
    transmit.wait_used(1)
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.sti()
    k.wait_for(VECTOR, 2, quiet_ms=1)

    run = yield

    assert serial.function.pin == edu.pin, "the harness plugs both where they share a line"
    assert (run[first_status], run[second_status]) == (CAUSE, 1)
    assert run.vectors == [VECTOR, VECTOR]
    assert run.ioapic[edu.pin].remote_irr == 0


@probe.each(irq=[5, 9, 10, 11])
@probe(
    spec="Intel 82371SB (PIIX3), PIRQx Route Control Registers; Intel I/O Controller Hub 9, PIRQ[n]_ROUT",
    needs=["edu"],
    covers=["pci.pirq-routing"],
)
def the_route_register_selects_the_8259_input(k: Kernel, irq: int) -> ProbeBody:
    """The PIRQ route register of a function's line, its disable bit clear, names the 8259 input that it drives."""
    edu = EduDevice(k)
    k.pci.pirq_route(edu.function).write(irq)
    k.pic.initialize()
    k.asm(f"""
        mov edx, {0x4D0 + (irq >> 3):#x}        # ELCR: PCI lines are level-triggered
        in al, dx
        or al, {1 << (irq & 7)}
        out dx, al
    """)
    vector = 0x20 + irq
    with k.handler(vector):
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
        k.pic.eoi(irq)
    k.lapic.LVT_LINT0.write(DELIVERY_MODE=DeliveryMode.EXTINT)
    k.pic.unmask(irq)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(vector, quiet_ms=1)

    run = yield

    assert run.vectors == [vector]
