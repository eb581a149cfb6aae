"""The 16550's interrupts: identification by priority, and what acknowledges each cause; most of it in loopback."""

from harness import AccessProof, Deviation, Kernel, ProbeBody, probe, provable_names
from harness.devices import COM2, InterruptId, Uart16550

VECTOR = 0x56
PIN = 3
IDENTIFICATION = "PC16550D, Interrupt Identification Register (Interrupt Control Functions)"
UART = ["com2"]


def begin(k: Kernel, *, loop: int = 1) -> Uart16550:
    """COM2: 8N1, 115200 baud, no FIFOs, nothing enabled, nothing received; its modem outputs looped to its inputs."""
    uart = Uart16550(k.bus, COM2, name="com2")
    uart.LCR.write(DLAB=1, WLS=3)
    uart.DLL.write(1)
    uart.DLM.write(0)
    uart.LCR.write(WLS=3)
    uart.IER.write(0)
    uart.FCR.write(0)
    uart.MCR.write(LOOP=loop, OUT2=1)
    uart.RBR.read()
    uart.LSR.read()
    uart.MSR.read()
    return uart


def transmit(k: Kernel, uart: Uart16550, *data: int) -> None:
    """Bytes into the holding register, each after the one before has left it."""
    for byte in data:
        uart.THR.write(byte)
        k.delay(us=k.by_clock(200, 2000))  # one character takes 87 us


@probe(spec=IDENTIFICATION, needs=UART, covers=["uart.identification"])
def causes_are_identified_by_priority(k: Kernel) -> ProbeBody:
    """Overrun, a received byte and an empty holding register at once: each is shown until its own acknowledgement."""
    uart = begin(k)
    transmit(k, uart, 0x31, 0x72)
    k.trigger(uart.IER.write, ERBFI=1, ETBEI=1, ELSI=1)
    shown = [uart.IIR.read(), uart.IIR.read()]
    first = uart.LSR.read("first")
    shown += [uart.IIR.read(), uart.IIR.read()]
    second = uart.LSR.read("second")
    data_read = uart.RBR.read("data_read")
    shown += [uart.IIR.read(), uart.IIR.read()]

    run = yield

    line, data, empty = InterruptId.RECEIVER_LINE_STATUS, InterruptId.RECEIVED_DATA_AVAILABLE, InterruptId.THR_EMPTY
    assert [(run[value].NO_INTERRUPT, run[value].ID) for value in shown[:5]] == [
        (0, line),
        (0, line),
        (0, data),
        (0, data),
        (0, empty),
    ]
    assert run[shown[5]].NO_INTERRUPT == 1, "reading IIR acknowledges an empty holding register, where it is shown"
    assert (run[first].OE, run[first].DR) == (1, 1)
    assert (run[second].OE, run[second].DR) == (0, 1)
    assert run[data_read] == 0x72, "the second byte took the place of the first"


@probe.each(enable=["ERBFI", "ETBEI", "ELSI"])
@probe(spec="PC16550D, Interrupt Enable Register", needs=UART, covers=["uart.enables"])
def each_enable_bit_is_for_its_own_cause(k: Kernel, enable: str) -> ProbeBody:
    """All three causes are there: IIR shows the one that is enabled, and none when the bit is 0 again."""
    uart = begin(k)
    transmit(k, uart, 0x33, 0x74)
    none = uart.IIR.read("none")
    k.trigger(uart.IER.write, **{enable: 1})
    shown = uart.IIR.read("shown")
    uart.IER.write(0)
    again = uart.IIR.read("again")

    run = yield

    expected = {
        "ERBFI": InterruptId.RECEIVED_DATA_AVAILABLE,
        "ETBEI": InterruptId.THR_EMPTY,
        "ELSI": InterruptId.RECEIVER_LINE_STATUS,
    }
    assert (run[none].NO_INTERRUPT, run[again].NO_INTERRUPT) == (1, 1)
    assert (0, expected[enable]) == (run[shown].NO_INTERRUPT, run[shown].ID)


@probe.each(by=["IIR", "THR", "LSR"])
@probe(spec=IDENTIFICATION, needs=UART, covers=["uart.thr-empty"])
def an_empty_holding_register_is_acknowledged(k: Kernel, by: str) -> ProbeBody:
    """A read of IIR or a write of THR ends the interrupt of an empty holding register; a read of LSR does not."""
    uart = begin(k)
    uart.IER.write(ETBEI=1)
    if by == "IIR":
        k.trigger(uart.IIR.read, "first")
    elif by == "THR":
        uart.IIR.read("first")  # acknowledged: the write below makes it pend again
        k.trigger(transmit, k, uart, 0x35)
    else:
        k.trigger(uart.LSR.read, "status")
    shown = uart.IIR.read("shown")

    run = yield

    assert (1 if by == "IIR" else 0) == run[shown].NO_INTERRUPT
    if by == "LSR":
        assert run["status"] & 0x20, "THRE"
    else:
        assert by == "THR" or run["first"] & 0xF == InterruptId.THR_EMPTY << 1


@probe(spec=IDENTIFICATION, needs=UART, covers=["uart.line"])
def the_line_interrupts_once_for_an_empty_holding_register(k: Kernel) -> ProbeBody:
    """ETBEI set while the register is empty raises IRQ 3 once; a handler that reads IIR gets no second one."""
    uart = begin(k, loop=0)
    k.ioapic.redirect(pin=PIN, vector=VECTOR)
    with k.handler(VECTOR):
        identified = uart.IIR.read("identified")
    k.sti()
    k.trigger(uart.IER.write, ETBEI=1)
    k.wait_for(VECTOR, quiet_ms=1)
    k.mark("disabled")
    uart.IER.write(0)
    uart.IER.write(ETBEI=1)
    k.wait_for(VECTOR, 2, quiet_ms=1)

    run = yield

    assert run.sequence == [VECTOR, "disabled", VECTOR]
    assert (run[identified].NO_INTERRUPT, run[identified].ID) == (0, InterruptId.THR_EMPTY)


@probe(spec="PC16550D, Modem Control Register: OUT 2, Loop", needs=UART, covers=["uart.loopback"])
def looped_modem_outputs_are_the_inputs(k: Kernel) -> ProbeBody:
    """In loopback DTR, RTS, OUT1 and OUT2 are read as DSR, CTS, RI and DCD, each alone."""
    uart = begin(k)
    seen = []
    with k.trigger():
        for output in ("DTR", "RTS", "OUT1", "OUT2"):
            uart.MCR.write(LOOP=1, **{output: 1})
            seen.append(uart.MSR.read())

    run = yield

    inputs = [(run[value].DSR, run[value].CTS, run[value].RI, run[value].DCD) for value in seen]
    assert inputs == [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]


@probe(
    spec="PC16550D, Modem Status Register; Modem Control Register: Loop",
    needs=UART,
    covers=["uart.modem-deltas"],
    deviation=Deviation(
        targets="*", kind="unimplemented", sees=["no delta was set", "no modem status interrupt"], ref="dma-uart-deltas"
    ),
)
def looped_modem_outputs_set_their_deltas(k: Kernel) -> ProbeBody:
    """In loopback a change of DTR sets DDSR alone; it is an interrupt until MSR is read."""
    uart = begin(k)
    uart.IER.write(EDSSI=1)
    k.trigger(uart.MCR.write, LOOP=1, OUT2=1, DTR=1)
    shown = uart.IIR.read("shown")
    status = uart.MSR.read("status")
    cleared = uart.MSR.read("cleared")
    none = uart.IIR.read("none")

    run = yield

    assert (run[status].DSR, run[cleared].DSR) == (1, 1)
    assert run[none].NO_INTERRUPT == 1
    assert (run[cleared].DCTS, run[cleared].DDSR, run[cleared].TERI, run[cleared].DDCD) == (0, 0, 0, 0)
    assert (run[status].DCTS, run[status].DDSR, run[status].TERI, run[status].DDCD) == (0, 1, 0, 0), "no delta was set"
    assert (run[shown].NO_INTERRUPT, run[shown].ID) == (0, InterruptId.MODEM_STATUS), "no modem status interrupt"


@probe.each(trigger=[1, 4, 8, 14])
@probe(spec="PC16550D, FIFO Control Register: RCVR Trigger; FIFO Interrupt Mode", needs=UART, covers=["uart.fifo"])
def the_receive_fifo_interrupts_at_its_trigger_level(k: Kernel, trigger: int) -> ProbeBody:
    """With one byte less than the trigger level IIR shows no received data; at the level it does."""
    uart = begin(k)
    uart.FCR.write(FIFO_ENABLE=1, RCVR_FIFO_RESET=1, XMIT_FIFO_RESET=1, RCVR_TRIGGER=[1, 4, 8, 14].index(trigger))
    uart.IER.write(ERBFI=1)
    for number in range(trigger - 1):
        uart.THR.write(0x40 + number)
    below = uart.IIR.read("below")
    k.trigger(uart.THR.write, 0x40 + trigger - 1)
    k.delay(us=200, real_us=2000)
    reached = uart.IIR.read("reached")
    data = [uart.RBR.read() for _ in range(trigger)]
    empty = uart.IIR.read("empty")
    status = uart.LSR.read("status")

    run = yield

    assert run[below].ID != InterruptId.RECEIVED_DATA_AVAILABLE or run[below].NO_INTERRUPT == 1
    shown = (run[reached].NO_INTERRUPT, run[reached].ID)
    # In real time four character times may have passed too: both have the same priority.
    timed_out = shown == (0, InterruptId.CHARACTER_TIMEOUT) and not k.deterministic
    assert shown == (0, InterruptId.RECEIVED_DATA_AVAILABLE) or timed_out
    assert run[reached].FIFOS_ENABLED == 3
    assert [int(run[byte]) for byte in data] == [0x40 + number for number in range(trigger)]
    assert run[empty].NO_INTERRUPT == 1
    assert (run[status].DR, run[status].OE) == (0, 0)


@probe(spec="PC16550D, FIFO Interrupt Mode Operation: character time-out", needs=UART, covers=["uart.fifo"])
def a_byte_below_the_trigger_level_times_out(k: Kernel) -> ProbeBody:
    """Two bytes below the trigger level, unread for four character times: the time-out interrupt, until RBR is read."""
    uart = begin(k)
    uart.FCR.write(FIFO_ENABLE=1, RCVR_FIFO_RESET=1, XMIT_FIFO_RESET=1, RCVR_TRIGGER=2)
    uart.IER.write(ERBFI=1)
    k.trigger(uart.THR.write, 0x51)
    uart.THR.write(0x92)
    k.delay(us=2000, real_us=20_000)
    timed_out = uart.IIR.read("timed_out")
    data = [uart.RBR.read("first"), uart.RBR.read("second")]
    none = uart.IIR.read("none")

    run = yield

    assert (run[timed_out].NO_INTERRUPT, run[timed_out].ID) == (0, InterruptId.CHARACTER_TIMEOUT)
    assert [int(run[byte]) for byte in data] == [0x51, 0x92]
    assert run[none].NO_INTERRUPT == 1


@probe(spec="PC16550D, Registers", needs=UART, covers=["uart.access-kinds"])
def uart_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of IER and the scratch register holds 0 and 1 for itself; unused bits of IER and MCR are 0."""
    uart = begin(k)
    names = [name for name in provable_names(Uart16550) if name in ("IER", "MCR", "SCR")]
    bits = k.trigger(AccessProof, k, uart, *names)
    uart.IER.write(0)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(spec="PC16550D, Programmable Baud Generator: Divisor Latch Access Bit", needs=UART, covers=["uart.access-kinds"])
def the_divisor_latch_lies_behind_dlab(k: Kernel) -> ProbeBody:
    """With DLAB set offsets 0 and 1 are the divisor; IER keeps its content, and the divisor keeps its own."""
    uart = begin(k)
    uart.IER.write(ELSI=1)
    uart.LCR.write(WLS=3, DLAB=1)
    with k.trigger():
        uart.DLL.write(0x5A)
        uart.DLM.write(0x0C)
    uart.LCR.write(WLS=3)
    enables = uart.IER.read("enables")
    uart.IER.write(0)
    uart.LCR.write(WLS=3, DLAB=1)
    divisor = [uart.DLL.read("low"), uart.DLM.read("high")]
    uart.DLL.write(1)
    uart.DLM.write(0)
    uart.LCR.write(WLS=3)

    run = yield

    assert int(run[enables]) == 0x04
    assert [int(run[byte]) for byte in divisor] == [0x5A, 0x0C]
