"""ATA controllers and a guest that errs: pointers outside memory, tables too short, commands without an engine."""

from harness import GUARD, Deviation, Kernel, ProbeBody, Run, Window, probe, wait_register
from harness.devices import AhciDisk, AtaCommand, IdeDisk, PrdEntry

BLOCK = 512
BLOCKS = 2048
VECTOR = 0x7D
NOWHERE = 0x0800_0000  # 128 MiB: behind RAM, before any device
NOT_REPORTED, OVERFLOW = "no overflow was reported", "dma-ahci-overflow"
AHCI = "Serial ATA AHCI 1.3.1"
IDE = "Programming Interface for Bus Master IDE Controller, Bus Master IDE Status Register"


def _again(k: Kernel, disk: AhciDisk) -> Window:
    """Reset the HBA, start the port anew, and read block 5: whatever happened before, this must work."""
    window = Window.make(k, "again", BLOCK)
    disk.GHC.write(AE=1, HR=1)
    wait_register(k, disk.GHC, HR=0, ms=1000)
    disk.begin()
    disk.prepare(AtaCommand.READ_DMA_EXT, 5, 1, [(window.address, window.size)])
    k.trigger(disk.issue)
    disk.wait_done()
    return window


def _works(run: Run, window: Window, content: bytes) -> None:
    assert window.read(run) == content[5 * BLOCK : 6 * BLOCK], "the disk works again after a reset of the HBA"


def _point_nowhere(k: Kernel, disk: AhciDisk, window: Window, pointer: str) -> None:
    """Build a read of block 3 into the window with one of its pointers outside memory."""
    disk.prepare(AtaCommand.READ_DMA_EXT, 3, 1, [(NOWHERE if pointer == "region" else window.address, BLOCK)])
    if pointer == "command_table":
        k.poke(disk.header_address() + 8, NOWHERE, width=32)
    if pointer in ("command_list", "received_fis"):
        disk.port.CMD.write(0)
        wait_register(k, disk.port.CMD, CR=0, FR=0)
        (disk.port.CLB if pointer == "command_list" else disk.port.FB).write(NOWHERE)
        disk.port.CMD.write(FRE=1, SUD=1, POD=1)
        disk.port.CMD.write(FRE=1, SUD=1, POD=1, ST=1)


@probe.each(pointer=["command_list", "received_fis", "command_table", "region"])
@probe(spec=f"{AHCI}, System Memory Errors", needs=["ahci"], covers=["ahci.hostile"])
def ahci_survives_a_pointer_to_nowhere(k: Kernel, pointer: str) -> ProbeBody:
    """A pointer outside memory harms neither the memory nor the HBA: after a reset it reads the disk."""
    window = Window.make(k, "data", BLOCK)
    disk = AhciDisk(k)
    k.checkpoint("disk")
    _point_nowhere(k, disk, window, pointer)
    disk.issue()
    k.stay_quiet(ms=20)
    again = _again(k, disk)

    run = yield

    content = run.fill_disk("ahci")
    _works(run, again, content)
    untouched = bytes([GUARD]) * BLOCK
    read = content[3 * BLOCK : 4 * BLOCK]
    assert window.read(run) in ((untouched, read) if pointer == "received_fis" else (untouched,))


@probe.each(pointer=["command_list", "command_table"])
@probe(
    spec=f"{AHCI}, Port x Interrupt Status; {AHCI}, System Memory Errors",
    needs=["ahci"],
    covers=["ahci.hostile"],
    deviation=Deviation(
        targets="*", kind="unimplemented", sees="no host bus fatal error", ref="dma-ahci-host-bus-error"
    ),
)
def ahci_reports_a_pointer_to_nowhere(k: Kernel, pointer: str) -> ProbeBody:
    """What the HBA cannot fetch, because nothing answers at the address, is a host bus fatal error: PxIS.HBFS."""
    window = Window.make(k, "data", BLOCK)
    disk = AhciDisk(k)
    _point_nowhere(k, disk, window, pointer)
    k.trigger(disk.issue)
    k.stay_quiet(ms=20)
    causes = disk.port.IS.read("causes")

    run = yield

    assert window.untouched(run)
    assert run[causes].HBFS == 1, "no host bus fatal error"


@probe.each(regions=[0, 1])
@probe(
    spec=f"{AHCI}, Port x Interrupt Status; {AHCI}, Command List Overflow",
    needs=["ahci"],
    covers=["ahci.hostile"],
    deviation=[
        Deviation(
            targets="*",
            cases="regions0",
            versions="<10.0.13 or >=10.1,<11.0.4",
            kind="bug",
            sees="ended by SIGABRT",
            ref="dma-ahci-no-table",
        ),
        *(
            Deviation(targets="*", cases=cases, versions=since, kind="unimplemented", sees=NOT_REPORTED, ref=OVERFLOW)
            for cases, since in (("regions0", ">=10.0.13,<10.1 or >=11.0.4"), ("regions1", "*"))
        ),
    ],
)
def ahci_reports_an_overflow(k: Kernel, regions: int) -> ProbeBody:
    """A device that sends more than the PRD table holds overflows it: PxIS.OFS, and nothing is written behind it."""
    window = Window.make(k, "data", BLOCK)
    disk = AhciDisk(k)
    k.checkpoint("disk")
    disk.prepare(AtaCommand.READ_DMA_EXT, 3, 4, [(window.address, window.size)] * regions)
    disk.issue()
    k.stay_quiet(ms=20)
    causes = disk.port.IS.read("causes")
    again = _again(k, disk)

    run = yield

    content = run.fill_disk("ahci")
    _works(run, again, content)
    assert window.strays(run.memory(window.buffer)) == []
    assert run[causes].OFS == 1, NOT_REPORTED


@probe(spec=f"{AHCI}, Command List Underflow", needs=["ahci"], covers=["ahci.hostile"])
def ahci_leaves_the_rest_of_a_long_table(k: Kernel) -> ProbeBody:
    """A PRD table longer than the transfer is no error: PRDBC counts what came, the rest stays as it was."""
    windows = [Window.make(k, name, BLOCK) for name in ("first", "second", "rest")]
    disk = AhciDisk(k)
    disk.prepare(AtaCommand.READ_DMA_EXT, 3, 2, [(window.address, window.size) for window in windows])
    k.checkpoint("disk")
    k.trigger(disk.issue)
    disk.wait_done()
    causes = disk.port.IS.read("causes")

    run = yield

    content = run.fill_disk("ahci")
    assert windows[0].read(run) + windows[1].read(run) == content[3 * BLOCK : 5 * BLOCK]
    assert windows[2].untouched(run)
    assert int.from_bytes(run.memory(disk.header_address() + 4, 4), "little") == 2 * BLOCK
    assert (run[causes].TFES, run[causes].HBFS, run[causes].OFS) == (0, 0, 0)


@probe(spec=f"{AHCI}, Port x Command Issue; {AHCI}, Port x Command and Status", needs=["ahci"], covers=["ahci.hostile"])
def ahci_runs_no_command_while_stopped(k: Kernel) -> ProbeBody:
    """With PxCMD.ST clear a slot set in PxCI is not fetched: nothing moves until the engine is started."""
    window = Window.make(k, "data", BLOCK)
    disk = AhciDisk(k)
    disk.port.CMD.write(FRE=1, SUD=1, POD=1)
    wait_register(k, disk.port.CMD, CR=0)
    disk.prepare(AtaCommand.READ_DMA_EXT, 3, 1, [(window.address, window.size)])
    k.checkpoint("disk")
    disk.issue()
    k.stay_quiet(ms=20)
    k.checkpoint("stopped")
    with k.trigger():
        disk.port.CMD.write(FRE=1, SUD=1, POD=1, ST=1)
        disk.issue()
    disk.wait_done()

    run = yield

    content = run.fill_disk("ahci")
    with run.stopped_at("stopped"):
        assert window.untouched(run)
    assert window.read(run) == content[3 * BLOCK : 4 * BLOCK]


@probe(spec=f"{IDE}; Intel 82371SB (PIIX3), Physical Region Descriptor Format", needs=["ide"], covers=["ide.hostile"])
def ide_byte_count_zero_is_64_kib(k: Kernel) -> ProbeBody:
    """A descriptor with byte count 0 names 64 KiB: one of them takes 128 sectors."""
    buffer = k.buffer("data", 0x1_0000 + 0x1000, align=0x1_0000, fill=GUARD)
    disk = IdeDisk(k)
    k.ioapic.redirect(14, VECTOR)
    disk.prepare(AtaCommand.READ_DMA, 7, 128, [(buffer.address, 0x1_0000)])
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.wait_for(VECTOR, ms=k.device_ms)
    engine = disk.bus_master.STATUS.read("engine")

    run = yield

    content = run.fill_disk("ide")
    assert int(PrdEntry.to(buffer.address, 0x1_0000)) >> 32 == 0
    memory = run.memory(buffer)
    assert memory[:0x1_0000] == content[7 * BLOCK : 135 * BLOCK]
    assert set(memory[0x1_0000:]) == {GUARD}
    assert (run[engine].BMIDEA, run[engine].IDEINTS, run[engine].ERROR) == (0, 1, 0)


@probe(spec=IDE, needs=["ide"], covers=["ide.hostile"])
def ide_table_shorter_than_the_transfer(k: Kernel) -> ProbeBody:
    """Descriptors for less than the disk sends: the engine goes inactive without an interrupt, and writes no more."""
    window = Window.make(k, "data", BLOCK)
    disk = IdeDisk(k)
    k.ioapic.redirect(14, VECTOR)
    disk.prepare(AtaCommand.READ_DMA, 7, 4, [(window.address, BLOCK)])
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.stay_quiet(ms=50)
    command, engine = disk.bus_master.COMMAND.read("command"), disk.bus_master.STATUS.read("engine")

    run = yield

    run.fill_disk("ide")
    assert run[command].SSBM == 1, "the engine had been started"
    assert (run[engine].BMIDEA, run[engine].IDEINTS) == (0, 0)
    assert window.strays(run.memory(window.buffer)) == []
    assert run.vectors == []


@probe.each(end=["longer", "no_eot"])
@probe(spec=IDE, needs=["ide"], covers=["ide.hostile"])
def ide_table_longer_than_the_transfer(k: Kernel, end: str) -> ProbeBody:
    """Descriptors left over when the disk interrupts: interrupt and active both set; clearing the start bit ends it."""
    first, rest = Window.make(k, "first", 2 * BLOCK), Window.make(k, "rest", BLOCK)
    disk = IdeDisk(k)
    k.ioapic.redirect(14, VECTOR)
    regions = [(first.address, first.size), (rest.address, rest.size)]
    disk.prepare(AtaCommand.READ_DMA, 7, 2, regions[: 2 if end == "longer" else 1], eot=end == "longer")
    k.checkpoint("disk")
    k.sti()
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.wait_for(VECTOR, ms=k.device_ms, quiet_ms=1)
    left = disk.bus_master.STATUS.read("left")
    disk.bus_master.COMMAND.write(SSBM=0)
    ended = disk.bus_master.STATUS.read("ended")

    run = yield

    content = run.fill_disk("ide")
    assert first.read(run) == content[7 * BLOCK : 9 * BLOCK]
    assert rest.untouched(run)
    assert (run[left].IDEINTS, run[left].BMIDEA, run[left].ERROR) == (1, 1, 0)
    assert run[ended].BMIDEA == 0
    assert run.vectors == [VECTOR]


@probe(
    spec="Intel 82371AB (PIIX4), BMISX - Bus Master IDE Status Register (IDE DMA Error)",
    needs=["ide"],
    covers=["ide.hostile"],
    deviation=Deviation(
        targets="*",
        kind="bug",
        sees=["memory at address 0 was written", "no error was reported"],
        ref="dma-ide-table-outside",
    ),
)
def ide_table_outside_memory(k: Kernel) -> ProbeBody:
    """A descriptor table that nothing answers for is a master abort: the error bit is set, and no memory is written."""
    # Whatever is read in place of the descriptor: all zeros would name address 0, all ones the last bytes below 4 GiB.
    k.asm(f"xor edi, edi\nmov eax, {GUARD * 0x01010101:#x}\nmov ecx, {0x1000 // 4}\nrep stosd")
    disk = IdeDisk(k)
    disk.prepare(AtaCommand.READ_DMA, 7, 1, [(NOWHERE, BLOCK)])
    disk.bus_master.PRD_TABLE.write(NOWHERE)
    k.checkpoint("disk")
    k.trigger(disk.go, AtaCommand.READ_DMA)
    k.stay_quiet(ms=50)
    command, engine = disk.bus_master.COMMAND.read("command"), disk.bus_master.STATUS.read("engine")

    run = yield

    run.fill_disk("ide")
    assert run[command].SSBM == 1, "the engine had been started"
    assert set(run.memory(0, 0x1000)) == {GUARD}, "memory at address 0 was written"
    assert run[engine].ERROR == 1, "no error was reported"
