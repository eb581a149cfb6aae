"""MSI with several messages: which vectors a function may make of one. On an xHCI controller with 16 interrupters."""

from harness import Kernel, ProbeBody, probe
from harness.devices import XHCI_INTERRUPTERS, XhciMsi

VECTOR = 0x60
REQUESTED = 4  # the logarithm of 16

CAPABILITY = "PCI Local Bus Specification 3.0, MSI Capability Structure"
CONFIGURATION = "PCI Local Bus Specification 3.0, MSI Configuration"
XHCI = ["xhci-msi"]


@probe(spec=CAPABILITY, needs=XHCI, covers=["msi.multiple-message"])
def multiple_message_capable_is_what_the_function_requests(k: Kernel) -> ProbeBody:
    """Multiple Message Capable is the read-only logarithm of the requested messages; Enable is 0 and can be written."""
    xhci = XhciMsi(k)
    interrupters = xhci.HCSPARAMS1.read("interrupters")
    reset = xhci.msi.CONTROL.read("reset")
    k.trigger(xhci.msi.CONTROL.write, MULTIPLE_MESSAGE_CAPABLE=1, MULTIPLE_MESSAGE_ENABLE=1)
    one = xhci.msi.CONTROL.read("one")
    xhci.msi.CONTROL.write(MULTIPLE_MESSAGE_ENABLE=2)
    two = xhci.msi.CONTROL.read("two")

    run = yield

    assert run[interrupters].MAX_INTRS == XHCI_INTERRUPTERS
    assert (run[reset].MULTIPLE_MESSAGE_ENABLE, run[reset].ENABLE) == (0, 0)
    assert [run[value].MULTIPLE_MESSAGE_CAPABLE for value in (reset, one, two)] == [REQUESTED] * 3
    assert [run[value].MULTIPLE_MESSAGE_ENABLE for value in (one, two)] == [1, 2]


@probe.each(log2=range(REQUESTED + 1))
@probe(spec=CAPABILITY, needs=XHCI, covers=["msi.multiple-message"])
def the_message_number_is_the_low_bits_of_the_data(k: Kernel, log2: int) -> ProbeBody:
    """With 2**n messages allocated the function sends message m as Message Data with m in its low n bits."""
    xhci = XhciMsi(k)
    xhci.enable_msi(VECTOR, log2=log2)
    data = xhci.msi.DATA.read("data")
    order = [number for number in (15, 0, 7, 2, 1, 3, 8, 4, 15, 0) if number < 1 << log2]
    k.sti()
    for count, number in enumerate(order):
        k.trigger(xhci.interrupt, number)
        k.wait_for(VECTOR + number, 1 + order[:count].count(number))
    k.stay_quiet()
    after = xhci.msi.DATA.read("after")

    run = yield

    assert run.vectors == [VECTOR + number for number in order]
    assert (run[data].VECTOR, run[after].VECTOR) == (VECTOR, VECTOR), "the register itself does not change"


@probe.each(low=[1, 8, 15])
@probe(spec=CAPABILITY, needs=XHCI, covers=["msi.multiple-message"])
def low_bits_that_software_left_in_the_data_are_the_functions(k: Kernel, low: int) -> ProbeBody:
    """The allocated low bits of Message Data are the function's to modify: all 16 messages arrive, each its own."""
    xhci = XhciMsi(k)
    xhci.enable_msi(VECTOR | low, log2=REQUESTED)
    k.sti()
    for number in range(XHCI_INTERRUPTERS):
        k.trigger(xhci.interrupt, number)
        k.settle()
    k.stay_quiet()

    run = yield

    assert sorted(run.vectors) == [VECTOR + number for number in range(XHCI_INTERRUPTERS)]


@probe(spec=CAPABILITY, needs=XHCI, covers=["msi.multiple-message"])
def messages_pend_side_by_side(k: Kernel) -> ProbeBody:
    """Messages of one function are interrupts of their own: all pend in the IRR at once, the highest vector first."""
    xhci = XhciMsi(k)
    xhci.enable_msi(VECTOR, log2=REQUESTED)
    for number in range(XHCI_INTERRUPTERS):
        k.trigger(xhci.interrupt, number)
    k.settle()
    pending = k.lapic.IRR[VECTOR // 32].read("pending")
    k.sti()
    for number in range(XHCI_INTERRUPTERS):
        k.wait_for(VECTOR + number)

    run = yield

    assert int(run[pending]) == (1 << XHCI_INTERRUPTERS) - 1 << VECTOR % 32
    assert run.vectors == [VECTOR + number for number in reversed(range(XHCI_INTERRUPTERS))]


@probe.each(log2=range(REQUESTED))
@probe(
    spec="PCI Local Bus Specification 3.0, MSI Configuration; xHCI 1.2, Interrupter Mapping",
    needs=XHCI,
    covers=["msi.multiple-message"],
)
def no_more_messages_are_used_than_were_allocated(k: Kernel, log2: int) -> ProbeBody:
    """With fewer messages than requested the function uses those alone: interrupter i sends message i modulo them."""
    xhci = XhciMsi(k)
    xhci.enable_msi(VECTOR, log2=log2)
    messages = 1 << log2
    k.sti()
    for number in range(XHCI_INTERRUPTERS):
        k.trigger(xhci.interrupt, number)
        k.wait_for(VECTOR + number % messages, 1 + number // messages)
    k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR + number % messages for number in range(XHCI_INTERRUPTERS)]
