"""Level-triggered inputs: remote IRR, EOI, and what an active line does again."""

from harness import Kernel, ProbeBody, probe

VECTOR = 0x61
LINE = 5

REMOTE_IRR = "82093AA, I/O Redirection Table Registers: Remote IRR"


@probe(spec=REMOTE_IRR, needs=["pc-testdev"], covers=["ioapic.level-remote-irr", "ioapic.level-again"])
def level_repeats_until_the_line_drops(k: Kernel) -> ProbeBody:
    """Delivery sets remote IRR, EOI clears it; a line that is still active then interrupts again, an idle one not."""
    entry = k.ioapic.REDIRECTION[LINE].ENTRY
    with k.handler(VECTOR, eoi=False):
        pass
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    idle = entry.read("idle")
    with k.trigger():
        k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.stay_quiet()
    delivered = entry.read("delivered")
    k.mark("first EOI")
    k.lapic.EOI.write(0)
    k.wait_for(VECTOR, 2)
    k.stay_quiet()
    again = entry.read("again")
    k.lines.down(LINE)
    dropped = entry.read("dropped")
    k.mark("second EOI")
    k.lapic.EOI.write(0)
    k.stay_quiet()
    ended = entry.read("ended")

    run = yield

    remote_irr = [run[value].REMOTE_IRR for value in (idle, delivered, again, dropped, ended)]
    assert remote_irr == [0, 1, 1, 1, 0]
    assert run.sequence == [VECTOR, "first EOI", VECTOR, "second EOI"]
    assert run.lapic.isr == set()
    assert run.lapic.irr == set()
