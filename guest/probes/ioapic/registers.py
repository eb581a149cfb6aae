"""The IO APIC's registers behind IOREGSEL and IOWIN."""

from harness import Kernel, ProbeBody, RedirectionEntry, probe

REGISTERS = "82093AA, I/O APIC Registers"
ENTRY = "82093AA, I/O Redirection Table Registers"


@probe(spec=f"{REGISTERS}: IOAPICVER", covers=["ioapic.version"])
def version_and_size(k: Kernel) -> ProbeBody:
    """The version register is 11h (82093AA) or 20h (ICH), and names the last of 24 entries; writes do nothing."""
    version = k.trigger(k.ioapic.VERSION.read)
    k.ioapic.window.IOREGSEL.write(1)
    k.ioapic.window.IOWIN.write(0xFFFF_FFFF)
    again = k.ioapic.VERSION.read("again")

    run = yield

    assert run[version].VERSION in (0x11, 0x20)
    assert run[version].MAXIMUM_REDIRECTION_ENTRY == 23
    assert run[again] == run[version]


@probe.each(number=[0x0, 0x5, 0xA, 0xF])
@probe(spec=f"{REGISTERS}: IOAPICID, IOAPICARB", covers=["ioapic.id", "ioapic.arbitration"])
def identification_is_four_bits(k: Kernel, number: int) -> ProbeBody:
    """The ID is bits 27:24 of its register, all 16 values; the arbitration ID is loaded with it."""
    k.ioapic.ID.write(ID=~number & 0xF)
    k.trigger(k.ioapic.ID.write, 0xF0FF_FFFF | number << 24)
    identification = k.ioapic.ID.read()
    arbitration = k.ioapic.ARBITRATION.read()

    run = yield

    assert {run[identification].ID, run[arbitration].ARBITRATION_ID} == {number}


@probe(spec=f"{REGISTERS}: IOREGSEL, IOWIN", covers=["ioapic.window"])
def the_index_stays_selected(k: Kernel) -> ProbeBody:
    """IOREGSEL keeps its index: it reads back, and every access to IOWIN goes to that register until it is changed."""
    window = k.ioapic.window
    k.ioapic.redirect(pin=7, vector=0x77, MASK=1)
    k.ioapic.redirect(pin=8, vector=0x88, MASK=1)
    k.trigger(window.IOREGSEL.write, 0x10 + 2 * 7)
    index = window.IOREGSEL.read("index")
    first = window.IOWIN.read("first")
    second = window.IOWIN.read("second")
    window.IOWIN.write(0x1_0079)
    third = window.IOWIN.read("third")
    other = k.ioapic.REDIRECTION[8].LOW.read("other")

    run = yield

    assert run[index] == 0x1E
    assert [run[first], run[second], run[third]] == [0x1_0077, 0x1_0077, 0x1_0079]
    assert run[other] == 0x1_0088


@probe(spec=f"{ENTRY}: Interrupt Mask", covers=["ioapic.reset-values"])
def reset_masks_every_entry(k: Kernel) -> ProbeBody:
    """After a reset every entry is masked, and its other fields that have a reset value are 0."""
    for pin in range(24):
        k.ioapic.redirect(pin=pin, vector=0x40 + pin, TRIGGER_MODE=1, POLARITY=0, DESTINATION=0xF)

    run = yield

    assert all(not entry.masked for entry in run.ioapic.entries), "the guest had opened them all"
    run.trigger(run.machine.reset)
    after = run.machine.ioapics()[0]
    assert [entry.masked for entry in after.entries] == [True] * 24
    assert all(not entry.remote_irr and not entry.pending for entry in after.entries)


@probe.each(pin=[0, 1, 22, 23])
@probe(spec=ENTRY, covers=["ioapic.entry-fields"])
def entries_hold_their_fields(k: Kernel, pin: int) -> ProbeBody:
    """Every writable field of an entry reads back as written, all ones and all zeros; its neighbours do not change."""
    k.cli()
    neighbours = [other for other in (pin - 1, pin + 1) if 0 <= other < 24]
    fields = ("VECTOR", "DELIVERY_MODE", "DESTINATION_MODE", "POLARITY", "TRIGGER_MODE", "MASK", "DESTINATION")
    ones = RedirectionEntry.of(
        VECTOR=0xFF, DELIVERY_MODE=7, DESTINATION_MODE=1, POLARITY=1, TRIGGER_MODE=1, MASK=1, DESTINATION=0xFF
    )
    for other in neighbours:
        k.ioapic.redirect(pin=other, vector=0x55, MASK=1)
    k.trigger(k.ioapic.REDIRECTION[pin].ENTRY.write, int(ones))
    high = k.ioapic.REDIRECTION[pin].ENTRY.read("high")
    k.ioapic.REDIRECTION[pin].ENTRY.write(MASK=1)
    low = k.ioapic.REDIRECTION[pin].ENTRY.read("low")
    others = [k.ioapic.REDIRECTION[other].ENTRY.read() for other in neighbours]

    run = yield

    assert {name: getattr(run[high], name) for name in fields} == {name: getattr(ones, name) for name in fields}
    assert run[low] == RedirectionEntry.of(MASK=1)
    assert [run[other] for other in others] == [RedirectionEntry.of(VECTOR=0x55, MASK=1) for _ in others]


@probe(spec=f"{ENTRY}: Delivery Status, Remote IRR", covers=["ioapic.read-only"])
def status_bits_cannot_be_written(k: Kernel) -> ProbeBody:
    """Delivery status and remote IRR are read-only: written ones are not kept."""
    entry = k.ioapic.REDIRECTION[7].LOW
    k.trigger(entry.write, 1 << 16 | 1 << 15 | 1 << 14 | 1 << 12 | 0x66)
    after = entry.read()

    run = yield

    assert run[after].VECTOR == 0x66
    assert run[after].DELIVERY_STATUS == 0
    assert run[after].REMOTE_IRR == 0


@probe(spec=f"{ENTRY}: Remote IRR", needs=["pc-testdev"], covers=["ioapic.read-only"])
def remote_irr_survives_a_write(k: Kernel) -> ProbeBody:
    """Writing 0 to an entry whose interrupt is in service does not clear its remote IRR."""
    vector = 0x61
    k.hold(vector)
    k.ioapic.redirect(pin=5, vector=vector, TRIGGER_MODE=1)
    k.sti()
    k.trigger(k.lines.up, 5)
    k.wait_for(vector)
    k.lines.down(5)
    k.ioapic.redirect(pin=5, vector=vector, TRIGGER_MODE=1)
    entry = k.ioapic.REDIRECTION[5].LOW.read()

    run = yield

    assert run[entry].REMOTE_IRR == 1


@probe(spec=REGISTERS, covers=["ioapic.dumps-agree"])
def monitor_and_guest_agree(k: Kernel) -> ProbeBody:
    """What the guest reads of every entry is what QEMU's monitor prints of it: 24 entries, each different."""
    for pin in range(24):
        mode = (0, 1, 2, 4)[pin % 4]
        k.ioapic.redirect(
            pin=pin,
            vector=0x20 + 7 * pin,
            MASK=1,
            DELIVERY_MODE=mode,
            DESTINATION_MODE=pin >> 1 & 1,
            POLARITY=pin >> 2 & 1,
            TRIGGER_MODE=pin >> 3 & 1,
            DESTINATION=pin,
        )
    entries = []
    for pin in range(24):
        with k.trigger():
            entries.append(k.ioapic.REDIRECTION[pin].ENTRY.read())

    run = yield

    shown = run.machine.ioapics()[0]
    for pin, entry in enumerate(entries):
        assert [run[entry].VECTOR, run[entry]] == [0x20 + 7 * pin, shown[pin].raw], f"pin {pin}"
