"""MSI's per-vector mask and pending bits. On a PCI Express root port: message 0 its slot's, 1 its errors'."""

from harness import Deviation, Kernel, ProbeBody, probe
from harness.devices import AER_CAPABILITY_ID, RootPort

VECTOR = 0x68

CAPABILITY = "PCI Local Bus Specification 3.0, MSI Capability Structure"
MASKING = "PCI Local Bus Specification 3.0, Per-vector Masking and Function Masking"
PORT = ["root-port"]


@probe(spec=CAPABILITY, needs=PORT, covers=["msi.per-vector-mask"])
def mask_bits_exist_for_the_requested_messages_alone(k: Kernel) -> ProbeBody:
    """Mask bits are 0 at reset and writable for each message that the function requests; Pending is read-only."""
    port = RootPort(k)
    control = port.msi.CONTROL.read("control")
    reset = port.msi.MASK.read("reset")
    pending = port.msi.PENDING.read("pending")
    k.trigger(port.msi.MASK.write, 0xFFFF_FFFF)
    written = port.msi.MASK.read("written")
    k.asm("mov rdi, [root_port_capability_05]\nlea eax, [rdi+0x10]\nmov ecx, -1\ncall pci_write  # the pending bits")
    after = port.msi.PENDING.read("after")

    run = yield

    assert run[control].PER_VECTOR_MASKING == 1
    requested = 1 << run[control].MULTIPLE_MESSAGE_CAPABLE
    assert requested == 2
    assert (int(run[reset]), int(run[pending])) == (0, 0)
    assert int(run[written]) & (1 << requested) - 1 == (1 << requested) - 1
    assert int(run[after]) == 0


@probe(spec=MASKING, needs=PORT, covers=["msi.per-vector-mask"])
def a_masked_message_pends_and_unmasking_sends_it_once(k: Kernel) -> ProbeBody:
    """A masked message waits in its pending bit, whatever the number of events; unmasking sends it once, clears it."""
    port = RootPort(k)
    port.enable_msi(VECTOR, mask=1)
    k.sti()
    for _ in range(3):
        port.acknowledge()
        k.trigger(port.command)
    k.stay_quiet()
    status = port.express.SLOT_STATUS.read("status")
    held = port.msi.PENDING.read("held")
    k.mark("unmask")
    port.msi.MASK.write(0)
    k.wait_for(VECTOR, quiet_ms=1)
    sent = port.msi.PENDING.read("sent")

    run = yield

    assert run[status].COMMAND_COMPLETED == 1
    assert (int(run[held]), int(run[sent])) == (1, 0)
    assert run.sequence == ["unmask", VECTOR]


@probe(spec=MASKING, needs=PORT, covers=["msi.per-vector-mask"])
def masking_without_an_event_sends_nothing(k: Kernel) -> ProbeBody:
    """A mask bit that is set and cleared while nothing pends causes no message; the next event does, unmasked."""
    port = RootPort(k)
    port.enable_msi(VECTOR)
    k.sti()
    for mask in (1, 0, 1, 0):
        port.msi.MASK.write(mask)
    k.stay_quiet()
    k.mark("event")
    k.trigger(port.command)
    k.wait_for(VECTOR)
    pending = port.msi.PENDING.read("pending")
    k.stay_quiet()

    run = yield

    assert run.sequence == ["event", VECTOR]
    assert int(run[pending]) == 0


@probe(spec=MASKING, needs=PORT, covers=["msi.per-vector-mask"])
def a_pending_message_takes_address_and_data_of_the_moment_it_is_sent(k: Kernel) -> ProbeBody:
    """Data that software rewrites while the message is masked is the data that unmasking sends."""
    port = RootPort(k)
    port.enable_msi(VECTOR, mask=1)
    k.sti()
    k.trigger(port.command)
    k.stay_quiet()
    port.msi.DATA.write(VECTOR=VECTOR + 8)
    port.msi.MASK.write(0)
    k.wait_for(VECTOR + 8, quiet_ms=1)

    run = yield

    assert run.vectors == [VECTOR + 8]


@probe(
    spec=MASKING,
    needs=PORT,
    covers=["msi.per-vector-mask"],
    deviation=Deviation(
        targets="*", kind="bug", sees=["spurious message", "assert 1 == 0"], ref="pci-msi-pending-satisfied"
    ),
)
def a_pending_bit_goes_when_its_event_is_satisfied(k: Kernel) -> ProbeBody:
    """Software that serves a masked event by polling takes the pending bit away: unmasking must send nothing then."""
    port = RootPort(k)
    port.enable_msi(VECTOR, mask=1)
    k.sti()
    k.trigger(port.command)
    k.settle()
    held = port.msi.PENDING.read("held")
    port.acknowledge()
    status = port.express.SLOT_STATUS.read("status")
    served = port.msi.PENDING.read("served")
    port.msi.MASK.write(0)
    k.stay_quiet()
    k.mark("next event")
    port.command()
    k.wait_for(VECTOR)

    run = yield

    assert int(run[held]) == 1
    assert run[status].COMMAND_COMPLETED == 0
    assert run.sequence == ["next event", VECTOR], "a spurious message was sent"
    assert int(run[served]) == 0


@probe.each(masked=[0, 1])
@probe(spec=MASKING, needs=PORT, covers=["msi.per-vector-mask", "msi.multiple-message"])
def a_masked_message_does_not_hold_back_the_other(k: Kernel, masked: int) -> ProbeBody:
    """With one of two messages masked the other is sent at its event; the masked one when its bit is cleared."""
    port = RootPort(k)
    errors = port.report_errors()
    header = errors.HEADER.read("header")
    port.enable_msi(VECTOR, log2=1, mask=1 << masked)
    root_status = errors.ROOT_ERROR_STATUS.read("root_status")
    k.sti()
    port.command()
    k.checkpoint("error")
    k.wait_for(VECTOR + 1 - masked, quiet_ms=1)
    pending = port.msi.PENDING.read("pending")
    received = errors.ROOT_ERROR_STATUS.read("received")
    k.mark("unmask")
    port.msi.MASK.write(0)
    k.wait_for(VECTOR + masked, quiet_ms=1)
    sent = port.msi.PENDING.read("sent")

    run = yield

    with run.stopped_at("error"):
        run.trigger(run.hmp, "pcie_aer_inject_error root-port COMP_TIME")
    assert run[header].ID == AER_CAPABILITY_ID
    assert run[root_status].ADVANCED_ERROR_INTERRUPT_MESSAGE_NUMBER == 1
    assert run[received].ERR_FATAL_NONFATAL_RECEIVED == 1
    assert (int(run[pending]), int(run[sent])) == (1 << masked, 0)
    assert run.sequence == [VECTOR + 1 - masked, "unmask", VECTOR + masked]
