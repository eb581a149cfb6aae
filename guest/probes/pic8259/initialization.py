"""What ICW1 resets, and how many words follow it."""

from harness import Deviation, Kernel, PicMaster, ProbeBody, probe

from .poll import NO_BIT_7

MASTER = 0x50
ICWS = "Intel 8259A datasheet, Initialization Command Words 1 and 2 (ICW1, ICW2)"


def icws(k: Kernel, icw1: int = 0x11, icw4: int = 0x01) -> PicMaster:
    """ICW1 to ICW4 of the master, and no OCW1 after them."""
    chip = k.pic.MASTER
    chip.ICW1.write(icw1)
    chip.ICW2.write(MASTER)
    if not icw1 & 2:
        chip.ICW3.write(1 << 2)
    if icw1 & 1:
        chip.ICW4.write(icw4)
    return chip


@probe(spec=ICWS, covers=["pic8259.icw1"])
def icw1_clears_the_imr(k: Kernel) -> ProbeBody:
    """After ICW1 the IMR is 0: every input is enabled until OCW1 masks it."""
    k.prepare_8259()
    before = k.pic.MASTER.OCW1.read("before")
    k.trigger(icws, k)
    after = k.pic.MASTER.OCW1.read("after")
    k.pic.MASTER.OCW1.write(0xFF)

    run = yield

    assert (run[before], run[after]) == (0xFF, 0)


@probe(spec=ICWS, covers=["pic8259.icw1"], needs=["pc-testdev"])
def icw1_selects_the_irr(k: Kernel) -> ProbeBody:
    """After ICW1 the even port reads the IRR, though OCW3 had selected the ISR before."""
    k.prepare_8259(5)
    k.pic.isr(k.pic.MASTER)
    k.trigger(icws, k)
    k.pic.MASTER.OCW1.write(0xFF)
    k.lines.up(5)
    status = k.pic.MASTER.STATUS.read("status")
    isr = k.pic.isr(k.pic.MASTER, "isr")

    run = yield

    assert (run[status], run[isr]) == (1 << 5, 0)


@probe(spec=ICWS, covers=["pic8259.icw1"], needs=["pc-testdev"], deviation=NO_BIT_7)
def icw1_restores_the_fixed_priority(k: Kernel) -> ProbeBody:
    """After ICW1 IR7 is the lowest level again, whatever set-priority had made of it."""
    k.prepare_8259(3, 5)
    k.pic.MASTER.OCW2.write(0xC4)  # IR4 the lowest: IR5 goes first
    k.trigger(icws, k)
    k.pic.unmask(3, 5)
    k.lines.up(5, 3)
    polled = k.pic.poll(k.pic.MASTER, "polled")

    run = yield

    assert run[polled] == 0x83


@probe(spec=f"{ICWS}; Special Mask Mode", covers=["pic8259.icw1"], needs=["pc-testdev"])
def icw1_clears_special_mask_mode(k: Kernel) -> ProbeBody:
    """After ICW1 special mask mode is off: a masked level in service holds the lower ones back."""
    k.prepare_8259(5, 6)
    k.lapic.virtual_wire()
    k.sti()
    k.pic.MASTER.OCW3.write(0x68)
    k.trigger(icws, k)
    k.pic.unmask(5, 6)
    k.lines.up(5)
    k.wait_for(MASTER + 5)
    k.pic.MASTER.OCW1.write(0xFF & ~(1 << 6))
    k.lines.up(6)
    k.settle()
    irr = k.pic.irr(k.pic.MASTER, "irr")
    k.mark("EOI")
    k.pic.MASTER.OCW2.write(0x65)
    k.wait_for(MASTER + 6)

    run = yield

    assert run[irr] == 1 << 6
    assert run.sequence == [MASTER + 5, "EOI", MASTER + 6]


@probe.each(line=["as_it_is", "driven_again"])
@probe(
    spec=ICWS,
    covers=["pic8259.icw1-edge"],
    needs=["pc-testdev"],
    deviation=Deviation(
        targets="*", cases="driven_again", kind="bug", sees="BITS=0x20> == 0", ref="pic8259-icw1-edge-sense"
    ),
)
def icw1_resets_the_edge_sense(k: Kernel, line: str) -> ProbeBody:
    """After ICW1 an input that is high requests nothing until it has gone low and high again."""
    k.prepare_8259(5)
    k.trigger(k.lines.up, 5)
    before = k.pic.irr(k.pic.MASTER, "before")
    chip = icws(k)
    chip.OCW1.write(0xFF)
    if line == "driven_again":
        k.lines.up(5)  # it is high already: no transition
    held = k.pic.irr(chip, "held")
    k.lines.down(5)
    k.lines.up(5)
    after = k.pic.irr(chip, "after")

    run = yield

    assert run[before] == 1 << 5
    assert run[held] == 0
    assert run[after] == 1 << 5


@probe.each(words=["icw4", "no_icw4", "single", "single_no_icw4"])
@probe(
    spec=f"{ICWS}; Figure: Initialization Sequence",
    covers=["pic8259.icw-sequence"],
    deviation=Deviation(
        targets="*-kvm", cases="single*", kind="unimplemented", sees="MASK=0x0> == 90", ref="pic8259-kvm-single"
    ),
)
def words_after_icw1_are_counted(k: Kernel, words: str) -> ProbeBody:
    """ICW3 follows unless SNGL is set, ICW4 if IC4 is set; the write after them is OCW1."""
    k.prepare_8259()
    chip = icws(k, icw1=0x10 | ("no_icw4" not in words) | 2 * ("single" in words))
    k.trigger(chip.OCW1.write, 0x5A)
    imr = chip.OCW1.read("imr")
    k.pic.initialize()

    run = yield

    assert run[imr] == 0x5A


@probe.each(ic4=[0, 1])
@probe(
    spec=ICWS,
    covers=["pic8259.icw-sequence"],
    needs=["pc-testdev"],
    deviation=[
        Deviation(targets="*-kvm", cases="ic4_0", kind="bug", sees="BITS=0x0> == 32", ref="pic8259-kvm-poll"),
        NO_BIT_7,
    ],
)
def without_icw4_its_functions_are_off(k: Kernel, ic4: int) -> ProbeBody:
    """With IC4 = 0 all that ICW4 had set is off: automatic EOI is gone, and a poll leaves its level in service."""
    k.prepare_8259(5, AEOI=1)
    chip = icws(k, icw1=0x10 | ic4, icw4=0x03)
    chip.OCW1.write(0xFF & ~(1 << 5))
    k.trigger(k.lines.up, 5)
    polled = k.pic.poll(chip, "polled")
    isr = k.pic.isr(chip, "isr")
    k.pic.initialize()

    run = yield

    assert run[polled] == 0x85
    assert run[isr] == (0 if ic4 else 1 << 5)


@probe(
    spec="Intel 82371AB (PIIX4) datasheet, ICW1—Initialization Command Word 1; ICH9 datasheet, ICW1 (LTIM)",
    covers=["pic8259.ltim"],
    needs=["pc-testdev"],
    deviation=[
        Deviation(targets="*-tcg*", versions=">=8", kind="bug", sees="BITS=0x20> == 0", ref="pic8259-ltim"),
        NO_BIT_7,
    ],
)
def ltim_is_ignored(k: Kernel) -> ProbeBody:
    """On a PC's chipset LTIM in ICW1 does nothing: the ELCR alone decides what is level-triggered."""
    k.prepare_8259(5)
    k.pic.MASTER.ELCR.write(0)
    chip = icws(k, icw1=0x19)
    chip.OCW1.write(0xFF & ~(1 << 5))
    k.trigger(k.lines.up, 5)
    polled = k.pic.poll(chip, "polled")
    chip.OCW2.write(0x20)
    held = k.pic.irr(chip, "held")  # an edge was one request, a level is another
    k.lines.down(5)
    k.pic.initialize()

    run = yield

    assert run[polled] == 0x85
    assert run[held] == 0
