"""INTx: level-triggered, active low, from a function's INTA# through the chipset to the IO APIC."""

from harness import Kernel, ProbeBody, probe
from harness.devices import ConsoleQueue, EduDevice, Part, SplitQueue, VirtioPci

VECTOR = 0x61
CAUSE = 0x5
PINS = "PCI Local Bus Specification 3.0, Interrupt Pins; Intel 82093AA, Interrupt Redirection Registers"


def _acknowledge(k: Kernel, edu: EduDevice) -> None:
    """A handler that takes the cause away before the end of interrupt."""
    k.handler(VECTOR).do(edu.INTERRUPT_ACKNOWLEDGE.write, CAUSE)


@probe(spec=PINS, needs=["edu"], covers=["pci.intx-routing"])
def inta_reaches_the_pin_that_the_chipset_routes_it_to(k: Kernel) -> ProbeBody:
    """INTA# of a device arrives once at the IO APIC pin of its PIRQ, and at no other pin."""
    edu = EduDevice(k)
    _acknowledge(k, edu)
    for pin in range(3, 24):  # every other pin has its own vector, so that a wrong route is seen
        if pin not in (8, edu.pin):
            k.ioapic.redirect_pci(pin, 0x80 + pin)
    k.ioapic.redirect_pci(edu.pin, VECTOR)
    before = edu.function.STATUS.read("before")
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, quiet_ms=1)
    after = edu.function.STATUS.read("after")

    run = yield

    assert run.vectors == [VECTOR]
    assert (run[before].INTERRUPT_STATUS, run[after].INTERRUPT_STATUS) == (0, 0)
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
    k.ioapic.redirect_pci(edu.pin, VECTOR)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()
    held = edu.function.STATUS.read("held")
    k.mark("enable")
    edu.function.COMMAND.update(INTERRUPT_DISABLE=0)
    k.wait_for(VECTOR, quiet_ms=1)
    done = edu.function.STATUS.read("done")

    run = yield

    assert (run[held].INTERRUPT_STATUS, run[done].INTERRUPT_STATUS) == (1, 0)
    assert run.sequence == ["enable", VECTOR]


@probe(spec=PINS, needs=["edu"], covers=["pci.intx-level"])
def an_unserved_request_interrupts_again(k: Kernel) -> ProbeBody:
    """INTx# is a level: after an EOI with the cause still there the interrupt comes again, until the cause is gone."""
    edu = EduDevice(k)
    with k.handler(VECTOR), k.from_time(3):
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
    k.ioapic.redirect_pci(edu.pin, VECTOR)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, 3, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR] * 3
    assert run.ioapic[edu.pin].remote_irr == 0


@probe(spec=PINS, needs=["edu", "virtio-serial"], covers=["pci.intx-shared"])
def a_shared_line_stays_asserted_until_the_last_cause_is_gone(k: Kernel) -> ProbeBody:
    """Two devices on one line: serving one of them is not enough, the interrupt comes again for the other."""
    edu = EduDevice(k)
    serial = VirtioPci(k, "virtio-serial")
    serial.negotiate()
    transmit = SplitQueue(serial, int(ConsoleQueue.TRANSMITQ_0))
    serial.start()
    letter = k.buffer("letter", 1, fill=0x41)
    k.ioapic.redirect_pci(edu.pin, VECTOR)
    with k.handler(VECTOR):
        with k.first_time():
            first_status = edu.INTERRUPT_STATUS.read("first_status")
            edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
        second_status = k.from_time(2).do(serial.isr.ISR.read, "second_status")
    transmit.submit(transmit.chain([Part(letter.address, 1)]))
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
    k.pic.chip(irq).ELCR.write(1 << irq % 8)
    vector = k.pic.vector(irq)
    with k.handler(vector):
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
        k.pic.eoi(irq)
    k.lapic.virtual_wire()
    k.pic.unmask(irq)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(vector, quiet_ms=1)

    run = yield

    assert run.vectors == [vector]
