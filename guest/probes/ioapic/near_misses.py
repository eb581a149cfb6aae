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


@probe.each(vector=[0x6A, 0x7A, 0xDA])
@probe(
    spec="SDM vol. 3A, Signaling Interrupt Servicing Completion; 82093AA, I/O Redirection Table Registers: Remote IRR",
    needs=["pc-testdev"],
    covers=["ioapic.near-vectors"],
)
def an_eoi_of_a_near_vector_leaves_remote_irr(k: Kernel, vector: int) -> ProbeBody:
    """The EOI broadcast of a nested level interrupt whose vector differs in one bit ends that entry alone."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=PIN, vector=VECTOR, TRIGGER_MODE=1)
    k.ioapic.redirect(pin=6, vector=vector, TRIGGER_MODE=1)
    k.handler(vector).do(k.lines.down, 6)
    k.sti()
    k.lines.up(PIN)
    k.wait_for(VECTOR)
    k.trigger(k.lines.up, 6)
    k.wait_for(vector)
    own = k.ioapic.REDIRECTION[6].LOW.read("own")
    other = k.ioapic.REDIRECTION[PIN].LOW.read("other")
    k.lines.down(PIN)
    k.lapic.eoi()

    run = yield

    assert run.vectors == [VECTOR, vector]
    assert (run[own].REMOTE_IRR, run[other].REMOTE_IRR) == (0, 1)
