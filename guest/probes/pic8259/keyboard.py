"""The 8042's two ports behind one output buffer, and a PCI function on input 7."""

from harness import I8042, ControllerStatus, Kernel, ProbeBody, Value, probe, wait_register
from harness.devices import EduDevice

MASTER, SLAVE = 0x58, 0xA8
CAUSE = 0x4000
ECHO, ENABLE_REPORTING, ACKNOWLEDGE = 0xEE, 0xF4, 0xFA  # keyboard command and its answer; mouse command and its answer
TO_MOUSE = 0xD4  # controller command: the next byte goes to the auxiliary device
CONTROLLER = "IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller"


@probe.each(first=["keyboard", "mouse"])
@probe(spec=f"{CONTROLLER}: Status Register, Output Buffer", covers=["pic8259.output-buffer"])
def a_full_output_buffer_holds_the_other_port_back(k: Kernel, first: str) -> ProbeBody:
    """While one port's byte is unread the other's waits: its interrupt and its status bit come with the next byte."""
    if not k.platform.has_i8042:
        k.unsupported(f"{k.platform.name} has no 8042")
    controller = I8042(k.bus)
    k.pic.initialize(base=MASTER, slave_base=SLAVE)
    seen: list[Value[ControllerStatus]] = []
    requests = []

    def note() -> None:
        seen.append(controller.STATUS.read())
        requests.append((k.pic.irr(k.pic.MASTER), k.pic.irr(k.pic.SLAVE)))

    def ask(port: str) -> None:
        if port == "mouse":
            controller.COMMAND.write(COMMAND=TO_MOUSE)
        controller.DATA.write(ECHO if port == "keyboard" else ENABLE_REPORTING)

    second = "mouse" if first == "keyboard" else "keyboard"
    controller.COMMAND.write(COMMAND=0x60)
    controller.DATA.write(0x03)  # both ports enabled, both interrupts
    note()
    ask(first)
    wait_register(k, controller.STATUS, OUTPUT_BUFFER_FULL=1, ms=k.device_ms)
    ask(second)
    k.stay_quiet()
    note()
    data = [k.trigger(controller.DATA.read)]
    auxiliary = int(second == "mouse")
    wait_register(k, controller.STATUS, OUTPUT_BUFFER_FULL=1, AUXILIARY_OUTPUT_BUFFER_FULL=auxiliary, ms=k.device_ms)
    note()
    data.append(controller.DATA.read())
    note()

    run = yield

    full = [(run[status].OUTPUT_BUFFER_FULL, run[status].AUXILIARY_OUTPUT_BUFFER_FULL) for status in seen]
    assert full[:3] == [(0, 0), (1, 1 - auxiliary), (1, auxiliary)]
    assert full[3][0] == 0
    lines = [(int(run[master]) >> 1 & 1, int(run[slave]) >> 4 & 1) for master, slave in requests[:3]]
    assert lines[:2] == [(0, 0), (auxiliary, 1 - auxiliary)]
    assert lines[2][auxiliary] == 1
    expected = {"keyboard": ECHO, "mouse": ACKNOWLEDGE}
    assert [int(run[value]) for value in data] == [expected[first], expected[second]]


@probe(
    spec="Intel 8259A datasheet, Edge and Level Triggered Modes (default IR7)",
    needs=["edu"],
    covers=["pic8259.ir7-device"],
)
def a_pci_request_on_input_7_is_told_from_a_spurious_one(k: Kernel) -> ProbeBody:
    """A PCI function on input 7 sets ISR bit 7 when it interrupts, and needs its EOI: the default IR7 has none."""
    edu = EduDevice(k)
    k.pci.pirq_route(edu.function).write(7)
    k.pic.initialize(base=MASTER, slave_base=SLAVE)
    k.pic.level(7)
    with k.handler(MASTER + 7):
        served = k.pic.isr(k.pic.MASTER, "served")
        edu.INTERRUPT_ACKNOWLEDGE.write(CAUSE)
        k.pic.eoi(7)
    k.lapic.virtual_wire()
    k.pic.unmask(7)
    k.sti()
    k.trigger(edu.INTERRUPT_RAISE.write, CAUSE)
    k.wait_for(MASTER + 7, quiet_ms=1)
    ended = k.pic.isr(k.pic.MASTER, "ended")

    run = yield

    assert run.vectors == [MASTER + 7]
    assert (run[served], run[ended]) == (1 << 7, 0)
