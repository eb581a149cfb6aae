"""Comparisons that the IO APIC makes: what differs in one bit only is not the same."""

from harness import Kernel, ProbeBody, probe

VECTOR = 0x5A
PIN = 5


@probe(
    spec="Intel I/O Controller Hub 9 datasheet, EOIR—EOI Register", needs=["pc-testdev"], covers=["ioapic.near-vectors"]
)
def the_eoi_register_compares_all_eight_bits(k: Kernel) -> ProbeBody:
    """A vector that differs from the entry's in one bit leaves remote IRR set, whichever bit it is."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=PIN, vector=VECTOR, TRIGGER_MODE=1)
    version = k.ioapic.VERSION.read("version")
    k.sti()
    k.lines.up(PIN)
    k.wait_for(VECTOR)
    k.lines.down(PIN)
    seen = []
    for bit in range(8):
        k.ioapic.window.EOI.write(VECTOR ^ 1 << bit)
        seen.append(k.ioapic.REDIRECTION[PIN].LOW.read())
    k.trigger(k.ioapic.window.EOI.write, VECTOR)
    after = k.ioapic.REDIRECTION[PIN].LOW.read("after")
    k.lapic.eoi()

    run = yield

    if run[version].VERSION < 0x20:
        run.unsupported(f"the IO APIC's version is {run[version].VERSION:#x}: it has no EOI register")
    assert [run[value].REMOTE_IRR for value in seen] == [1] * 8
    assert run[after].REMOTE_IRR == 0
