"""The byte pointer of the 8237: which half of an address or count the next access reaches."""

from collections.abc import Callable

from harness import Dma8237Master, Dma8237Slave, Kernel, ProbeBody, probe

CONTROLLERS: dict[str, type[Dma8237Slave] | type[Dma8237Master]] = {"slave": Dma8237Slave, "master": Dma8237Master}
LOW, HIGH = 0x34, 0x9D
SPEC = "Intel 8237A, Software Commands: Clear First/Last Flip-Flop, Master Clear"


def begin(k: Kernel, controller: str) -> Dma8237Slave | Dma8237Master:
    """The controller with HIGH:LOW in the address of channel 2 and the pointer at the low byte."""
    if not k.platform.has_isa_dma:
        k.unsupported(f"{k.platform.name} has no ISA DMA")
    dma = CONTROLLERS[controller](k.bus)
    dma.MASK_ALL.write(0xF)
    dma.CLEAR_BYTE_POINTER.write(0)
    dma.CHANNEL[2].ADDRESS.write(LOW)
    dma.CHANNEL[2].ADDRESS.write(HIGH)
    return dma


@probe.each(controller=CONTROLLERS)
@probe(spec=SPEC, covers=["dma.8237-byte-pointer"])
def a_command_returns_the_pointer_to_the_low_byte(k: Kernel, controller: str) -> ProbeBody:
    """After an odd number of accesses the pointer is at the high byte; both clear commands return it to the low one."""
    dma = begin(k, controller)
    address = dma.CHANNEL[2].ADDRESS
    before, after = [], []
    for command, accesses in ((dma.CLEAR_BYTE_POINTER, 1), (dma.MASTER_CLEAR, 3)):
        before += [address.read() for _ in range(accesses)]
        k.trigger(command.write, 0)
        after += [address.read(), address.read()]

    run = yield

    assert [int(run[value]) for value in before] == [LOW, LOW, HIGH, LOW]
    assert [int(run[value]) for value in after] == [LOW, HIGH] * 2


@probe.each(controller=CONTROLLERS)
@probe(spec=SPEC, covers=["dma.8237-byte-pointer"])
def all_channels_share_one_pointer(k: Kernel, controller: str) -> ProbeBody:
    """A controller has one pointer: an access to one register moves it for the registers of every channel."""
    dma = begin(k, controller)
    dma.CHANNEL[3].COUNT.write(0x12)
    dma.CHANNEL[3].COUNT.write(0x7B)
    first = k.trigger(dma.CHANNEL[3].COUNT.read, "first")
    values = [dma.CHANNEL[2].ADDRESS.read("high"), dma.CHANNEL[3].COUNT.read("low")]

    run = yield

    assert [int(run[value]) for value in (first, *values)] == [0x12, HIGH, 0x12]


@probe(spec=SPEC, covers=["dma.8237-byte-pointer"])
def each_controller_has_a_pointer_of_its_own(k: Kernel) -> ProbeBody:
    """An access to one controller does not move the pointer of the other, and neither do its clear commands."""
    slave, master = begin(k, "slave"), begin(k, "master")
    first = [slave.CHANNEL[2].ADDRESS.read("slave_low")]
    with k.trigger():
        first.append(master.CHANNEL[2].ADDRESS.read("master_low"))
        master.CLEAR_BYTE_POINTER.write(0)
    rest = [slave.CHANNEL[2].ADDRESS.read("slave_high"), master.CHANNEL[2].ADDRESS.read("master_low_again")]

    run = yield

    assert [int(run[value]) for value in (*first, *rest)] == [LOW, LOW, HIGH, LOW]


@probe(spec=SPEC, covers=["dma.8237-byte-pointer"])
def other_registers_leave_the_pointer_alone(k: Kernel) -> ProbeBody:
    """Accesses to registers of one byte do not move the pointer."""
    dma = begin(k, "slave")
    accesses: list[Callable[[], object]] = [
        lambda: dma.STATUS.read(),
        lambda: dma.SINGLE_MASK.write(CHANNEL=3, SET=1),
        lambda: dma.MODE.write(CHANNEL=2, MODE=1),
        lambda: dma.MASK_ALL.write(0xF),
        lambda: dma.COMMAND.write(0),
    ]
    values = []
    for access in accesses:
        values.append(dma.CHANNEL[2].ADDRESS.read())
        access()
        values.append(k.trigger(dma.CHANNEL[2].ADDRESS.read))

    run = yield

    assert [int(run[value]) for value in values] == [LOW, HIGH] * len(accesses)
