"""Several causes at once: each is acknowledged for itself, and the line stays asserted until the last has gone.

`last` is acknowledged last: that the line is asserted until then shows that no other acknowledgement took it away.
"""

from typing import Any

from harness import Kernel, ProbeBody, Value, probe, wait_register
from harness.devices import AhciDisk, AtaCommand, E1000eCard, EduDevice, IdeDisk, VirtioPci

CAUSES_82574 = {"TXDW": 0, "LSC": 2, "RXDMT0": 4, "RXO": 6, "RXT0": 7, "MDAC": 9, "ACK": 17}
BEYOND = 0x10_0000  # a block that no disk of the harness has


def asserted(k: Kernel, device: EduDevice | E1000eCard | AhciDisk, name: str) -> Value[int]:
    """Whether the function asserts its INTx#: Interrupt Status of its status register, bit 3."""
    value = k.value(name)
    k.store(value, device.function.STATUS)
    return value


@probe.each(last=["TXDW", "ACK"])
@probe(
    spec="Intel 82574 GbE Controller Family Datasheet, Interrupt Cause Read Register",
    needs=["e1000e"],
    covers=["e1000e.acknowledge"],
)
def a_write_of_icr_clears_the_named_cause_alone(k: Kernel, last: str) -> ProbeBody:
    """Writing 1 to a bit of ICR clears that cause and no other; INTx# is asserted until the last one has gone."""
    card = E1000eCard(k)
    bits = [1 << bit for name, bit in CAUSES_82574.items() if name != last] + [1 << CAUSES_82574[last]]
    card.IMS.write(sum(bits))
    card.ICS.write(sum(bits))
    card.ICR.write(0)
    lines = [asserted(k, card, "all")]
    for number, bit in enumerate(bits):
        k.trigger(card.ICR.write, bit)
        lines.append(asserted(k, card, f"after{number}"))
    left = card.ICR.read("left")

    run = yield

    assert [run[line] >> 3 & 1 for line in lines] == [1] * len(bits) + [0]
    assert int(run[left]) & sum(bits) == 0


@probe.each(last=[0x0000_0001, 0x8000_0000])
@probe(spec="QEMU, EDU device", needs=["edu"], covers=["edu.acknowledge"])
def an_acknowledgement_clears_the_named_bits_alone(k: Kernel, last: int) -> ProbeBody:
    """Writing the acknowledge register clears the bits that are 1 in it; INTx# is asserted until the last has gone."""
    edu = EduDevice(k)
    bits = [bit for bit in (0x0000_0001, 0x0000_0800, 0x0010_0000, 0x8000_0000) if bit != last] + [last]
    edu.INTERRUPT_RAISE.write(sum(bits))
    edu.INTERRUPT_ACKNOWLEDGE.write(0)
    lines, states = [asserted(k, edu, "all")], [edu.INTERRUPT_STATUS.read("raised")]
    for number, bit in enumerate(bits):
        k.trigger(edu.INTERRUPT_ACKNOWLEDGE.write, bit)
        states.append(edu.INTERRUPT_STATUS.read(f"status{number}"))
        lines.append(asserted(k, edu, f"line{number}"))

    run = yield

    assert [int(run[state]) for state in states] == [sum(bits[n:]) for n in range(len(bits) + 1)]
    assert [run[line] >> 3 & 1 for line in lines] == [1] * len(bits) + [0]


@probe.each(last=["DHRS", "TFES"])
@probe(spec="Serial ATA AHCI 1.3.1, Port x Interrupt Status", needs=["ahci"], covers=["ahci.acknowledge"])
def a_write_of_pxis_clears_the_named_cause_alone(k: Kernel, last: str) -> ProbeBody:
    """A command that succeeds sets DHRS, one that fails TFES: writing 1 to one leaves the other, and INTx# asserted."""
    disk = AhciDisk(k)
    data = k.buffer("data", 512)
    disk.enable_interrupts()
    disk.prepare(AtaCommand.READ_DMA_EXT, 1, 1, [(data.address, 512)])
    disk.issue()
    disk.wait_done()
    disk.prepare(AtaCommand.READ_DMA_EXT, BEYOND, 1, [(data.address, 512)])
    disk.issue()
    wait_register(k, disk.port.IS, TFES=1)
    both = disk.port.IS.read("both")
    disk.port.IS.write(0)
    bits = {"DHRS": 1 << 0, "TFES": 1 << 30}
    first = next(name for name in bits if name != last)
    k.trigger(disk.port.IS.write, bits[first])
    one = disk.port.IS.read("one")
    disk.IS.write(1)  # its cause is there still: the port's bit is set again
    line = asserted(k, disk, "line")
    disk.port.IS.write(bits[last])
    none = disk.port.IS.read("none")
    disk.IS.write(1)
    gone = asserted(k, disk, "gone")

    run = yield

    assert int(run[both]) & sum(bits.values()) == sum(bits.values())
    assert int(run[one]) & sum(bits.values()) == bits[last]
    assert run[line] >> 3 & 1 == 1
    assert int(run[none]) & sum(bits.values()) == 0
    assert run[gone] >> 3 & 1 == 0


@probe.each(register=["ALTERNATE_STATUS", "STATUS"])
@probe(spec="ATA/ATAPI-6, Alternate Status register; Status register", needs=["ide"], covers=["ide.alternate-status"])
def only_the_status_register_takes_the_interrupt_away(k: Kernel, register: str) -> ProbeBody:
    """Reading Status ends a pending interrupt; reading Alternate Status does not."""
    disk = IdeDisk(k)
    k.pic.initialize(base=0x50)
    k.pic.SLAVE.ELCR.write(LEVEL_15_14=1)  # so that IRR follows the line
    disk.COMMAND.write(COMMAND=AtaCommand.IDENTIFY_DEVICE)
    wait_register(k, disk.control.ALTERNATE_STATUS, BSY=0, DRQ=1)
    before = k.pic.irr(k.pic.SLAVE, "before")
    read = k.trigger((disk.control.ALTERNATE_STATUS if register == "ALTERNATE_STATUS" else disk.STATUS).read, "read")
    after = k.pic.irr(k.pic.SLAVE, "after")

    run = yield

    assert run[before] == 1 << 6
    assert run[read].DRQ == 1
    assert run[after] == (1 << 6 if register == "ALTERNATE_STATUS" else 0)


@probe(
    spec="Programming Interface for Bus Master IDE Controller 1.0, Bus Master IDE Status Register",
    needs=["ide"],
    covers=["ide.acknowledge"],
)
def the_interrupt_of_the_bus_master_is_acknowledged_alone(k: Kernel) -> ProbeBody:
    """The interrupt bit of a finished transfer stays while the error bit is cleared and the drive bits are written."""
    disk = IdeDisk(k)
    data = k.buffer("data", 512)
    status = disk.bus_master.STATUS
    disk.prepare(AtaCommand.READ_DMA, 1, 1, [(data.address, 512)])
    disk.go(AtaCommand.READ_DMA)
    wait_register(k, status, IDEINTS=1)
    values = []
    with k.trigger():
        for fields in ({"ERROR": 1}, {"DRIVE_0_DMA": 1}, {"DRIVE_1_DMA": 1}, {"IDEINTS": 1, "DRIVE_1_DMA": 1}):
            status.write(**fields)
            values.append(status.read())

    run = yield

    seen = [(run[value].IDEINTS, run[value].DRIVE_0_DMA, run[value].DRIVE_1_DMA) for value in values]
    assert seen == [(1, 0, 0), (1, 1, 0), (1, 0, 1), (0, 0, 1)]


@probe(spec="VIRTIO 1.2, Common configuration structure layout", needs=["virtio-serial"], covers=["virtio.select"])
def the_selected_queue_and_features_stay_selected(k: Kernel) -> ProbeBody:
    """The fields behind a select register are those of the selected queue, until another one is selected."""
    common = VirtioPci(k, "virtio-serial").common
    addresses = {0: 0x11_2233_4000, 1: 0x05_A6C7_8000, 2: 0x22_0E0F_0000}
    common.DEVICE_FEATURE_SELECT.write(1)
    values: list[Value[Any]] = []
    with k.trigger():
        for queue, address in addresses.items():
            common.QUEUE_SELECT.write(queue)
            common.QUEUE_DESC.write(address)
            common.QUEUE_DRIVER.write(address + 0x1000)
            common.QUEUE_DEVICE.write(address + 0x2000)
        for queue in (2, 0, 1):
            common.QUEUE_SELECT.write(queue)
            values += [common.QUEUE_DESC.read(), common.QUEUE_DRIVER.read(), common.QUEUE_DEVICE.read()]
            values.append(common.QUEUE_SELECT.read())
    features = [common.DEVICE_FEATURE.read("first"), common.DEVICE_FEATURE.read("second")]
    selected = common.DEVICE_FEATURE_SELECT.read("selected")

    run = yield

    expected = []
    for queue in (2, 0, 1):
        expected += [addresses[queue], addresses[queue] + 0x1000, addresses[queue] + 0x2000, queue]
    assert [int(run[value]) for value in values] == expected
    assert run[selected] == 1
    assert [run[value] & 1 for value in features] == [1, 1], "bit 32 is VIRTIO_F_VERSION_1"
