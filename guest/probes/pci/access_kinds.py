"""The access kinds of configuration space and of message tables, bit by bit as the register maps state them."""

from harness import (
    AccessProof,
    ApartProof,
    CapabilityId,
    ConfigPorts,
    Deviation,
    ErrorReporting,
    ExpressCapability,
    Ich9Lpc,
    Kernel,
    Msi32Masked,
    Msi64,
    MsixCapability,
    MsixEntry,
    Piix3Isa,
    ProbeBody,
    Type0Header,
    Type1Header,
    all_differences,
    config_address,
    probe,
    provable,
    provable_names,
)
from harness.devices import RootPort

DEVICES = ["virtio-blk", "nvme", "xhci", "hda", "pci-testdev"]
WITH_MSI = ["hda", "xhci-msi"]
WITH_MSIX = ["virtio-rng", "nvme", "xhci"]

MSI = provable(Msi64)
ENTRY = provable(MsixEntry)


@probe(
    spec="PCI Local Bus Specification 3.0, Configuration Space Organization", needs=DEVICES, covers=["pci.access-kinds"]
)
def header_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of a function's header holds 0 and 1 for itself, or keeps its value, as the specification states."""
    with k.trigger():
        proofs = [AccessProof(k, k.pci.device(device), *provable_names(Type0Header)) for device in DEVICES]

    run = yield

    differences = all_differences(run, proofs)
    assert not differences, differences


@probe(spec="PCI Local Bus Specification 3.0, MSI Capability Structure", needs=WITH_MSI, covers=["msi.access-kinds"])
def msi_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the MSI capability holds 0 and 1 for itself, or keeps its value, as the specification states."""
    with k.trigger():
        proofs = []
        for device in WITH_MSI:
            capability = k.pci.device(device).capability(CapabilityId.MSI)
            proofs.append(AccessProof(k, Msi64(k.bus, capability, name=f"{device}.msi"), *provable_names(Msi64)))

    run = yield

    differences = all_differences(run, proofs)
    assert not differences, differences


@probe(
    spec="PCI Local Bus Specification 3.0, MSI-X Capability & Table Structures",
    needs=WITH_MSIX,
    covers=["msix.access-kinds"],
)
def msix_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the MSI-X capability and of two table entries holds 0 and 1 for itself, or keeps its value."""
    proofs = []
    for device in WITH_MSIX:
        function = k.pci.device(device)
        function.enable()
        msix = function.msix()
        with k.trigger():
            proofs.append(AccessProof(k, msix.capability, *provable_names(MsixCapability)))
            proofs += [AccessProof(k, msix.table.ENTRY[index], *provable_names(MsixEntry), MASK=1) for index in (0, 1)]

    run = yield

    differences = all_differences(run, proofs)
    assert not differences, differences


@probe(
    spec="PCI Local Bus Specification 3.0, MSI-X Capability & Table Structures",
    needs=WITH_MSIX,
    covers=["msix.access-kinds"],
)
def msix_entries_are_apart(k: Kernel) -> ProbeBody:
    """Each entry of an MSI-X table holds what was written to it, whatever is written to the others."""
    proofs = []
    for device in WITH_MSIX:
        function = k.pci.device(device)
        function.enable()
        msix = function.msix()
        names = [
            f"ENTRY[{index}].{name}" for index in range(min(msix.entries or 2, 5)) for name in provable_names(MsixEntry)
        ]
        proofs.append(k.trigger(ApartProof, k, msix.table, *names, MASK=1))

    run = yield

    differences = all_differences(run, proofs)
    assert not differences, differences


@probe(
    spec="PCI-to-PCI Bridge Architecture 1.2, Type 01h; PCI Express Base Specification 4.0, Capability Structures",
    needs=["root-port"],
    covers=["pci.bridge-access-kinds"],
)
def root_port_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of a root port's header and capabilities holds 0 and 1 for itself, or keeps its value, as stated."""
    port = RootPort(k)
    bridge = Type1Header(k.bus, int(config_address(0, port.function.device, 0)), name="root_port")
    with k.trigger():
        proofs = [
            AccessProof(k, bridge, *provable_names(Type1Header)),
            AccessProof(k, port.msi, *provable_names(Msi32Masked)),
            AccessProof(k, port.express, *provable_names(ExpressCapability)),
        ]
        if k.platform.ecam_base is not None:
            proofs.append(AccessProof(k, port.report_errors(), *provable_names(ErrorReporting)))

    run = yield

    differences = all_differences(run, proofs)
    assert not differences, differences


@probe(
    spec="PCI Express Base Specification 4.0, Slot Status Register",
    needs=["root-port"],
    covers=["pci.slot-acknowledge"],
)
def command_completed_is_acknowledged_alone(k: Kernel) -> ProbeBody:
    """Command Completed stays while every other bit of the slot's status is acknowledged; its own 1 clears it."""
    port = RootPort(k)
    port.command()
    values = [port.express.SLOT_STATUS.read("set")]
    with k.trigger():
        for written in (0, 0xFFEF, 0x0010):
            port.express.SLOT_STATUS.write(written)
            values.append(port.express.SLOT_STATUS.read())

    run = yield

    assert [run[value].COMMAND_COMPLETED for value in values] == [1, 1, 1, 0]


@probe(
    spec="PCI Local Bus Specification 3.0, Software Generation of Configuration Transactions",
    needs=["virtio-rng"],
    covers=["pci.config-address-kept"],
)
def config_address_stays_selected(k: Kernel) -> ProbeBody:
    """CONFIG_ADDRESS keeps what it selects over reads and writes of CONFIG_DATA of every width and at every byte."""
    function = k.pci.device("virtio-rng")
    ports = ConfigPorts(k.bus)
    ports.ADDRESS.write(ENABLE=1, DEVICE_NUMBER=function.device, REGISTER_NUMBER=0x3C >> 2)
    line = k.value("line")
    with k.trigger():
        k.asm("""
            mov edx, 0xCFC
            mov al, 0xB7
            out dx, al
            in ax, dx
            mov edx, 0xCFD
            in al, dx
            mov edx, 0xCFE
            in ax, dx
            mov edx, 0xCFF
            in al, dx
            mov edx, 0xCFC
            in eax, dx
            movzx eax, al
            mov [line], rax
        """)
    address = ports.ADDRESS.read("address")

    run = yield

    assert run[line] == 0xB7
    assert int(run[address]) == int(config_address(0, function.device, 0, 0x3C))


@probe(
    spec="PCI Local Bus Specification 3.0, Software Generation of Configuration Transactions",
    needs=["virtio-rng"],
    covers=["pci.near-addresses"],
)
def a_near_function_number_is_another_function(k: Kernel) -> ProbeBody:
    """A write to a bus, device or function number that differs in one bit does not reach the function."""
    function = k.pci.device("virtio-rng")
    function.INTERRUPT_LINE.write(0xB7)
    own = int(config_address(0, function.device, 0, 0x3C))
    with k.trigger():
        k.asm(f"""
            mov ecx, 8                      # function, device and bus number are bits 23:8
        .Lnext:
            mov eax, 1
            shl eax, cl
            xor eax, {own:#x}
            mov edx, 0xCF8
            out dx, eax
            mov edx, 0xCFC
            mov al, 0x48
            out dx, al
            inc ecx
            cmp ecx, 24
            jb .Lnext
        """)
        line = function.INTERRUPT_LINE.read("line")

    run = yield

    assert run[line] == 0xB7


@probe(
    spec="Intel I/O Controller Hub 9 datasheet, PIRQ[n]_ROUT; Intel 82371SB (PIIX3) datasheet, PIRQRC[A:D]",
    needs=["virtio-rng"],
    covers=["pci.pirq-access-kinds"],
)
def pirq_route_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the PIRQ route registers holds 0 and 1 for itself, and the registers are apart."""
    function = k.pci.function(k.platform.isa_bridge or 0, name="isa_bridge")
    block = Ich9Lpc if k.platform.name == "q35" else Piix3Isa
    bridge = block(k.bus, name=function.name)
    names = [name for member, names in provable(block).items() if member.startswith("PIRQ") for name in names]
    with k.trigger():
        bits, apart = AccessProof(k, bridge, *names), ApartProof(k, bridge, *names)

    run = yield

    differences = all_differences(run, [bits, apart])
    assert not differences, differences


@probe.each(first=["BAD_TLP", "BAD_DLLP"])
@probe(
    spec="PCI Express Base Specification 4.0, Correctable Error Status Register",
    needs=["root-port"],
    covers=["pci.aer-acknowledge"],
)
def correctable_errors_are_acknowledged_one_by_one(k: Kernel, first: str) -> ProbeBody:
    """Of two correctable errors of a port, clearing one leaves the other."""
    errors = RootPort(k).report_errors()
    errors.CORRECTABLE_STATUS.write(0xFFFF_FFFF)
    k.checkpoint("errors")
    second = "BAD_DLLP" if first == "BAD_TLP" else "BAD_TLP"
    values = []
    with k.trigger():
        for fields in ({}, {first: 1}, {second: 1}):
            errors.CORRECTABLE_STATUS.write(0, **fields)
            values.append(errors.CORRECTABLE_STATUS.read())

    run = yield

    with run.stopped_at("errors"):
        run.trigger(run.hmp, "pcie_aer_inject_error root-port BAD_TLP")
        run.trigger(run.hmp, "pcie_aer_inject_error root-port BAD_DLLP")
    assert [(getattr(run[v], first), getattr(run[v], second)) for v in values] == [(1, 1), (0, 1), (0, 0)]


@probe(
    spec="PCI Express Base Specification 4.0, Root Error Status Register",
    needs=["root-port"],
    covers=["pci.aer-acknowledge"],
)
def root_errors_are_acknowledged_one_by_one(k: Kernel) -> ProbeBody:
    """After two non-fatal errors the root's status has three bits set; clearing one leaves the others."""
    errors = RootPort(k).report_errors()
    errors.ROOT_ERROR_STATUS.write(0xFFFF_FFFF)
    k.checkpoint("errors")
    names = ("MULTIPLE_ERR_FATAL_NONFATAL_RECEIVED", "NON_FATAL_ERROR_MESSAGES_RECEIVED", "ERR_FATAL_NONFATAL_RECEIVED")
    values = []
    with k.trigger():
        for fields in ({}, *({name: 1} for name in names)):
            errors.ROOT_ERROR_STATUS.write(0, **fields)
            values.append(errors.ROOT_ERROR_STATUS.read())

    run = yield

    with run.stopped_at("errors"):
        run.trigger(run.hmp, "pcie_aer_inject_error root-port COMP_TIME")
        run.trigger(run.hmp, "pcie_aer_inject_error root-port UNX_COMP")
    seen = [[getattr(run[value], name) for name in names] for value in values]
    assert seen == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]


@probe(
    spec="PCI Express Base Specification 4.0, Error Signaling and Logging; Root Error Status Register",
    needs=["root-port"],
    covers=["pci.aer-correctable-report"],
    deviation=Deviation(
        targets="*", versions="<8", kind="bug", sees="the root has received nothing", ref="pci-aer-correctable"
    ),
)
def a_correctable_error_is_reported_to_the_root(k: Kernel) -> ProbeBody:
    """With Correctable Error Reporting Enable a correctable error sends ERR_COR, whatever SERR# Enable is."""
    port = RootPort(k)
    errors = port.report_errors()
    port.express.DEVICE_CONTROL.write(CORRECTABLE_ERROR_REPORTING_ENABLE=1)
    errors.ROOT_ERROR_STATUS.write(0xFFFF_FFFF)
    k.checkpoint("errors")
    status = errors.ROOT_ERROR_STATUS.read("status")

    run = yield

    with run.stopped_at("errors"):
        run.trigger(run.hmp, "pcie_aer_inject_error root-port BAD_TLP")
    assert run[status].ERR_COR_RECEIVED == 1, "the root has received nothing"
