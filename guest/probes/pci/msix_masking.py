"""MSI-X masks, pending bits, destinations, Bus Master and INTx#, on functions of three makes."""

from harness import Deviation, Kernel, ProbeBody, probe
from harness.devices import MESSAGE_SOURCES, E1000eSource, MessageSource, message_source

VECTOR = 0x69
OTHER = 0x6A
INTX = 0x6B
ENTRY = 1

MASKING = "PCI Local Bus Specification 3.0, Per-vector Masking and Function Masking"
CONFIGURATION = "PCI Local Bus Specification 3.0, MSI-X Configuration"
OPERATION = "PCI Local Bus Specification 3.0, MSI and MSI-X Operation"


def _begin(k: Kernel, device: str, *, masked: bool = False, function_mask: bool = False) -> MessageSource:
    """The function with MSI-X on; its requests use table entry 1."""
    source = message_source(k, device, ENTRY)
    if function_mask:
        source.msix.capability.CONTROL.update(FUNCTION_MASK=1)
    source.msix.entry(ENTRY, VECTOR, masked=masked)
    k.sti()
    return source


@probe.each(device=MESSAGE_SOURCES)
@probe(spec=MASKING, needs=MESSAGE_SOURCES, covers=["msix.vector-mask", "msix.pending"])
def a_masked_vector_pends_and_unmasking_sends_it_once(k: Kernel, device: str) -> ProbeBody:
    """With an entry masked its message waits in the pending bit; clearing the mask sends it once and clears the bit."""
    source = _begin(k, device, masked=True)
    for _ in range(3):
        k.trigger(source.request)
        source.wait_answered()
    k.stay_quiet()
    held = source.msix.pba.PENDING[0].read("held")
    k.mark("unmask")
    source.msix.table.ENTRY[ENTRY].CONTROL.write(MASK=0)
    k.wait_for(VECTOR)
    sent = source.msix.pba.PENDING[0].read("sent")
    k.stay_quiet()

    run = yield

    assert (run[held], run[sent]) == (1 << ENTRY, 0)
    assert run.sequence == ["unmask", VECTOR]


@probe.each(device=MESSAGE_SOURCES)
@probe(
    spec=MASKING,
    needs=MESSAGE_SOURCES,
    covers=["msix.vector-mask"],
    deviation=Deviation(
        targets="*-tcg",
        cases="e1000e",
        versions=">=8",
        kind="bug",
        sees="more than its event",
        ref="dma-e1000e-throttling-end",
    ),
)
def masking_and_unmasking_without_an_event_sends_nothing(k: Kernel, device: str) -> ProbeBody:
    """A mask bit that is set and cleared while nothing pends causes no message; the next event does."""
    if device == "e1000e" and not k.deterministic:
        k.unsupported("what the 82574's moderation sends besides is judged in virtual time")
    source = _begin(k, device)
    for mask in (1, 0, 1, 0):
        source.msix.table.ENTRY[ENTRY].CONTROL.write(MASK=mask)
    k.stay_quiet()
    k.mark("request")
    k.trigger(source.request)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run.sequence == ["request", VECTOR], "more than its event"


@probe.each(device=MESSAGE_SOURCES)
@probe(spec=MASKING, needs=MESSAGE_SOURCES, covers=["msix.function-mask", "msix.pending"])
def the_function_mask_holds_every_vector(k: Kernel, device: str) -> ProbeBody:
    """Function Mask holds a message of an unmasked entry in its pending bit; clearing it sends the message once."""
    source = _begin(k, device, function_mask=True)
    k.trigger(source.request)
    source.wait_answered()
    k.stay_quiet()
    held = source.msix.pba.PENDING[0].read("held")
    k.mark("unmask")
    source.msix.capability.CONTROL.update(FUNCTION_MASK=0)
    k.wait_for(VECTOR)
    sent = source.msix.pba.PENDING[0].read("sent")
    k.stay_quiet()

    run = yield

    assert (run[held], run[sent]) == (1 << ENTRY, 0)
    assert run.sequence == ["unmask", VECTOR]


@probe.each(device=MESSAGE_SOURCES)
@probe(spec=MASKING, needs=MESSAGE_SOURCES, covers=["msix.function-mask"])
def both_masks_must_be_clear(k: Kernel, device: str) -> ProbeBody:
    """With the entry masked too, clearing Function Mask sends nothing; the entry's own mask then does."""
    source = _begin(k, device, masked=True, function_mask=True)
    k.trigger(source.request)
    source.wait_answered()
    source.msix.capability.CONTROL.update(FUNCTION_MASK=0)
    k.stay_quiet()
    held = source.msix.pba.PENDING[0].read("held")
    k.mark("unmask the entry")
    source.msix.table.ENTRY[ENTRY].CONTROL.write(MASK=0)
    k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run[held] == 1 << ENTRY
    assert run.sequence == ["unmask the entry", VECTOR]


@probe.each(device=MESSAGE_SOURCES)
@probe(spec=CONFIGURATION, needs=MESSAGE_SOURCES, covers=["msix.rewrite"])
def a_pending_message_goes_out_with_the_entrys_new_content(k: Kernel, device: str) -> ProbeBody:
    """Address and data may be changed while masked: the pending message is sent with what the entry then holds."""
    source = _begin(k, device, masked=True)
    k.trigger(source.request)
    source.wait_answered()
    source.msix.entry(ENTRY, OTHER, masked=True)
    source.msix.table.ENTRY[ENTRY].CONTROL.write(MASK=0)
    k.wait_for(OTHER, quiet_ms=1)

    run = yield

    assert run.vectors == [OTHER]


@probe.each(cpu=[0, 1])
@probe.each(device=MESSAGE_SOURCES)
@probe(spec="SDM vol. 3A, Message Address Register Format", needs=MESSAGE_SOURCES, cpus=2, covers=["msix.destination"])
def an_entrys_address_selects_the_processor(k: Kernel, device: str, cpu: int) -> ProbeBody:
    """The message goes to the processor in the entry's address, also when it pended under another address."""
    source = message_source(k, device, ENTRY)
    source.msix.entry(ENTRY, VECTOR, destination=1 - cpu, masked=True)
    with k.smp.listening():
        k.trigger(source.request)
        source.wait_answered()
        source.msix.entry(ENTRY, VECTOR, destination=cpu)
        k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert [run.count(VECTOR, cpu=number) for number in (0, 1)] == [1 - cpu, cpu]


@probe(spec="SDM vol. 3A, Message Address Register Format", needs=["e1000e"], cpus=2, covers=["msix.destination"])
def two_causes_of_a_function_reach_two_processors(k: Kernel) -> ProbeBody:
    """Two entries of one table with different destinations: each cause interrupts its own processor, once."""
    card = E1000eSource(k, ENTRY)
    card.IVAR.write(RXQ0=ENTRY, RXQ0_VALID=1, TXQ0=ENTRY + 1, TXQ0_VALID=1)
    card.EIAC.write(RXQ0=1, TXQ0=1)
    card.IMS.write(TXQ0=1)
    card.msix.entry(ENTRY, VECTOR, destination=1, masked=True)
    card.msix.entry(ENTRY + 1, OTHER, destination=0, masked=True)
    with k.smp.listening():
        k.trigger(card.ICS.write, RXQ0=1, TXQ0=1)
        card.wait_answered()
        for entry in (ENTRY, ENTRY + 1):
            card.msix.table.ENTRY[entry].CONTROL.write(MASK=0)
        k.wait_for(VECTOR, ms=k.device_ms)
        k.wait_for(OTHER, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert [(run.count(VECTOR, cpu=cpu), run.count(OTHER, cpu=cpu)) for cpu in (0, 1)] == [(0, 1), (1, 0)]


@probe.each(device=MESSAGE_SOURCES)
@probe(
    spec=f"PCI Local Bus Specification 3.0, Command Register; {OPERATION}",
    needs=MESSAGE_SOURCES,
    covers=["msix.bus-master"],
    deviation=Deviation(
        targets="*",
        cases="virtio_rng",
        kind="by design",
        sees="waited for vector 0x69",
        ref="dma-virtio-bus-master-status",
    ),
)
def no_message_is_sent_while_bus_master_is_clear(k: Kernel, device: str) -> ProbeBody:
    """A message is a memory write: unmasking one while Bus Master is clear sends nothing; set again, the next comes."""
    source = _begin(k, device, masked=True)
    k.trigger(source.request)
    source.wait_answered()
    held = source.msix.pba.PENDING[0].read("held")
    source.function.COMMAND.update(BUS_MASTER=0)
    source.msix.table.ENTRY[ENTRY].CONTROL.write(MASK=0)
    k.stay_quiet()
    k.mark("bus master")
    source.function.COMMAND.update(BUS_MASTER=1)
    source.request()
    k.wait_for(VECTOR)

    run = yield

    assert run[held] == 1 << ENTRY
    assert (run.sequence[0], set(run.sequence[1:])) == ("bus master", {VECTOR})


@probe.each(device=MESSAGE_SOURCES)
@probe(spec=OPERATION, needs=MESSAGE_SOURCES, covers=["msix.silences-intx"])
def a_masked_message_does_not_use_intx(k: Kernel, device: str) -> ProbeBody:
    """While MSI-X is enabled the function must not use INTx#, not even for an event whose vector is masked."""
    source = _begin(k, device, masked=True)
    k.ioapic.redirect_pci(source.function.pin, INTX)
    k.trigger(source.request)
    source.wait_answered()
    k.stay_quiet()
    status = source.function.STATUS.read("status")
    held = source.msix.pba.PENDING[0].read("held")

    run = yield

    assert run[held] == 1 << ENTRY
    assert run[status].INTERRUPT_STATUS == 0
    assert run.vectors == []


@probe.each(device=MESSAGE_SOURCES)
@probe(spec=OPERATION, needs=MESSAGE_SOURCES, covers=["msix.disable"])
def without_msix_enable_the_function_uses_intx(k: Kernel, device: str) -> ProbeBody:
    """With MSI-X Enable cleared again the same event asserts INTx#; taking its cause away deasserts it."""
    source = _begin(k, device)
    k.ioapic.redirect_pci(source.function.pin, INTX)
    source.request()
    k.wait_for(VECTOR)
    source.wait_answered()
    source.msix.capability.CONTROL.update(ENABLE=0)
    k.handler(INTX).do(source.acknowledge)
    k.mark("disabled")
    k.trigger(source.request)
    k.wait_for(INTX, quiet_ms=1)
    status = source.function.STATUS.read("status")

    run = yield

    assert run.sequence[0] == VECTOR
    assert run.sequence[run.sequence.index("disabled") :] == ["disabled", INTX]
    assert run[status].INTERRUPT_STATUS == 0
    assert run.ioapic[source.function.pin].remote_irr == 0
