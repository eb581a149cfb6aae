"""The access kinds of the 8259s' register bits, and the selections that the chips keep between commands."""

from harness import AccessProof, Deviation, Kernel, PicMaster, PicSlave, ProbeBody, ReadSelect, probe, provable_names

CHIPS = {"master": PicMaster, "slave": PicSlave}
WORDS = "Intel 8259A datasheet, Operation Command Words (OCWs)"


@probe.each(chip=CHIPS)
@probe(spec=f"{WORDS}; Intel 82371AB (PIIX4) datasheet, ELCR1/ELCR2", covers=["pic8259.access-kinds"])
def bits_behave(k: Kernel, chip: str) -> ProbeBody:
    """Each bit of the mask register and of the ELCR holds 0 and 1 for itself; reserved bits of the ELCR read as 0."""
    k.cli()
    k.pit.silence()
    names = provable_names(CHIPS[chip])
    bits = k.trigger(AccessProof, k, CHIPS[chip](k.bus), *names)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe.each(selected=["IRR", "ISR"], chip=["master", "slave"])
@probe(
    spec=f"{WORDS}: OCW3",
    needs=["pc-testdev"],
    covers=["pic8259.read-select"],
    deviation=Deviation(
        targets="*-kvm",
        kind="bug",
        sees=r"BITS=0x0> & 255\) == (32|4)|assert \[0, 0, 0, 0, 0, 0, \.\.\.\] == \[(32|4), ",
        ref="pic8259-kvm-poll",
    ),
)
def the_read_selection_is_kept(k: Kernel, selected: str, chip: str) -> ProbeBody:
    """A command that names no register keeps the selection, whatever else it does; so does every other word.

    One input is requested and another in service, so that IRR and ISR differ.
    """
    k.cli()
    served, requested = (5, 6) if chip == "master" else (10, 12)
    k.lines.down(served, requested)
    k.pic.initialize(base=0x50, slave_base=0x70)
    k.pit.silence()
    registers = k.pic.chip(served)
    other = "ISR" if selected == "IRR" else "IRR"
    k.pic.unmask(served)
    k.lines.up(served)
    if chip == "slave":
        k.pic.poll(k.pic.MASTER, "poll_master")
    k.pic.poll(registers, "poll")
    k.lines.up(requested)
    registers.OCW3.write(SELECT=1, READ=ReadSelect[other])
    alternate = registers.STATUS.read("alternate")
    registers.OCW3.write(SELECT=1, READ=ReadSelect[selected])
    reads = [registers.STATUS.read("first"), registers.STATUS.read("second")]
    with k.trigger():
        registers.OCW3.write(SELECT=1, READ=ReadSelect.NO_ACTION)
        reads.append(registers.STATUS.read("after_no_action"))
        registers.OCW3.write(SELECT=1, READ=ReadSelect.NO_ACTION_RIS)
        reads.append(registers.STATUS.read("after_no_action_ris"))
        registers.OCW3.write(SELECT=1, ESMM=1, SMM=1)
        reads.append(registers.STATUS.read("after_special_mask"))
        registers.OCW3.write(SELECT=1, ESMM=1, SMM=0)
        registers.OCW1.write(0x5A)
        registers.OCW1.read("mask")
        reads.append(registers.STATUS.read("after_mask"))
        registers.OCW2.write(COMMAND=0b110, LEVEL=7)
        reads.append(registers.STATUS.read("after_set_priority"))

    run = yield

    expected = {"IRR": 1 << (requested & 7), "ISR": 1 << (served & 7)}
    assert run[alternate] & 0xFF == expected[other]
    assert [int(run[read]) for read in reads] == [expected[selected]] * len(reads)
