"""Configuration space: the ways in, headers, base addresses, capabilities."""

from harness import CapabilityId, ConfigPorts, Deviation, HeaderType, Kernel, ProbeBody, bar_size, probe
from harness.devices import Edu, EduDevice, LegacyHeader

MECHANISM = "PCI Local Bus Specification 3.0, Software Generation of Configuration Transactions"
HEADER = "PCI Local Bus Specification 3.0, Configuration Space Organization"
BARS = "PCI Local Bus Specification 3.0, Base Addresses"
COMMAND = "PCI Local Bus Specification 3.0, Device Control"

DEVICES = ["edu", "virtio-rng", "virtio-blk", "virtio-net", "nvme", "e1000e", "xhci", "hda", "pci-testdev"]
WITH_CAPABILITIES = [name for name in DEVICES if name != "pci-testdev"]


@probe(
    spec="PCI Express Base Specification, PCI Express Enhanced Configuration Access Mechanism (ECAM)",
    needs=["edu", "virtio-rng", "nvme"],
    covers=["pci.cf8-ecam"],
)
def both_ways_into_configuration_space_agree(k: Kernel) -> ProbeBody:
    """Every doubleword of every function of bus 0 reads the same through CF8h/CFCh and through ECAM."""
    if k.platform.ecam_base is None:
        k.unsupported(f"{k.platform.name} has no ECAM")
    k.pci.function(0)
    last = k.value("last")
    functions, differences = k.values("functions", "differences", initial=0)
    with k.trigger():
        k.asm("""
            mov esi, 0x80000000             # bus 0, device 0, function 0, register 0
        .Lregister:
            mov eax, esi
            call pci_read
            mov ecx, eax
            mov edi, esi
            and edi, 0xFF00                 # device and function
            shl edi, 4
            mov eax, esi
            and eax, 0xFC
            add edi, eax
            add edi, ECAM_BASE
            mov eax, dword ptr [rdi]
            cmp eax, ecx
            je .Lequal
            inc qword ptr [differences]
            mov [last], rsi
        .Lequal:
            test esi, 0xFC
            jnz .Lnext
            cmp ecx, -1
            je .Labsent
            inc qword ptr [functions]
        .Lnext:
            add esi, 4
            jmp .Lmore
        .Labsent:
            add esi, 0x100
        .Lmore:
            cmp esi, 0x80010000
            jb .Lregister
        """)

    run = yield

    assert run[functions] >= 5, "host bridge, ISA bridge and the three devices at least"
    assert run[differences] == 0, f"{run[differences]} differ, the last at CF8h address {run['last']:#x}"
    assert not run.written(last)


@probe(spec=MECHANISM, needs=["edu"], covers=["pci.absent"])
def a_function_that_is_not_there_reads_all_ones(k: Kernel) -> ProbeBody:
    """Reads of an absent device and of an absent function return all ones; writes there go nowhere."""
    device = k.pci.function(1 if k.platform.isa_bridge != 1 else 2, name="absent_device")
    function = k.pci.function(0x10, 1, name="absent_function")
    device.dword(0x04).write(0x1234_5678)
    values = [k.trigger(device.IDENTITY.read, "device"), k.trigger(function.IDENTITY.read, "function")]
    written = device.dword(0x04).read("written")

    run = yield

    assert [int(run[value]) for value in values] == [0xFFFF_FFFF] * 2
    assert run[written] == 0xFFFF_FFFF


@probe(spec=MECHANISM, needs=["edu"], covers=["pci.cf8-enable"])
def without_the_enable_bit_there_is_no_configuration_access(k: Kernel) -> ProbeBody:
    """With bit 31 of CONFIG_ADDRESS clear, CONFIG_DATA does not reach configuration space."""
    edu = k.pci.device("edu")
    edu.INTERRUPT_LINE.write(0x5A)
    ports = ConfigPorts(k.bus)
    with k.trigger():
        ports.ADDRESS.write(DEVICE_NUMBER=edu.device, REGISTER_NUMBER=0x3C >> 2)
        ports.DATA.write(0xA5A5_A5A5)
    got = ports.DATA.read("got")
    line = edu.INTERRUPT_LINE.read("line")

    run = yield

    assert run[got] == 0xFFFF_FFFF
    assert run[line] == 0x5A


@probe.each(width=[8, 16])
@probe(spec=MECHANISM, needs=["edu"], covers=["pci.cf8-width"])
def only_a_doubleword_write_reaches_config_address(k: Kernel, width: int) -> ProbeBody:
    """A byte or word at CF8h is an ordinary I/O cycle: CONFIG_ADDRESS keeps its content."""
    edu = k.pci.device("edu")
    ports = ConfigPorts(k.bus)
    ports.ADDRESS.write(ENABLE=1, DEVICE_NUMBER=edu.device)
    with k.trigger():
        k.asm(f"mov edx, 0xCF8\nmov eax, 0\nout dx, {'al' if width == 8 else 'ax'}\nin eax, dx\nmov rsi, rax")
        address = k.value("address", "rsi")
    data = ports.DATA.read("data")

    run = yield

    assert run[address] == 0x8000_0000 | 0x10 << 11
    assert run[data] == 0x11E8_1234


@probe(
    spec=MECHANISM,
    needs=["edu"],
    covers=["pci.cf8-reserved"],
    deviation=Deviation(targets="*", kind="bug", sees="reserved bits read back", ref="pci-config-address-reserved"),
)
def reserved_bits_of_config_address_read_zero(k: Kernel) -> ProbeBody:
    """CONFIG_ADDRESS bits 30:24, 1 and 0 are read-only and return zeros."""
    k.pci.device("edu")
    ports = ConfigPorts(k.bus)
    ports.ADDRESS.write(0)
    k.trigger(ports.ADDRESS.write, 0xFFFF_FFFF)
    address = ports.ADDRESS.read("address")

    run = yield

    assert run[address].ENABLE == 1
    assert run[address] == 0x80FF_FFFC, "reserved bits read back as written"


@probe.each(offset=[0, 1, 2, 3])
@probe(spec=MECHANISM, needs=["edu"], covers=["pci.cfc-bytes"])
def config_data_can_be_read_bytewise(k: Kernel, offset: int) -> ProbeBody:
    """A byte access at CFCh + n reaches byte n of the selected doubleword."""
    edu = k.pci.device("edu")
    value = k.trigger(edu.byte(offset).read, "value")

    run = yield

    assert run[value] == (0x34, 0x12, 0xE8, 0x11)[offset]


@probe.each(device=DEVICES)
@probe(spec=HEADER, covers=["pci.header"], needs=DEVICES)
def identity_and_class_cannot_be_written(k: Kernel, device: str) -> ProbeBody:
    """Vendor ID, Device ID, Revision ID, Class Code, Header Type and Subsystem ID are read-only."""
    function = k.pci.device(device)
    registers = [0x00, 0x08, 0x2C]
    before = [function.dword(offset).read(f"before_{offset:02x}") for offset in registers]
    kind = function.HEADER_TYPE.read("kind")
    with k.trigger():
        for offset in registers:
            function.dword(offset).write(0x5AA5_5AA5)
        function.byte(0x0E).write(0x7F)
    after = [function.dword(offset).read(f"after_{offset:02x}") for offset in registers]
    kind_after = function.HEADER_TYPE.read("kind_after")
    scratch = function.INTERRUPT_LINE
    k.trigger(scratch.write, 0xB7)
    line = scratch.read("line")

    run = yield

    assert [int(run[value]) for value in after] == [int(run[value]) for value in before]
    assert (int(run[before[0]]) & 0xFFFF) not in (0, 0xFFFF)
    assert run[kind] == run[kind_after] == HeaderType.of(LAYOUT=0)
    assert run[line] == 0xB7, "Interrupt Line is software's"


@probe.each(device=DEVICES)
@probe(spec=BARS, needs=DEVICES, covers=["pci.bar-size"])
def base_addresses_tell_their_size(k: Kernel, device: str) -> ProbeBody:
    """A BAR's size is a power of two, at least 16 bytes (4 for I/O), and its base is aligned to it."""
    function = k.pci.device(device)
    function.COMMAND.write(0)
    bases, masks = [], []
    for index in range(6):
        register = function.dword(0x10 + 4 * index)
        bases.append(register.read(f"base{index}"))
        k.trigger(register.write, 0xFFFF_FFFF)
        masks.append(register.read(f"mask{index}"))
        register.write(bases[-1])
    again = [function.dword(0x10 + 4 * index).read(f"again{index}") for index in range(6)]

    run = yield

    base, mask = [int(run[value]) for value in bases], [int(run[value]) for value in masks]
    assert [int(run[value]) for value in again] == base
    found, index = 0, 0
    while index < 6:
        wide = mask[index] & 7 == 4
        size = bar_size(mask[index], mask[index + 1] if wide else None)
        if mask[index]:
            assert size & size - 1 == 0
            assert size >= (4 if mask[index] & 1 else 16)
            address = base[index] & (~3 if mask[index] & 1 else ~0xF)
            assert address and address % size == 0
            found += 1
        else:
            assert base[index] == 0, "an unimplemented BAR is hardwired to zero"
        index += 2 if wide else 1
    assert found


@probe.each(device=WITH_CAPABILITIES)
@probe(
    spec="PCI Local Bus Specification 3.0, Capabilities List", needs=WITH_CAPABILITIES, covers=["pci.capability-list"]
)
def the_capability_list_ends(k: Kernel, device: str) -> ProbeBody:
    """Capabilities form a list of aligned entries above the header that ends with a null pointer."""
    function = k.pci.device(device)
    visited = k.buffer("visited", 64 * 4)
    steps = k.value("steps", 0)
    base = int(function.IDENTITY.place.base)
    status = function.STATUS.read("status")
    with k.trigger():
        k.asm(f"""
            mov eax, {base + 0x34:#x}
            call pci_read
            movzx eax, al
            mov ecx, 0
        .Lnext:
            mov dword ptr [visited+rcx*4], eax      # pointer, then that capability's header in bits 31:16
            test eax, eax
            jz .Lend
            add eax, {base - (1 << 32)}
            and eax, -4
            call pci_read
            mov word ptr [visited+rcx*4+2], ax
            shr eax, 8
            movzx eax, al
            inc ecx
            cmp ecx, 63
            jb .Lnext
        .Lend:
            mov [steps], rcx
        """)

    run = yield

    memory = run.memory(visited)
    entries = [int.from_bytes(memory[4 * n : 4 * n + 4], "little") for n in range(run[steps])]
    pointers = [entry & 0xFF for entry in entries]
    assert run[status].CAPABILITIES_LIST == 1
    assert 0 < len(entries) <= 48, "more than fit into configuration space: a loop"
    assert all(pointer >= 0x40 and pointer % 4 == 0 for pointer in pointers)
    assert len(set(pointers)) == len(pointers)
    assert {entry >> 16 & 0xFF for entry in entries} <= set(CapabilityId)


@probe(spec=COMMAND, needs=["edu"], covers=["pci.memory-space"])
def memory_space_enable_turns_the_device_on(k: Kernel) -> ProbeBody:
    """With Memory Space clear the function does not answer at its memory BAR; set again it does."""
    edu = EduDevice(k)
    first = edu.IDENTIFICATION.read("first")
    k.trigger(edu.function.COMMAND.update, MEMORY_SPACE=0)
    off = edu.IDENTIFICATION.read("off")
    edu.function.COMMAND.update(MEMORY_SPACE=1)
    again = edu.IDENTIFICATION.read("again")

    run = yield

    assert run[first].IDENTIFICATION == 0xED
    assert run[off].IDENTIFICATION != 0xED
    assert run[again] == run[first]


@probe(spec=COMMAND, needs=["virtio-rng"], covers=["pci.io-space"])
def io_space_enable_turns_the_ports_on(k: Kernel) -> ProbeBody:
    """With I/O Space clear the function does not answer at its I/O BAR; set again it does."""
    function = k.pci.device("virtio-rng")
    function.enable()
    ports = LegacyHeader(k.bus, function.bar(0))
    first = ports.QUEUE_SIZE.read("first")
    k.trigger(function.COMMAND.update, IO_SPACE=0)
    off = ports.QUEUE_SIZE.read("off")
    function.COMMAND.update(IO_SPACE=1)
    again = ports.QUEUE_SIZE.read("again")

    run = yield

    assert run[first] not in (0, 0xFFFF)
    assert run[off] == 0xFFFF
    assert run[again] == run[first]


@probe(spec=BARS, needs=["edu"], covers=["pci.bar-move"])
def a_device_moves_with_its_base_address(k: Kernel) -> ProbeBody:
    """After its BAR is rewritten the function answers at the new address and no more at the old one."""
    edu = EduDevice(k)
    edu.function.COMMAND.update(MEMORY_SPACE=0)
    k.trigger(edu.function.dword(0x10).write, 0xE000_0000)
    edu.function.COMMAND.update(MEMORY_SPACE=1)
    old = edu.IDENTIFICATION.read("old")
    new = Edu(k.bus, 0xE000_0000, name="moved").IDENTIFICATION.read("new")

    run = yield

    assert run[old].IDENTIFICATION != 0xED == run[new].IDENTIFICATION


@probe(spec="Intel 3 Series Express Chipset (MCH), PCIEXBAR", needs=["edu"], covers=["pci.pciexbar"])
def ecam_moves_with_its_base_register(k: Kernel) -> ProbeBody:
    """PCIEXBAR places ECAM: with another base it answers there and not at the old place; disabled, nowhere."""
    if k.platform.ecam_register is None:
        k.unsupported(f"{k.platform.name} has no PCIEXBAR")
    bridge = k.pci.function(0, name="host_bridge")
    k.pci.device("edu")
    address = 0x10 << 15
    k.trigger(bridge.dword(0x60).write, 0xD000_0001)
    old, new = k.peek(0xB000_0000 + address, "old", width=32), k.peek(0xD000_0000 + address, "new", width=32)
    bridge.dword(0x60).write(0xD000_0000)
    off = k.peek(0xD000_0000 + address, "off", width=32)

    run = yield

    assert run[new] == 0x11E8_1234
    assert 0x11E8_1234 not in (run[old], run[off])


@probe.each(space=["memory", "io"])
@probe(
    spec="PCI Local Bus Specification 3.0, Master Initiated Termination",
    needs=["edu"],
    covers=["pci.master-abort"],
    deviation=Deviation(
        targets="*", cases="memory", kind="bug", sees="a read that no device claims", ref="pci-master-abort"
    ),
)
def a_read_that_no_device_claims_returns_ones(k: Kernel, space: str) -> ProbeBody:
    """In a PC the host bridge returns all ones for a read that ends with Master-Abort."""
    k.pci.device("edu")
    with k.trigger():
        got = k.value("got", 1)
        if space == "memory":
            k.peek(0xE800_0000, got, width=32)
        else:
            k.asm("mov edx, 0xE800\nin eax, dx\nmov [got], rax")

    run = yield

    assert run[got] != 1
    assert run[got] == 0xFFFF_FFFF, f"a read that no device claims returns {run[got]:#x}"
