"""A device reset of virtio while its interrupt is asserted or pending."""

from harness import Kernel, ProbeBody, probe, wait_register
from harness.devices import EntropyDevice

PIN = 0x5F


@probe(spec="VIRTIO 1.2, Device Status Field; ISR status capability", needs=["virtio-rng"], covers=["virtio.reset-isr"])
def a_reset_takes_an_unread_interrupt_back(k: Kernel) -> ProbeBody:
    """ISR status is unread and INTx# asserted when 0 is written to device_status: both are 0, nothing interrupts."""
    source = EntropyDevice(k)
    k.ioapic.redirect_pci(source.function.pin, PIN, MASK=1)
    source.begin()
    source.request()
    source.wait_answered()
    wait_register(k, source.function.STATUS, INTERRUPT_STATUS=1, ms=k.device_ms)
    k.trigger(source.reset)
    line = source.function.STATUS.read("line")
    k.ioapic.unmask(source.function.pin)
    k.sti()
    k.stay_quiet()
    status = source.isr.ISR.read("status")

    run = yield

    assert run[line].INTERRUPT_STATUS == 0
    assert run.vectors == []
    assert int(run[status]) == 0
