"""INTx#, MSI and MSI-X switched while a request is asserted, pending or in service."""

from harness import Kernel, ProbeBody, probe, wait_register
from harness.devices import EduDevice, EntropyDevice

MESSAGE, PIN, LATER = 0x57, 0x6E, 0x8D
FIRST, SECOND = 0x2, 0x40
MSI = "PCI Local Bus Specification 3.0, Message Control for MSI; PCI Local Bus Specification 3.0, Device Control"
MSIX = "PCI Local Bus Specification 3.0, Message Control for MSI-X"


@probe(spec=MSI, needs=["edu"], covers=["msi.switch-asserted"])
def an_asserted_line_goes_low_when_msi_is_enabled(k: Kernel) -> ProbeBody:
    """INTx# is asserted when MSI is enabled: the function must not drive it any more, and later events are messages."""
    edu = EduDevice(k)
    k.ioapic.redirect_pci(edu.pin, PIN, MASK=1)
    edu.INTERRUPT_RAISE.write(FIRST)
    asserted = edu.function.STATUS.read("asserted")
    k.trigger(edu.enable_msi, MESSAGE)
    k.ioapic.unmask(edu.pin)
    k.sti()
    k.stay_quiet()
    k.mark("event")
    edu.INTERRUPT_RAISE.write(SECOND)
    k.wait_for(MESSAGE, quiet_ms=1)
    causes = edu.INTERRUPT_STATUS.read("causes")

    run = yield

    assert run[asserted].INTERRUPT_STATUS == 1
    assert run.sequence == ["event", MESSAGE]
    assert run[causes] == FIRST | SECOND


@probe(spec=MSI, needs=["edu"], covers=["msi.switch-in-service"])
def a_line_in_service_does_not_repeat_under_msi(k: Kernel) -> ProbeBody:
    """MSI is enabled while the function's INTx# interrupt is in service, cause present: the EOI repeats nothing."""
    edu = EduDevice(k)
    k.hold(PIN)
    k.ioapic.redirect_pci(edu.pin, PIN)
    k.sti()
    edu.INTERRUPT_RAISE.write(FIRST)
    k.wait_for(PIN)
    k.trigger(edu.enable_msi, MESSAGE)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run.vectors == [PIN]
    assert run.ioapic[edu.pin].remote_irr == 0


@probe(spec=MSI, needs=["edu"], covers=["msi.switch-back"])
def intx_serves_causes_from_before_and_after_msi(k: Kernel) -> ProbeBody:
    """INTx#, then MSI, then INTx# again, no cause served: the next event asserts the line until the last cause goes."""
    edu = EduDevice(k)
    edu.INTERRUPT_RAISE.write(FIRST)
    msi = edu.enable_msi(MESSAGE)
    k.sti()
    edu.INTERRUPT_RAISE.write(SECOND)
    k.wait_for(MESSAGE)
    msi.CONTROL.update(ENABLE=0)
    k.ioapic.redirect_pci(edu.pin, PIN)
    with k.handler(PIN):
        k.first_time().do(edu.INTERRUPT_ACKNOWLEDGE.write, FIRST | 0x100)
        k.from_time(2).do(edu.INTERRUPT_ACKNOWLEDGE.write, SECOND)
    k.mark("line")
    k.trigger(edu.INTERRUPT_RAISE.write, 0x100)
    k.wait_for(PIN, 2, quiet_ms=1)

    run = yield

    assert run.sequence == [MESSAGE, "line", PIN, PIN]
    assert run.ioapic[edu.pin].remote_irr == 0


@probe(spec=MSI, needs=["edu"], covers=["msi.switch-accepted"])
def a_message_that_was_accepted_survives_the_switch(k: Kernel) -> ProbeBody:
    """A message waits in the IRR while MSI is disabled and its data rewritten: it arrives once, at its old vector."""
    edu = EduDevice(k)
    msi = edu.enable_msi(MESSAGE)
    k.cli()
    k.trigger(edu.INTERRUPT_RAISE.write, FIRST)
    k.settle()
    msi.CONTROL.update(ENABLE=0)
    msi.DATA.write(VECTOR=LATER)
    msi.CONTROL.update(ENABLE=1)
    k.sti()
    k.wait_for(MESSAGE, quiet_ms=1)

    run = yield

    assert run.vectors == [MESSAGE]


@probe(spec="PCI Local Bus Specification 3.0, Device Control", needs=["edu"], covers=["pci.intx-disable-in-service"])
def interrupt_disable_is_set_in_service(k: Kernel) -> ProbeBody:
    """Interrupt Disable set while the line is asserted and in service: no repeat. Cleared: the cause interrupts."""
    edu = EduDevice(k)
    k.hold(PIN)
    k.ioapic.redirect_pci(edu.pin, PIN)
    k.sti()
    edu.INTERRUPT_RAISE.write(FIRST)
    k.wait_for(PIN)
    k.trigger(edu.function.enable, intx=False)
    k.lapic.eoi()
    k.stay_quiet()
    status = edu.function.STATUS.read("status")
    k.mark("enable")
    edu.function.enable()
    k.wait_for(PIN, 2)
    edu.INTERRUPT_ACKNOWLEDGE.write(FIRST)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run[status].INTERRUPT_STATUS == 1, "the bit does not depend on Interrupt Disable"
    assert run.sequence == [PIN, "enable", PIN]


@probe(spec="PCI Local Bus Specification 3.0, Device Control", needs=["edu"], covers=["pci.intx-disable-idle"])
def a_cause_that_goes_while_disabled_leaves_nothing(k: Kernel) -> ProbeBody:
    """A cause that came and went while Interrupt Disable was set does not interrupt when the bit is cleared."""
    edu = EduDevice(k)
    k.handler(PIN).do(edu.INTERRUPT_ACKNOWLEDGE.write, SECOND)
    k.ioapic.redirect_pci(edu.pin, PIN)
    edu.function.enable(intx=False)
    k.sti()
    edu.INTERRUPT_RAISE.write(FIRST)
    edu.INTERRUPT_ACKNOWLEDGE.write(FIRST)
    edu.function.enable()
    k.stay_quiet()
    k.mark("event")
    k.trigger(edu.INTERRUPT_RAISE.write, SECOND)
    k.wait_for(PIN, quiet_ms=1)

    run = yield

    assert run.sequence == ["event", PIN]


@probe.each(function_mask=[0, 1])
@probe(spec=MSIX, needs=["virtio-rng"], covers=["msix.switch-asserted"])
def an_asserted_line_goes_low_when_msix_is_enabled(k: Kernel, function_mask: int) -> ProbeBody:
    """INTx# is asserted when MSI-X Enable is set, with or without Function Mask: the line does not interrupt."""
    source = EntropyDevice(k)
    k.ioapic.redirect_pci(source.function.pin, PIN, MASK=1)
    source.begin()
    source.request()
    source.wait_answered()
    wait_register(k, source.function.STATUS, INTERRUPT_STATUS=1, ms=k.device_ms)
    asserted = source.function.STATUS.read("asserted")
    k.trigger(source.msix.enable, {0: MESSAGE, 1: LATER}, masked=bool(function_mask))
    k.ioapic.unmask(source.function.pin)
    k.sti()
    k.stay_quiet()

    run = yield

    assert run[asserted].INTERRUPT_STATUS == 1
    assert run.vectors == []
