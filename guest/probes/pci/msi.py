"""MSI: a function's interrupt as a memory write. On edu, which has one message and a 64-bit address."""

from harness import MSI_ADDRESS_BASE, DeliveryMode, Deviation, Kernel, MessageAddress, ProbeBody, probe
from harness.devices import EduDevice

VECTOR = 0x62
INTX = 0x63
CAUSE = 0x8

CAPABILITY = "PCI Local Bus Specification 3.0, MSI Capability Structure"
OPERATION = "PCI Local Bus Specification 3.0, MSI and MSI-X Operation"
ADDRESS = "SDM vol. 3A, Message Address Register Format"


@probe(spec=OPERATION, needs=["edu"], covers=["msi.message", "msi.edu"])
def each_event_sends_one_message(k: Kernel) -> ProbeBody:
    """With MSI enabled every interrupt event of the function arrives once, at the vector in Message Data."""
    edu = EduDevice(k, vector=VECTOR)
    for number in (1, 2, 3):
        k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
        k.wait_for(VECTOR, number)
    k.stay_quiet()

    run = yield

    assert run.vectors == [VECTOR] * 3
    assert run.lapic.isr == set()
    assert VECTOR not in run.lapic.tmr


@probe(spec="SDM vol. 3A, Message Data Register Format", needs=["edu"], covers=["msi.data-vector"])
def every_vector_that_data_can_name_arrives(k: Kernel) -> ProbeBody:
    """Message Data's vector field reaches each of the vectors 16 to 254 (255 is the spurious vector here)."""
    edu = EduDevice(k)
    msi = edu.enable_msi(16)
    order = [*range(16, 255, 2), *range(17, 255, 2)]
    k.expect(*range(16, 32))
    k.sti()
    for vector in order:
        msi.DATA.write(VECTOR=vector)
        k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
        k.wait_for(vector)

    run = yield

    assert run.vectors == order


@probe.each(vector=[0, 15])
@probe(
    spec="SDM vol. 3A, Valid Interrupt Vectors; SDM vol. 3A, Error Handling",
    needs=["edu"],
    covers=["msi.illegal-vector"],
    deviation=[
        Deviation(targets=targets, cases=cases, kind="unimplemented", sees=sees, ref="pci-msi-illegal-vector")
        for targets, cases, sees in (
            ("*-tcg *-tcg-rt", "vector0xf", ["delivered as vectors", "no error was recorded"]),
            ("*-kvm", "vector0xf", "no error was recorded"),
            ("*", "vector0", "no error was recorded"),
        )
    ],
)
def a_message_with_an_illegal_vector_is_an_error(k: Kernel, vector: int) -> ProbeBody:
    """A fixed message with a vector below 16 causes no interrupt and sets ESR's Receive Illegal Vector."""
    edu = EduDevice(k)
    edu.enable_msi(vector)
    k.expect(vector)
    k.lapic.ESR.write(0)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()
    pending = edu.INTERRUPT_STATUS.read("pending")
    k.lapic.ESR.write(0)
    esr = k.lapic.ESR.read("esr")

    run = yield

    assert run[pending] == CAUSE
    assert run.vectors == [], f"delivered as vectors {run.vectors}"
    assert run[esr].RECEIVED_ILLEGAL_VECTOR == 1, "no error was recorded"


@probe(spec=OPERATION, needs=["edu"], covers=["msi.silences-intx"])
def enabling_msi_silences_intx(k: Kernel) -> ProbeBody:
    """While MSI is enabled the function must not use INTx#; the same event then arrives as a message alone."""
    edu = EduDevice(k)
    k.ioapic.redirect_pci(edu.pin, INTX)
    edu.enable_msi(VECTOR)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(VECTOR, quiet_ms=1)
    pending = edu.INTERRUPT_STATUS.read("pending")

    run = yield

    assert run[pending] == CAUSE, "the cause must still be there"
    assert run.vectors == [VECTOR]


@probe(spec=CAPABILITY, needs=["edu"], covers=["msi.disable"])
def clearing_msi_enable_gives_intx_back(k: Kernel) -> ProbeBody:
    """With MSI Enable cleared again the function's events assert INTx# as before."""
    edu = EduDevice(k)
    k.handler(INTX).do(edu.INTERRUPT_ACKNOWLEDGE.write, CAUSE)
    k.ioapic.redirect_pci(edu.pin, INTX)
    msi = edu.enable_msi(VECTOR)
    msi.CONTROL.update(ENABLE=0)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(INTX, quiet_ms=1)

    run = yield

    assert run.vectors == [INTX]


@probe(spec=OPERATION, needs=["edu"], covers=["msi.memory-write"])
def the_message_is_a_doubleword_memory_write(k: Kernel) -> ProbeBody:
    """The message is a write of one doubleword, Message Data below 16 zero bits, to whatever Message Address is."""
    memory = k.buffer("memory", 16, fill=0xA5)
    edu = EduDevice(k)
    msi = edu.enable_msi(VECTOR)
    msi.ADDRESS.write(memory.address + 4)
    msi.DATA.write(0xBEEF)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()

    run = yield

    assert run.memory(memory).hex(" ", 4) == "a5a5a5a5 efbe0000 a5a5a5a5 a5a5a5a5"
    assert run.vectors == []


@probe(spec=CAPABILITY, needs=["edu"], covers=["msi.upper-address"])
def a_message_above_4_gib_is_no_interrupt(k: Kernel) -> ProbeBody:
    """Message Upper Address takes part in the address: FEEx_xxxxh above 4 GiB reaches no local APIC."""
    edu = EduDevice(k)
    msi = edu.enable_msi(VECTOR)
    msi.ADDRESS_UPPER.write(1)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()
    pending = edu.INTERRUPT_STATUS.read("pending")
    k.mark("upper address cleared")
    msi.ADDRESS_UPPER.write(0)
    edu.INTERRUPT_RAISE.write(CAUSE)
    k.wait_for(VECTOR)

    run = yield

    assert run[pending] == CAUSE
    assert run.sequence == ["upper address cleared", VECTOR]


@probe(spec=f"PCI Local Bus Specification 3.0, Command Register; {OPERATION}", needs=["edu"], covers=["msi.bus-master"])
def a_message_without_bus_master_enable_is_lost(k: Kernel) -> ProbeBody:
    """Bus Master clear forbids the memory write that a message is; setting it later does not send it again."""
    edu = EduDevice(k, bus_master=False)
    edu.enable_msi(VECTOR)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()
    pending = edu.INTERRUPT_STATUS.read("pending")
    k.mark("bus master set")
    edu.function.enable()
    k.stay_quiet()

    run = yield

    assert run[pending] == CAUSE
    assert run.vectors == []


@probe(spec=CAPABILITY, needs=["edu"], covers=["msi.capability"])
def only_software_fields_of_the_capability_can_be_written(k: Kernel) -> ProbeBody:
    """In Message Control only the two enables can be written; address bits 1:0 read as 0."""
    edu = EduDevice(k)
    msi = edu.enable_msi(VECTOR)
    before = msi.CONTROL.read("before")
    k.trigger(msi.CONTROL.write, 0xFF8E)
    after = msi.CONTROL.read("after")
    msi.ADDRESS.write(0xFFFF_FFFF)
    address = msi.ADDRESS.read("address")
    msi.ADDRESS_UPPER.write(0x8765_4321)
    upper = msi.ADDRESS_UPPER.read("upper")
    msi.DATA.write(0xFFFF)
    data = msi.DATA.read("data")

    run = yield

    assert (run[before].ENABLE, run[after].ENABLE) == (1, 0)
    fixed = ("MULTIPLE_MESSAGE_CAPABLE", "ADDRESS_64", "PER_VECTOR_MASKING")
    assert [getattr(run[after], name) for name in fixed] == [getattr(run[before], name) for name in fixed]
    assert int(run[after]) >> 9 == 0, "reserved bits"
    assert (run[address], run[upper], run[data]) == (0xFFFF_FFFC, 0x8765_4321, 0xFFFF)


@probe(spec="SDM vol. 3A, Message Data Register Format", needs=["edu"], covers=["msi.delivery-mode"])
def delivery_mode_nmi_ignores_the_vector(k: Kernel) -> ProbeBody:
    """A message with delivery mode NMI arrives as vector 2, whatever its vector field, with interrupts off."""
    edu = EduDevice(k)
    edu.enable_msi(VECTOR, DELIVERY_MODE=DeliveryMode.NMI)
    k.expect(2)
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(2, quiet_ms=1)

    run = yield

    assert run.fields("vector", "in_service") == [(2, False)]
    assert run.lapic.irr == set()


@probe.each(level=[0, 1])
@probe(
    spec="SDM vol. 3A, Message Data Register Format; SDM vol. 3A, Interrupt Acceptance for Fixed Interrupts",
    needs=["edu"],
    covers=["msi.trigger-mode"],
)
def trigger_mode_of_the_message_goes_into_the_tmr(k: Kernel, level: int) -> ProbeBody:
    """The TMR bit of the vector is 1 after a level-triggered message was accepted, 0 after an edge-triggered one."""
    edu = EduDevice(k)
    msi = edu.enable_msi(VECTOR, TRIGGER_MODE=1 - level, LEVEL=1)
    k.sti()
    edu.INTERRUPT_RAISE.write(CAUSE)  # the other mode first: the bit must follow the last acceptance
    k.wait_for(VECTOR)
    k.cli()
    msi.DATA.write(VECTOR=VECTOR, TRIGGER_MODE=level, LEVEL=1)
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.stay_quiet()

    run = yield

    assert run.lapic.irr == {VECTOR}
    assert (VECTOR in run.lapic.tmr) == bool(level)
    assert run.vectors == [VECTOR]


@probe.each(cpu=[0, 1])
@probe(spec=ADDRESS, needs=["edu"], cpus=2, covers=["msi.destination"])
def physical_destination_selects_the_processor(k: Kernel, cpu: int) -> ProbeBody:
    """Destination ID in the address, physical mode, is the APIC ID of the one processor that is interrupted."""
    edu = EduDevice(k)
    edu.enable_msi(VECTOR, destination=cpu)
    _both_listen(k, edu, total=1)

    run = yield

    assert [run.count(VECTOR, cpu=number) for number in (0, 1)] == [1 - cpu, cpu]
    assert run.vectors == [VECTOR]


@probe(spec=ADDRESS, needs=["edu"], cpus=2, covers=["msi.destination"])
def destination_ff_is_a_broadcast(k: Kernel) -> ProbeBody:
    """Destination ID FFh in physical mode reaches every processor, each once."""
    edu = EduDevice(k)
    edu.enable_msi(VECTOR, destination=0xFF)
    _both_listen(k, edu, total=2)

    run = yield

    assert [run.count(VECTOR, cpu=number) for number in (0, 1)] == [1, 1]


@probe.each(set_=[0b01, 0b10, 0b11])
@probe(spec=f"{ADDRESS}; SDM vol. 3A, Logical Destination Mode", needs=["edu"], cpus=2, covers=["msi.logical"])
def logical_destination_is_a_set_of_processors(k: Kernel, set_: int) -> ProbeBody:
    """Redirection hint and destination mode 1, flat model: a message to a set of one goes to its member."""
    edu = EduDevice(k)
    msi = edu.enable_msi(VECTOR, DELIVERY_MODE=DeliveryMode.LOWEST_PRIORITY)
    msi.ADDRESS.write(int(MessageAddress.to(set_, DESTINATION_MODE=1, REDIRECTION_HINT=1)))
    _both_listen(k, edu, total=1)

    run = yield

    counts = [run.count(VECTOR, cpu=number) for number in (0, 1)]
    assert sum(counts) == 1, "lowest priority: exactly one of the addressed processors"
    assert set_ >> counts.index(1) & 1, "and it is one of them"


@probe(spec=f"{ADDRESS}; SDM vol. 3A, Logical Destination Mode", needs=["edu"], cpus=2, covers=["msi.logical"])
def logical_destination_with_fixed_delivery_reaches_the_whole_set(k: Kernel) -> ProbeBody:
    """Destination mode 1 without redirection hint, fixed delivery: each processor of the set is interrupted."""
    edu = EduDevice(k)
    msi = edu.enable_msi(VECTOR)
    msi.ADDRESS.write(MSI_ADDRESS_BASE, DESTINATION_MODE=1, DESTINATION_ID=0b11)
    _both_listen(k, edu, total=2)

    run = yield

    assert [run.count(VECTOR, cpu=number) for number in (0, 1)] == [1, 1]


def _both_listen(k: Kernel, edu: EduDevice, *, total: int) -> None:
    """Both processors take interrupts, with logical IDs 1 and 2; then one event, which must arrive `total` times."""
    with k.smp.listening():
        k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
        k.wait_for(VECTOR, total, ms=2000, quiet_ms=1)
