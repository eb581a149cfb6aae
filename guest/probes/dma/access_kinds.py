"""The access kinds of the register bits of DMA devices, bit by bit as the register maps state them."""

from harness import (
    AccessProof,
    ApartProof,
    Deviation,
    Dma8237Master,
    Dma8237Slave,
    DmaPages,
    Kernel,
    ProbeBody,
    all_differences,
    probe,
    provable,
    provable_names,
    wait_register,
)
from harness.devices import (
    Ahci,
    AhciDisk,
    AhciPort,
    BlockConfiguration,
    BusMaster,
    CommonConfiguration,
    E1000e,
    E1000eCard,
    Edu,
    EduDevice,
    Floppy,
    IdeDisk,
    InterrupterRegisters,
    LegacyHeader,
    LegacyVirtio,
    Nvme,
    NvmeController,
    TaskFile,
    VirtioPci,
    XhciMsi,
    XhciOperational,
)

AHCI = provable(Ahci, PORT=0)
AHCI_PORT = provable(AhciPort)
NVME = provable(Nvme)
NVME_64 = ("CAP", "ASQ", "ACQ")
E1000E = provable(E1000e, RECEIVE_ADDRESS=2)
E1000E_GROUPS = {
    "rings": [name for name in E1000E if name in ("RX", "TX", "RDTR", "RADV", "TIDV", "TADV")],
    "addresses": ["RECEIVE_ADDRESS"],
}
E1000E_GROUPS["control"] = [name for name in E1000E if name not in E1000E_GROUPS["rings"] + E1000E_GROUPS["addresses"]]
VIRTIO = provable(CommonConfiguration)
AHCI_KEPT = (
    r"(?m)^ahci\.PORT\[0\]\.(CLB bits 9:0|FB bits 7:0|SCTL bits 31:12) \(reserved, zero\): 1 where 0 is expected, "
    r"first after a write of 0x1(000)?$"
)
NVME_KEPT = (
    r"(?m)^(nvme\.(CC bits 3:1|CC bits 31:24|AQA bits 15:12|AQA bits 31:28|A[SC]Q bits 11:0) \(reserved, zero\): "
    r"1 where 0 is expected, first after a write of 0x[12]0*(; |$))+$"
)
RAH_KEPT = (
    r"(?m)^(e1000e\.RECEIVE_ADDRESS\[[01]\]\.RAH bits 30:18 \(reserved, zero\): 1 where 0 is expected, "
    r"first after a write of 0x40000(; |$)){2}"
)
CONTROLLERS_8237 = {"slave": Dma8237Slave, "master": Dma8237Master}


def _select_ignored(block: str) -> str:
    """What is written from 400h on leaves the number that was written before."""
    return (
        rf"(?m)^{block}\.QUEUE_SELECT bits 8:0 \(rw\): 0 where 1 is expected, first after a write of 0xffff; "
        rf"{block}\.QUEUE_SELECT bit 9 \(rw\): 1 where 0 is expected, first after a write of 0x400; "
        rf"{block}\.QUEUE_SELECT bits 15:10 \(rw\): 0 where 1 is expected, first after a write of 0x400$"
    )


@probe.each(register=AHCI)
@probe(spec="Serial ATA AHCI 1.3.1, Generic Host Control", needs=["ahci"], covers=["ahci.access-kinds"])
def ahci_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """Each bit of a host register holds 0 and 1 for itself, or keeps its value, as the specification states."""
    bits = k.trigger(AccessProof, k, AhciDisk(k), *AHCI[register])

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe.each(register=AHCI_PORT)
@probe(
    spec="Serial ATA AHCI 1.3.1, Port Registers",
    needs=["ahci"],
    covers=["ahci.access-kinds"],
    deviation=[
        Deviation(targets="*", cases=register, kind="bug", sees=AHCI_KEPT, ref="dma-ahci-reserved")
        for register in ("CLB", "FB", "SCTL")
    ],
)
def ahci_port_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """With the port stopped each bit holds 0 and 1 for itself, or keeps its value, as the specification states."""
    disk = AhciDisk(k)
    disk.port.CMD.write(0)
    bits = k.trigger(AccessProof, k, disk.port, *AHCI_PORT[register])

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(spec="Serial ATA AHCI 1.3.1, Port Registers", needs=["ahci"], covers=["ahci.access-kinds"])
def ahci_registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    disk = AhciDisk(k)
    disk.port.CMD.write(0)
    ports = [f"PORT[{port}].{name}" for port in (0, 1) for name in provable_names(AhciPort)]
    registers = k.trigger(ApartProof, k, disk, *provable_names(Ahci, PORT=0), *ports)

    run = yield

    differences = registers.differences(run)
    assert not differences, differences


@probe.each(register=NVME)
@probe(
    spec="NVM Express 1.4, Register Definition",
    needs=["nvme"],
    covers=["nvme.access-kinds"],
    deviation=[
        Deviation(targets="*", cases=register, kind="bug", sees=NVME_KEPT, ref="dma-nvme-reserved")
        for register in ("CC", "AQA", "ASQ", "ACQ")
    ],
)
def nvme_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """With the controller disabled each bit holds 0 and 1 for itself, or keeps its value, as the specification states.

    Every vector is masked at first, so that INTMC has bits to clear.
    """
    nvme = NvmeController(k, start=False)
    nvme.INTMS.write(0xFFFF_FFFF)
    with k.trigger():
        proofs = [AccessProof(k, nvme, *NVME[register])]
        if register in NVME_64:
            proofs.append(AccessProof(k, nvme, *NVME[register], doublewords=True))

    run = yield

    differences = all_differences(run, proofs)
    assert not differences, differences


@probe(spec="NVM Express 1.4, Register Definition", needs=["nvme"], covers=["nvme.access-kinds"])
def nvme_registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    registers = k.trigger(ApartProof, k, NvmeController(k, start=False), *provable_names(Nvme), doublewords=True)

    run = yield

    differences = registers.differences(run)
    assert not differences, differences


@probe.each(group=E1000E_GROUPS)
@probe(
    spec="Intel 82574 GbE Controller Family Datasheet, Programming Interface",
    needs=["e1000e"],
    covers=["e1000e.access-kinds"],
    deviation=[
        Deviation(
            targets="*",
            cases="rings",
            kind="bug",
            sees=r"(?m)^e1000e\.TIDV bits 15:0 \(DELAY, rw\): 0 where 1 is expected, first after a write of 0x1$",
            ref="dma-e1000e-tidv",
        ),
        Deviation(targets="*", cases="addresses", kind="bug", sees=RAH_KEPT, ref="dma-e1000e-rah"),
    ],
)
def e1000e_bits_behave(k: Kernel, group: str) -> ProbeBody:
    """With receiver and transmitter off each bit holds 0 and 1 for itself, or keeps its value, as stated."""
    names = [name for member in E1000E_GROUPS[group] for name in E1000E[member]]
    bits = k.trigger(AccessProof, k, E1000eCard(k), *names)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(
    spec="Intel 82574 GbE Controller Family Datasheet, Programming Interface",
    needs=["e1000e"],
    covers=["e1000e.access-kinds"],
    deviation=Deviation(
        targets="*", kind="bug", sees=r"(?m)^e1000e\.TIDV: 0x0 where 0x[0-9a-f]+ was written$", ref="dma-e1000e-tidv"
    ),
)
def e1000e_registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    registers = k.trigger(ApartProof, k, E1000eCard(k), *provable_names(E1000e, RECEIVE_ADDRESS=2))

    run = yield

    differences = registers.differences(run)
    assert not differences, differences


@probe.each(register=VIRTIO)
@probe(
    spec="VIRTIO 1.2, Common configuration structure layout",
    needs=["virtio-blk"],
    covers=["virtio.access-kinds"],
    deviation=Deviation(
        targets="*", cases="QUEUE_SELECT", kind="bug", sees=_select_ignored("virtio_blk"), ref="dma-virtio-queue-select"
    ),
)
def virtio_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """Each bit of the common configuration holds 0 and 1 for itself, or keeps its value, as stated."""
    common = VirtioPci(k, "virtio-blk").common
    bits = k.trigger(AccessProof, k, common, *VIRTIO[register], doublewords=True)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(
    spec="VIRTIO 1.2, Block Device: Device Configuration Layout", needs=["virtio-blk"], covers=["virtio.access-kinds"]
)
def virtio_blk_configuration_cannot_be_written(k: Kernel) -> ProbeBody:
    """The fields of the block device's configuration are read-only: they keep their value whatever is written."""
    configuration = BlockConfiguration(k.bus, VirtioPci(k, "virtio-blk").config, name="virtio_blk_configuration")
    bits = k.trigger(AccessProof, k, configuration, *provable_names(BlockConfiguration))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe.each(register=provable(LegacyHeader))
@probe(
    spec="VIRTIO 1.2, Legacy Interfaces: A Note on PCI Device Layout",
    needs=["virtio-rng"],
    covers=["virtio.legacy-access-kinds"],
    deviation=Deviation(
        targets="*",
        cases="QUEUE_SELECT",
        kind="bug",
        sees=_select_ignored("virtio_rng_legacy"),
        ref="dma-virtio-queue-select",
    ),
)
def legacy_virtio_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """Each bit of the legacy header holds 0 and 1 for itself, or keeps its value, as the specification states."""
    bits = k.trigger(AccessProof, k, LegacyVirtio(k, "virtio-rng"), register)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe.each(registers=["operational", "interrupter"])
@probe(spec="xHCI 1.2, Register Interface", needs=["xhci-msi"], covers=["xhci.access-kinds"])
def xhci_bits_behave(k: Kernel, registers: str) -> ProbeBody:
    """Each bit of a halted controller holds 0 and 1 for itself, or keeps its value, as the specification states."""
    xhci = XhciMsi(k)
    xhci.operational.USBCMD.write(0)
    with k.trigger():
        if registers == "operational":
            bits = AccessProof(k, xhci.operational, *provable_names(XhciOperational))
        else:
            bits = AccessProof(k, xhci.runtime.INTERRUPTER[2], *provable_names(InterrupterRegisters))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(
    spec="xHCI 1.2, Interrupter Management Register; Event Ring Dequeue Pointer Register; USB Status Register",
    needs=["xhci-msi"],
    covers=["xhci.acknowledge"],
)
def an_interrupter_is_acknowledged_in_three_places(k: Kernel) -> ProbeBody:
    """Event Interrupt, Interrupt Pending and Event Handler Busy are each cleared by their own 1 alone."""
    xhci = XhciMsi(k)
    registers = xhci.runtime.INTERRUPTER[2]
    pointer = registers.ERDP_LOW.read("pointer")
    xhci.interrupt(2)
    values = []

    def note() -> None:
        values.append((xhci.operational.USBSTS.read(), registers.IMAN.read(), registers.ERDP_LOW.read()))

    note()
    with k.trigger():
        xhci.operational.USBSTS.write(0)
        registers.IMAN.write(IE=1)
        note()
        xhci.operational.USBSTS.write(EINT=1)
        note()
        registers.IMAN.write(IP=1, IE=1)
        note()
        k.asm("or qword ptr [pointer], 8")  # Event Handler Busy: the ring is empty again
        registers.ERDP_LOW.write(pointer)
        note()

    run = yield

    seen = [(run[status].EINT, run[manage].IP, run[dequeue].EHB) for status, manage, dequeue in values]
    assert seen == [(1, 1, 1), (1, 1, 1), (0, 1, 1), (0, 0, 1), (0, 0, 0)]


@probe(spec="QEMU, EDU device", needs=["edu"], covers=["edu.access-kinds"])
def edu_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the registers holds 0 and 1 for itself, or keeps its value, as the documentation states."""
    bits = k.trigger(AccessProof, k, EduDevice(k), *provable_names(Edu))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe.each(controller=CONTROLLERS_8237)
@probe(
    spec="Intel 8237A, Register Description",
    covers=["dma.8237-access-kinds"],
    deviation=Deviation(
        targets="*",
        kind="bug",
        sees=r"(?m)^dma\w*\.MASK_ALL bits 3:0 \(MASK, rw\): 0 where 1 is expected, first after a write of 0x1$",
        ref="dma-8237-mask-read",
    ),
)
def bits_of_the_8237_behave(k: Kernel, controller: str) -> ProbeBody:
    """Each bit of the mask register and of the page registers holds 0 and 1 for itself."""
    if not k.platform.has_isa_dma:
        k.unsupported(f"{k.platform.name} has no ISA DMA")
    block = CONTROLLERS_8237[controller]
    with k.trigger():
        bits = AccessProof(k, block(k.bus), *provable_names(block))
        pages = ApartProof(k, DmaPages(k.bus), *provable_names(DmaPages))

    run = yield

    differences = all_differences(run, [bits, pages])
    assert not differences, differences


@probe(
    spec="Intel 82077AA, Registers",
    needs=["floppy"],
    covers=["floppy.access-kinds"],
    deviation=Deviation(
        targets="*",
        kind="unimplemented",
        sees=r"(?m)^floppy\.TDR bits 1:0 \(TAPE_SELECT, rw\): 0 where 1 is expected, first after a write of 0x1$",
        ref="dma-floppy-tape-select",
    ),
)
def floppy_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the registers holds 0 and 1 for itself, or keeps its value, as the datasheet states."""
    bits = k.trigger(AccessProof, k, Floppy(k.bus), *provable_names(Floppy))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(
    spec="Programming Interface for Bus Master IDE Controller 1.0, Register Descriptions",
    needs=["ide"],
    covers=["ide.access-kinds"],
)
def bus_master_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the bus master's registers holds 0 and 1 for itself, or keeps its value, as specified."""
    function = k.pci.function(1, 1, name="piix3_ide")
    function.enable()
    bits = k.trigger(AccessProof, k, BusMaster(k.bus, function.bar(4)), *provable_names(BusMaster))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(spec="ATA/ATAPI-6, I/O register descriptions", needs=["ide"], covers=["ide.access-kinds"])
def task_file_bits_behave(k: Kernel) -> ProbeBody:
    """While the disk is idle each bit of the command block holds 0 and 1 for itself, and the registers are apart."""
    disk = IdeDisk(k)
    wait_register(k, disk.control.ALTERNATE_STATUS, BSY=0, DRQ=0)
    names = provable_names(TaskFile)
    with k.trigger():
        bits, apart = AccessProof(k, disk, *names), ApartProof(k, disk, *names)

    run = yield

    differences = all_differences(run, [bits, apart])
    assert not differences, differences
