"""Interprocessor interrupts: destinations, shorthands, lowest priority, and the ICR itself."""

from harness import DestinationShorthand, Deviation, Kernel, ProbeBody, probe

TCG = "*-tcg*"
CPUS = 4
VECTOR = 0x49


def listen(k: Kernel, ldr: dict[int, int] | None = None, *, cluster: bool = False) -> None:
    """Every processor has its logical ID and takes interrupts; processor 0 continues once all do.

    The others listen until `stop` is stored.
    """
    ready = k.value("ready", 0)
    k.value("stop")
    k.smp.start()

    def own(cpu: int) -> None:
        k.lapic.DFR.write(0x0FFF_FFFF if cluster else 0xFFFF_FFFF)
        k.lapic.LDR.write(LOGICAL_APIC_ID=1 << cpu if ldr is None else ldr[cpu])

    for cpu in range(1, CPUS):
        with k.smp.on(cpu):
            own(cpu)
            k.sti()
            k.count(ready)
            k.asm("1: pause\ncmp qword ptr [stop], 1\njne 1b\ncli")
    own(0)
    k.sti()
    k.wait_until(ready, CPUS - 1, ms=1000)


def finish(k: Kernel) -> None:
    """Let what is under way arrive, and end the listening."""
    k.delay(us=500, real_us=20_000)
    k.cli()
    k.asm("mov qword ptr [stop], 1")
    for cpu in range(1, CPUS):
        k.smp.join(cpu, ms=1000)


@probe.each(destination=[0, 1, 2, 3, 0xFF])
@probe(
    spec="SDM vol. 3A, Determining IPI Destination: Physical Destination Mode",
    covers=["lapic.destination-physical"],
    cpus=CPUS,
)
def physical_destination(k: Kernel, destination: int) -> ProbeBody:
    """In physical mode the destination is one APIC ID, or with FFh every processor, the sender too."""
    listen(k)
    k.trigger(k.lapic.send, destination=destination, VECTOR=VECTOR, LEVEL=1)
    wanted = range(CPUS) if destination == 0xFF else [destination]
    k.wait_for(VECTOR, len(wanted))
    finish(k)

    run = yield

    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [int(cpu in wanted) for cpu in range(CPUS)]


@probe.each(destination=[0x01, 0x02, 0x08, 0x05, 0x0E, 0x0F, 0xF0, 0xFF])
@probe(
    spec="SDM vol. 3A, Determining IPI Destination: Logical Destination Mode (flat model)",
    covers=["lapic.destination-flat"],
    cpus=CPUS,
)
def logical_destination_flat(k: Kernel, destination: int) -> ProbeBody:
    """In the flat model every processor that has a bit of the message in its logical APIC ID is a destination."""
    listen(k)
    with k.trigger():
        k.lapic.send(destination=0x01, VECTOR=VECTOR + 1, LEVEL=1, DESTINATION_MODE=1)
        k.lapic.send(destination=destination, VECTOR=VECTOR, LEVEL=1, DESTINATION_MODE=1)
    finish(k)

    run = yield

    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [destination >> cpu & 1 for cpu in range(CPUS)]
    assert [run.count(VECTOR + 1, cpu=cpu) for cpu in range(CPUS)] == [1, 0, 0, 0]


@probe.each(destination=[0x11, 0x13, 0x21, 0x23, 0x31, 0x1C, 0xFF])
@probe(
    spec="SDM vol. 3A, Determining IPI Destination: Logical Destination Mode (cluster model)",
    covers=["lapic.destination-cluster"],
    cpus=CPUS,
    deviation=Deviation(
        targets=TCG,
        cases="destination255",
        versions="<9",
        kind="bug",
        sees=r"\[0, 0, 0, 0\] == \[1, 1, 1, 1\]",
        ref="lapic-cluster-broadcast",
    ),
)
def logical_destination_cluster(k: Kernel, destination: int) -> ProbeBody:
    """In the cluster model bits 7:4 name one cluster (Fh all) and bits 3:0 its members."""
    ids = {0: 0x11, 1: 0x12, 2: 0x21, 3: 0x22}
    listen(k, ids, cluster=True)
    with k.trigger():
        k.lapic.send(destination=0x11, VECTOR=VECTOR + 1, LEVEL=1, DESTINATION_MODE=1)
        k.lapic.send(destination=destination, VECTOR=VECTOR, LEVEL=1, DESTINATION_MODE=1)
    finish(k)

    run = yield

    def addressed(cpu: int) -> bool:
        same_cluster = destination >> 4 in (ids[cpu] >> 4, 0xF)
        return same_cluster and bool(destination & ids[cpu] & 0xF)

    assert [run.count(VECTOR + 1, cpu=cpu) for cpu in range(CPUS)] == [1, 0, 0, 0]
    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [int(addressed(cpu)) for cpu in range(CPUS)]


REACHED = {
    DestinationShorthand.SELF: [1, 0, 0, 0],
    DestinationShorthand.ALL_INCLUDING_SELF: [1, 1, 1, 1],
    DestinationShorthand.ALL_EXCLUDING_SELF: [0, 1, 1, 1],
}


@probe.each(shorthand=list(REACHED))
@probe(
    spec="SDM vol. 3A, Interrupt Command Register (ICR): Destination Shorthand", covers=["lapic.shorthand"], cpus=CPUS
)
def destination_shorthand(k: Kernel, shorthand: DestinationShorthand) -> ProbeBody:
    """The shorthands reach oneself, all, and all but oneself, whatever the destination field is."""
    listen(k)
    k.trigger(k.lapic.send, destination=1, VECTOR=VECTOR, LEVEL=1, DESTINATION_SHORTHAND=shorthand)
    finish(k)

    run = yield

    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == REACHED[shorthand]


@probe.each(destination=[0x04, 0x06, 0x0F])
@probe(spec="SDM vol. 3A, Lowest Priority Delivery Mode", covers=["lapic.lowest-priority"], cpus=CPUS)
def lowest_priority_reaches_exactly_one(k: Kernel, destination: int) -> ProbeBody:
    """In lowest priority mode exactly one of the addressed processors takes the interrupt; which one is open."""
    listen(k)
    with k.trigger():
        for vector in range(0x80, 0x90):
            k.lapic.send(destination=destination, VECTOR=vector, LEVEL=1, DESTINATION_MODE=1, DELIVERY_MODE=1)
    for vector in range(0x80, 0x90):
        k.wait_for(vector)
    finish(k)

    run = yield

    taken = {v: [cpu for cpu in range(CPUS) if run.count(v, cpu=cpu)] for v in range(0x80, 0x90)}
    assert [run.count(vector) for vector in range(0x80, 0x90)] == [1] * 16
    assert all(destination >> cpu & 1 for cpus in taken.values() for cpu in cpus)


@probe(
    spec="SDM vol. 3A, Interrupt Command Register (ICR): Delivery Status",
    covers=["lapic.icr"],
    deviation=Deviation(targets=TCG, kind="bug", sees="SEND_PENDING", ref="lapic-icr-delivery-status"),
)
def delivery_status_is_read_only(k: Kernel) -> ProbeBody:
    """Delivery status is of the message alone: idle once it was accepted, though a 1 is written into it."""
    k.lapic.send(destination=0, VECTOR=0x41, LEVEL=1)
    plain = k.lapic.ICR_LOW.read("plain")
    k.trigger(k.lapic.ICR_LOW.write, 0x1000 | 0x4042)
    k.delay(us=10)
    forced = k.lapic.ICR_LOW.read("forced")
    k.sti()
    k.wait_for(0x42)
    k.wait_for(0x41)

    run = yield

    assert run[plain].DELIVERY_STATUS == 0
    assert run[forced].VECTOR == 0x42
    assert run[forced].DELIVERY_STATUS == 0, run[forced]
    assert run.vectors == [0x42, 0x41]


@probe(
    spec="SDM vol. 3A, Interrupt Command Register (ICR): INIT Level De-assert",
    covers=["lapic.init-de-assert"],
    cpus=CPUS,
)
def init_level_de_assert_is_ignored(k: Kernel) -> ProbeBody:
    """An INIT level de-assert message resets no processor: all continue, and take the next interrupt."""
    listen(k)
    k.lapic.send(destination=0, DELIVERY_MODE=5, LEVEL=0, TRIGGER_MODE=1, DESTINATION_SHORTHAND=2)
    k.delay(us=100)
    k.trigger(k.lapic.send, destination=0, VECTOR=VECTOR, LEVEL=1, DESTINATION_SHORTHAND=2)
    finish(k)

    run = yield

    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [1] * CPUS


@probe(spec="SDM vol. 3A, Interrupt Command Register (ICR)", covers=["lapic.icr"], cpus=CPUS)
def writing_icr_high_sends_nothing(k: Kernel) -> ProbeBody:
    """The message goes out with the write of the ICR's low half; the high half alone sends nothing, and reads back."""
    listen(k)
    k.lapic.ICR_LOW.write(VECTOR=VECTOR + 1, LEVEL=1, DESTINATION_SHORTHAND=1)
    k.lapic.ICR_HIGH.write(DESTINATION=2)
    k.wait_for(VECTOR + 1)
    k.delay(us=200)
    high = k.lapic.ICR_HIGH.read("high")
    k.mark("low half")
    k.trigger(k.lapic.ICR_LOW.write, VECTOR=VECTOR, LEVEL=1)
    finish(k)

    run = yield

    assert run[high].DESTINATION == 2
    assert run.sequence == [VECTOR + 1, "low half", VECTOR]
    assert [run.count(VECTOR, cpu=cpu) for cpu in range(CPUS)] == [0, 0, 1, 0]


@probe(
    spec="SDM vol. 3A, Local APIC State After an INIT Reset (“Wait-for-SIPI” State)",
    covers=["lapic.reset-values"],
    cpus=2,
)
def init_resets_the_local_apic(k: Kernel) -> ProbeBody:
    """After INIT the registers are as after power-up: LVTs masked, TPR and counts 0, SVR FFh, IRR and ISR empty."""
    k.smp.start()
    with k.smp.on(1):
        k.lapic.TPR.write(0x35)
        k.lapic.LVT_ERROR.write(VECTOR=0x66)
        k.lapic.LVT_TIMER.write(VECTOR=0x67, MASK=1)
        k.lapic.INITIAL_COUNT.write(0x7000_0000)
        k.lapic.self_ipi(0x31)
    k.smp.join(1)
    k.trigger(k.lapic.send, destination=1, DELIVERY_MODE=5, LEVEL=1)
    k.delay(us=100, real_us=50_000)
    k.checkpoint("after INIT")

    run = yield

    with run.stopped_at("after INIT"):
        state = run.machine.lapic(1)
    assert state.svr == 0xFF
    assert (state.tpr, state.initial_count, state.current_count) == (0, 0, 0)
    assert (state.irr, state.isr) == (frozenset(), frozenset())
    assert {name: raw & ~0xF000 for name, raw in state.lvt.items()} == dict.fromkeys(state.lvt, 0x10000)
