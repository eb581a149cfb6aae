"""What a reset of the machine does to devices: byte pointers, half-written commands, enables and modes."""

from collections.abc import Callable
from typing import Any

from harness import I8042, Bound, Deviation, Dma8237Master, Dma8237Slave, Kernel, ProbeBody, Value, probe, wait_register
from harness.devices import COM2, Ahci, E1000e, Nvme, Uart16550

MARKER = 0x0FED_CBA9_8765_4321
WAYS = {"hard": 6, "full": 0xE}  # what is written to port CF9h, after bit 1
RESET = "ICH9, RST_CNT—Reset Control Register (SYS_RST, RST_CPU)"
ECHO = 0xEE  # keyboard command: it answers the same byte


def around_a_reset(k: Kernel, way: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    """`before`, a reset through port CF9h, and `after` when the program runs for the second time.

    What the probe's program does in front of this call is done in both boots.
    """
    marker = k.pages.address(101)
    k.asm(f"movabs rax, {MARKER:#x}\ncmp qword ptr [{marker:#x}], rax\nje second")
    k.asm(f"mov qword ptr [{marker:#x}], rax")
    k.checkpoint("first boot")
    before()
    k.trigger(k.asm, f"mov edx, 0xCF9\nmov al, 2\nout dx, al\nmov al, {WAYS[way]:#x}\nout dx, al")
    k.delay(us=1000)
    k.asm("jmp not_reset\nsecond:")
    after()
    k.asm("not_reset:")


def require_reset_port(k: Kernel) -> None:
    """Unsupported where there is no port CF9h."""
    if k.platform.reset_port is None:
        k.unsupported(f"{k.platform.name} has no port CF9h")


@probe.each(way=list(WAYS), accesses=[1, 2, 3])
@probe(spec=f"8237A, Reset: first/last flip-flop, Mask register; {RESET}", covers=["boot.reset-8237"])
def a_reset_returns_the_8237s_byte_pointer(k: Kernel, way: str, accesses: int) -> ProbeBody:
    """After a reset the next byte of an address is the low one at both 8237s, however many bytes went before."""
    require_reset_port(k)
    chips: list[Dma8237Slave | Dma8237Master] = [Dma8237Slave(k.bus), Dma8237Master(k.bus)]
    values: list[Value[Any]] = []

    def before() -> None:
        for chip in chips:
            for number in range(accesses):
                chip.CHANNEL[1].ADDRESS.write(0x90 + number)

    def after() -> None:
        for chip in chips:
            chip.CHANNEL[1].ADDRESS.write(0x34)
            chip.CHANNEL[1].ADDRESS.write(0x12)
            chip.CLEAR_BYTE_POINTER.write(0)
            values.extend([chip.CHANNEL[1].ADDRESS.read(), chip.CHANNEL[1].ADDRESS.read()])

    around_a_reset(k, way, before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert run.machine.guest_resets == ("guest-reset",)
    assert [int(run[value]) for value in values] == [0x34, 0x12, 0x34, 0x12]


@probe.each(way=list(WAYS))
@probe(
    spec=f"IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller; {RESET}",
    covers=["boot.reset-8042"],
    deviation=Deviation(targets="*", kind="bug", sees="taken as the command's parameter", ref="boot-8042-command-kept"),
)
def a_reset_ends_a_half_written_8042_command(k: Kernel, way: str) -> ProbeBody:
    """The controller waits for a command's parameter when the machine is reset: the next byte is the keyboard's."""
    if not k.platform.has_i8042:
        k.unsupported(f"{k.platform.name} has no 8042")
    controller = I8042(k.bus)
    values: list[Value[Any]] = []

    def before() -> None:
        controller.COMMAND.write(COMMAND=0x60)

    def after() -> None:
        controller.DATA.write(ECHO)
        k.delay(us=k.by_clock(1000, 20_000))
        values.append(controller.STATUS.read("status"))
        controller.COMMAND.write(COMMAND=0x60)
        controller.DATA.write(0x03)

    around_a_reset(k, way, before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert run[values[0]].OUTPUT_BUFFER_FULL == 1, "the byte was taken as the command's parameter"


@probe.each(way=list(WAYS))
@probe(
    spec=f"IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller; {RESET}",
    covers=["boot.reset-8042"],
)
def a_reset_empties_the_output_buffer(k: Kernel, way: str) -> ProbeBody:
    """A byte that nobody read is gone after a reset."""
    if not k.platform.has_i8042:
        k.unsupported(f"{k.platform.name} has no 8042")
    controller = I8042(k.bus)
    values: list[Value[Any]] = []

    def before() -> None:
        controller.DATA.write(ECHO)
        wait_register(k, controller.STATUS, OUTPUT_BUFFER_FULL=1, ms=k.device_ms)

    around_a_reset(k, way, before, lambda: values.append(controller.STATUS.read("status")))

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert (run[values[0]].OUTPUT_BUFFER_FULL, run[values[0]].AUXILIARY_OUTPUT_BUFFER_FULL) == (0, 0)


@probe.each(way=list(WAYS))
@probe(spec=f"PC16550D, UART Reset Functions; {RESET}", needs=["com2"], covers=["boot.reset-uart"])
def a_reset_restores_the_uart(k: Kernel, way: str) -> ProbeBody:
    """Divisor access, enables, FIFOs and loopback are off after a reset, and both transmit registers are empty."""
    require_reset_port(k)
    uart = Uart16550(k.bus, COM2, name="com2")
    values: list[Value[Any]] = []

    def before() -> None:
        uart.IER.write(ERBFI=1, ETBEI=1, ELSI=1)
        uart.FCR.write(FIFO_ENABLE=1)
        uart.MCR.write(LOOP=1, DTR=1)
        uart.THR.write(0x44)
        uart.LCR.write(WLS=2, PEN=1, DLAB=1)

    def after() -> None:
        for register in (uart.LCR, uart.IER, uart.IIR, uart.LSR):
            value = k.value(f"value{len(values)}")
            k.store(value, register)
            values.append(value)
        value = k.value("modem")
        k.store(value, uart.MCR)
        values.append(value)

    around_a_reset(k, way, before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    lcr, ier, iir, lsr, mcr = (run[value] for value in values)
    assert (lcr, ier, iir, lsr) == (0, 0, 1, 0x60)
    assert mcr & 0x10 == 0


@probe.each(device=["e1000e", "nvme", "ahci"])
@probe(
    spec=f"{RESET}; Intel 82574 datasheet, Reset Operation; NVM Express 1.4, Controller Level Reset; AHCI 1.3.1, Reset",
    needs=["e1000e", "nvme", "ahci"],
    covers=["boot.reset-devices"],
)
def a_reset_disables_the_interrupts_of_devices(k: Kernel, device: str) -> ProbeBody:
    """Interrupt enables and masks, command starts and interrupt causes of a device are 0 after a reset."""
    require_reset_port(k)
    chipset = k.platform.name == "q35" and device == "ahci"
    function = k.pci.function(31, 2, name="ahci") if chipset else k.pci.device(device)
    function.enable()
    values: list[Value[Any]] = []

    def note(*registers: Bound[Any]) -> None:
        for register in registers:
            value = k.value(f"value{len(values)}")
            k.store(value, register)
            values.append(value)

    if device == "e1000e":
        card = E1000e(k.bus, function.bar(0))

        def before() -> None:
            card.IMS.write(0x0000_0095)
            card.ICS.write(0x0000_0005)
            card.EIAC.write(1 << 20)
            card.IAM.write(0x81)

        def after() -> None:
            note(card.IMS, card.EIAC, card.IAM)
    elif device == "nvme":
        nvme = Nvme(k.bus, function.bar(0))

        def before() -> None:
            nvme.INTMS.write(VECTORS=0x8000_0003)

        def after() -> None:
            note(nvme.INTMS, nvme.CC, nvme.CSTS)
    else:
        disk = Ahci(k.bus, function.bar(5))

        def before() -> None:
            disk.GHC.write(AE=1, IE=1)
            disk.PORT[0].IE.write(DHRE=1, TFEE=1)
            disk.PORT[1].IE.write(DPE=1)

        def after() -> None:
            note(disk.PORT[0].IE, disk.PORT[1].IE)

    around_a_reset(k, "hard", before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert [run[value] for value in values] == [0] * len(values)


@probe(
    spec=f"{RESET}; NVM Express 1.4, Controller Level Reset (AQA, ASQ, ACQ)",
    needs=["nvme"],
    covers=["boot.reset-devices"],
    deviation=Deviation(targets="*", kind="bug", sees="the admin queues are kept", ref="boot-nvme-admin-queues-kept"),
)
def a_reset_clears_the_admin_queues_of_nvme(k: Kernel) -> ProbeBody:
    """Only the reset by CC.EN keeps AQA, ASQ and ACQ: after a reset of the machine they are 0."""
    require_reset_port(k)
    function = k.pci.device("nvme")
    function.enable()
    nvme = Nvme(k.bus, function.bar(0))
    values: list[Value[Any]] = []

    def before() -> None:
        nvme.AQA.write(ASQS=7, ACQS=5)
        nvme.ASQ.write(0x0123_4000)
        nvme.ACQ.write(0x0456_7000)

    def after() -> None:
        values.extend([nvme.AQA.read(), nvme.ASQ.read(), nvme.ACQ.read()])

    around_a_reset(k, "hard", before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert [int(run[value]) for value in values] == [0, 0, 0], "the admin queues are kept"


@probe(
    spec=f"PC16550D, UART Reset Functions (FIFO Control: all bits low); {RESET}",
    needs=["com2"],
    covers=["boot.reset-uart"],
    deviation=Deviation(targets="*", kind="bug", sees="the FIFOs are still enabled", ref="boot-uart-fifo-kept"),
)
def a_reset_disables_the_fifos_of_the_uart(k: Kernel) -> ProbeBody:
    """The FIFOs are off after a reset: the second of two unread bytes takes the place of the first."""
    require_reset_port(k)
    uart = Uart16550(k.bus, COM2, name="com2")
    values: list[Value[Any]] = []

    def before() -> None:
        uart.FCR.write(FIFO_ENABLE=1)

    def after() -> None:
        uart.LCR.write(WLS=3)
        uart.MCR.write(LOOP=1)
        for byte in (0x36, 0x77):
            uart.THR.write(byte)
            k.delay(us=k.by_clock(2000, 20_000))  # 9600 baud after a reset
        values.extend([uart.LSR.read(), uart.RBR.read()])

    around_a_reset(k, "hard", before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    status, byte = (run[value] for value in values)
    assert (status.OE, int(byte)) == (1, 0x77), "the FIFOs are still enabled"


@probe(spec=f"PCI Local Bus Specification 3.0, Message Control for MSI; Command Register; {RESET}", needs=["edu"],
       covers=["boot.reset-msi"])  # fmt: skip
def a_reset_disables_msi(k: Kernel) -> ProbeBody:
    """MSI Enable is 0 after a reset."""
    require_reset_port(k)
    function = k.pci.device("edu")
    capability = function.capability(0x05)
    values: list[Value[Any]] = []

    def before() -> None:
        function.enable_msi(0x5A)

    def after() -> None:
        value = k.value("control")
        k.asm(f"mov eax, [{capability.name}]\ncall pci_read\nmov [{value.name}], rax")
        values.append(value)

    around_a_reset(k, "hard", before, after)

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert run[values[0]] >> 16 & 1 == 0
    assert run[values[0]] & 0xFF == 0x05, "the capability"
