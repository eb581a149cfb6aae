"""Interrupt enables of devices, written while causes are present: the line follows the causes that are enabled."""

from harness import Kernel, ProbeBody, probe, wait_register
from harness.devices import AhciDisk, AtaCommand, E1000eCard, EntropyDevice, XhciMsi

VECTOR, MESSAGE, OTHER = 0x4E, 0x9B, 0xC2
TXDW, RXT0, ACK = 1 << 0, 1 << 7, 1 << 17  # causes of the 82574
BEYOND = 0x10_0000  # a block that no disk of the harness has
IMS = "Intel 82574 GbE Controller Family Datasheet, Interrupt Mask Set/Read Register; Interrupt Mask Clear Register"


@probe(spec=IMS, needs=["e1000e"], covers=["e1000e.enable-asserted"])
def the_82574s_line_follows_each_enabled_cause(k: Kernel) -> ProbeBody:
    """Causes are set first: IMS asserts INTx#, IMC deasserts it with the last enabled cause, and ICR keeps them all."""
    card = E1000eCard(k)
    card.ICS.write(TXDW | RXT0)
    status = card.function.STATUS
    lines = [status.read("masked")]
    with k.trigger():
        for register, causes in (
            (card.IMS, ACK),  # enabled, not set
            (card.IMS, TXDW | RXT0),
            (card.IMC, RXT0),
            (card.IMC, TXDW),
            (card.IMS, RXT0),
            (card.IMC, 0),
            (card.IMC, RXT0 | ACK),
        ):
            register.write(causes)
            k.delay(us=500 if k.deterministic else 20_000)  # the card moderates its interrupts
            lines.append(status.read())
    left = card.ICR.read("left")

    run = yield

    assert [run[line].INTERRUPT_STATUS for line in lines] == [0, 0, 1, 1, 0, 1, 1, 0]
    assert int(run[left]) & (TXDW | RXT0 | ACK) == TXDW | RXT0


@probe(spec=IMS, needs=["e1000e"], covers=["e1000e.enable-message"])
def the_82574_sends_a_message_when_a_set_cause_is_enabled(k: Kernel) -> ProbeBody:
    """With MSI a cause that is set already sends its message with the write of IMS that enables it, and no other."""
    card = E1000eCard(k)
    card.function.enable_msi(MESSAGE)
    k.handler(MESSAGE).do(card.ICR.read, "causes")
    k.sti()
    card.ICS.write(TXDW)
    card.IMS.write(RXT0)
    k.stay_quiet()
    k.mark("enabled")
    k.trigger(card.IMS.write, TXDW)
    k.wait_for(MESSAGE, quiet_ms=1)

    run = yield

    assert run.sequence == ["enabled", MESSAGE]
    assert run["causes"] & (TXDW | RXT0) == TXDW


@probe(
    spec="Serial ATA AHCI 1.3.1, Port x Interrupt Enable; Global HBA Control", needs=["ahci"], covers=["ahci.enables"]
)
def the_hbas_line_follows_each_enable(k: Kernel) -> ProbeBody:
    """DHRS and TFES are set: GHC.IE and PxIE assert INTx# and take it back, and PxIS keeps both causes."""
    disk = AhciDisk(k)
    data = k.buffer("data", 512)
    disk.prepare(AtaCommand.READ_DMA_EXT, 1, 1, [(data.address, 512)])
    disk.issue()
    disk.wait_done()
    disk.prepare(AtaCommand.READ_DMA_EXT, BEYOND, 1, [(data.address, 512)])
    disk.issue()
    wait_register(k, disk.port.IS, TFES=1, DHRS=1, ms=k.device_ms)
    status = disk.function.STATUS
    lines = [status.read("off")]

    def ports(**enables: int) -> None:
        disk.port.IE.write(**enables)
        lines.append(status.read())

    def hba(enable: int) -> None:
        disk.GHC.write(AE=1, IE=enable)
        lines.append(status.read())

    with k.trigger():
        ports(DHRE=1)
        hba(1)
        ports(TFEE=1)
        ports(DPE=1)  # enabled, not set
        disk.IS.write(1)
        lines.append(status.read())
        ports(DHRE=1)
        hba(0)
        ports(DHRE=1, TFEE=1)
        hba(1)
    causes = disk.port.IS.read("causes")

    run = yield

    seen = [run[line].INTERRUPT_STATUS for line in lines]
    assert (seen[:4], seen[5:]) == (
        [0, 0, 1, 1],
        [0, 1, 0, 0, 1],
    )  # without a cause IS may keep INTx# until it is cleared
    assert (run[causes].DHRS, run[causes].TFES) == (1, 1)


@probe(
    spec="xHCI 1.2, Interrupter Management Register; USB Command Register; Pin Based Interrupt Generation",
    needs=["xhci-msi"],
    covers=["xhci.enables"],
)
def the_xhcis_line_follows_each_enable(k: Kernel) -> ProbeBody:
    """Interrupter 0 pends: INTE and IE assert INTx# and take it back, and IP alone ends it."""
    xhci = XhciMsi(k)
    command, manage = xhci.operational.USBCMD, xhci.runtime.INTERRUPTER[0].IMAN
    manage.write(IE=0)
    command.write(RS=1, INTE=0)
    xhci.interrupt(0)
    status = xhci.function.STATUS
    lines, pending = [status.read("off")], [manage.read("pends")]

    def note() -> None:
        lines.append(status.read())
        pending.append(manage.read())

    with k.trigger():
        for both in (1, 0):
            command.write(RS=1, INTE=both)
            note()
        for one, both in ((1, 1), (1, 0), (1, 1), (0, 1)):
            manage.write(IE=one)
            note()
            command.write(RS=1, INTE=both)
            note()
        manage.write(IE=1)
        note()
        manage.write(IE=1, IP=1)
        note()

    run = yield

    assert [run[line].INTERRUPT_STATUS for line in lines] == [0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0]
    assert [run[value].IP for value in pending] == [1] * 12 + [0]


@probe(
    spec="VIRTIO 1.2, MSI-X Vector Configuration; Common configuration structure layout",
    needs=["virtio-rng"],
    covers=["virtio.vector-change"],
)
def a_queues_new_vector_takes_the_next_message(k: Kernel) -> ProbeBody:
    """queue_msix_vector is written between two used buffers: each message has the entry that held at its time."""
    source = EntropyDevice(k, entry=1)
    source.msix.enable({0: MESSAGE, 1: OTHER})
    source.begin()
    k.sti()
    source.request()
    k.wait_for(OTHER, ms=k.device_ms, quiet_ms=1)
    source.common.QUEUE_SELECT.write(0)
    k.trigger(source.common.QUEUE_MSIX_VECTOR.write, 0)
    source.request()
    k.wait_for(MESSAGE, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert run.vectors == [OTHER, MESSAGE]
