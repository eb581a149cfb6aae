"""The 8259's poll command: software reads the highest request instead of being interrupted."""

from harness import Deviation, Kernel, ProbeBody, probe

POLL = "Intel 8259A datasheet, Poll Command"
KVM_POLL = "pic8259-kvm-poll"
NO_BIT_7 = Deviation(
    targets="*-kvm",
    linux="<6.5",
    kind="bug",
    sees=r"<PollWord 0x0\d: INTERRUPT=0|assert \[1, 3, 5, 7\] == \[129, 131, 133, 135\]",
    ref="pic8259-kvm-poll-bit-7",
)


def prepare(k: Kernel, *irqs: int) -> None:
    """Lines low, both chips initialised, these inputs unmasked, LINT0 masked: nothing interrupts the processor."""
    k.prepare_8259(*irqs)
    k.pic.unmask(*irqs)


@probe.each(irq=[1, 3, 7])
@probe(
    spec=POLL,
    covers=["pic8259.poll"],
    needs=["pc-testdev"],
    deviation=[Deviation(targets="*-kvm", kind="bug", sees=r"== \(0, ", ref=KVM_POLL), NO_BIT_7],
)
def poll_acknowledges_the_request(k: Kernel, irq: int) -> ProbeBody:
    """The read after a poll command gives 80h and the level, moves the request to the ISR, and causes no interrupt."""
    prepare(k, irq)
    k.trigger(k.lines.up, irq)
    before = k.pic.irr(k.pic.MASTER, "before")
    word = k.pic.poll(k.pic.MASTER, "polled")
    irr, isr = k.pic.irr(k.pic.MASTER, "irr"), k.pic.isr(k.pic.MASTER, "isr")
    k.lapic.virtual_wire()
    k.sti()
    k.stay_quiet()

    run = yield

    assert run[before] == 1 << irq
    assert run[word] == 0x80 | irq
    assert (run[irr], run[isr]) == (0, 1 << irq)
    assert run.vectors == []


@probe(
    spec=POLL,
    covers=["pic8259.poll"],
    needs=["pc-testdev"],
    deviation=[
        Deviation(targets="*-kvm", linux=">=6.5", kind="bug", sees=r"INTERRUPT=1 LEVEL=5", ref=KVM_POLL),
        Deviation(targets="*-kvm", kind="bug", sees=r"BITS=0x0> == \(1 << 3\)", ref=KVM_POLL),
        NO_BIT_7,
    ],
)
def poll_without_a_request_has_bit_7_clear(k: Kernel) -> ProbeBody:
    """Without a request, or with none above the level in service, the poll word's bit 7 is 0 and the ISR stays."""
    prepare(k, 3, 5)
    none = k.pic.poll(k.pic.MASTER, "none")
    k.trigger(k.lines.up, 3)
    first = k.pic.poll(k.pic.MASTER, "first")
    k.lines.up(5)
    lower = k.pic.poll(k.pic.MASTER, "lower")
    isr = k.pic.isr(k.pic.MASTER, "isr")

    run = yield

    assert run[none].INTERRUPT == 0
    assert run[first] == 0x83
    assert run[lower].INTERRUPT == 0
    assert run[isr] == 1 << 3


@probe(spec=f"{POLL}; Fully Nested Mode", covers=["pic8259.poll"], needs=["pc-testdev"], deviation=NO_BIT_7)
def poll_follows_priority(k: Kernel) -> ProbeBody:
    """Polled with EOI in between, pending requests come in the order of their priority, then none."""
    irqs = [7, 1, 5, 3]
    prepare(k, *irqs)
    k.trigger(k.lines.up, *irqs)
    words = []
    for number in range(5):
        words.append(k.pic.poll(k.pic.MASTER, f"word_{number}"))
        k.pic.MASTER.OCW2.write(0x20)

    run = yield

    assert [int(run[word]) for word in words[:4]] == [0x81, 0x83, 0x85, 0x87]
    assert run[words[4]].INTERRUPT == 0


@probe.each(irq=[8, 12, 15])
@probe(
    spec=f"{POLL}; Cascade Mode",
    covers=["pic8259.poll"],
    needs=["pc-testdev"],
    deviation=[Deviation(targets="*-kvm", kind="bug", sees=r"Inputs 0x00: BITS=0x0", ref=KVM_POLL), NO_BIT_7],
)
def poll_through_the_cascade(k: Kernel, irq: int) -> ProbeBody:
    """For a slave's request the master polls as level 2, and the slave as the number of its input."""
    prepare(k, irq)
    k.trigger(k.lines.up, irq)
    master, slave = k.pic.poll(k.pic.MASTER, "master"), k.pic.poll(k.pic.SLAVE, "slave")
    isr = k.pic.isr(k.pic.SLAVE, "isr")

    run = yield

    assert run[master] == 0x82
    assert run[slave] == 0x80 | (irq - 8)
    assert run[isr] == 1 << (irq - 8)


@probe(
    spec=f"{POLL}; Operation Command Word 3 (OCW3)", covers=["pic8259.poll"], needs=["pc-testdev"], deviation=NO_BIT_7
)
def poll_lasts_for_one_read(k: Kernel) -> ProbeBody:
    """Only the next read is a poll: the one after it gives the register that was selected before."""
    prepare(k, 5, 6)
    k.pic.irr(k.pic.MASTER, "select_irr")
    k.trigger(k.lines.up, 6, 5)
    word = k.pic.poll(k.pic.MASTER, "polled")
    status = k.pic.MASTER.STATUS.read("status")

    run = yield

    assert (run[word], run[status]) == (0x85, 1 << 6)
