"""INTx: level-triggered, active low, from a function's INTA# through the chipset to the IO APIC."""

from harness import Kernel, ProbeBody, probe
from harness.kernel.edu import EduDevice

VECTOR = 0x61
CAUSE = 0x5


def _acknowledge(k: Kernel, edu: EduDevice) -> None:
    """A handler that takes the cause away before the end of interrupt."""
    with k.handler(VECTOR):
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)


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
    with k.trigger():
        edu.INTERRUPT_RAISE.write(CAUSE)
    k.wait_for(VECTOR)
    k.stay_quiet()
    after = edu.function.STATUS.read("after")

    run = yield

    assert run.vectors == [VECTOR]
    assert run[before].INTERRUPT_STATUS == 0
    assert run[after].INTERRUPT_STATUS == 0
    assert run.ioapic[edu.pin].remote_irr == 0
