"""Redirection entries written while their interrupt is in service: vector, mask and trigger mode."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR, OTHER = 0x64, 0xA9
LINE = 6
ENTRY = "82093AA, I/O Redirection Table Registers"


@probe(
    spec=f"{ENTRY}: Remote IRR; ICH9, APIC Direct Registers: EOIR—EOI Register",
    needs=["pc-testdev"],
    covers=["ioapic.vector-change"],
)
def a_new_vector_is_the_one_that_an_eoi_names(k: Kernel) -> ProbeBody:
    """The vector of an entry changes in service: only the EOI of the new one clears remote IRR."""
    version = k.ioapic.VERSION.read("version")
    k.hold(VECTOR)
    k.handler(OTHER).do(k.lines.down, LINE)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.trigger(k.ioapic.redirect, pin=LINE, vector=OTHER, TRIGGER_MODE=1)
    k.lapic.eoi()
    k.stay_quiet()
    entry = k.ioapic.REDIRECTION[LINE].LOW.read("entry")
    k.mark("EOI of the new vector")
    k.ioapic.window.EOI.write(OTHER)
    k.wait_for(OTHER, quiet_ms=1)

    run = yield

    if run[version].VERSION < 0x20:
        run.unsupported(f"the IO APIC's version is {run[version].VERSION:#x}: it has no EOI register")
    assert run[entry].REMOTE_IRR == 1
    assert run.sequence == [VECTOR, "EOI of the new vector", OTHER]


@probe(spec=f"{ENTRY}: Remote IRR, Interrupt Mask", needs=["pc-testdev"], covers=["ioapic.unmask-in-service"])
def mask_and_unmask_in_service_send_nothing(k: Kernel) -> ProbeBody:
    """A level entry masked and unmasked before its EOI, line active: the repeat comes after the EOI, and once."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.trigger(k.ioapic.mask, LINE)
    masked = k.ioapic.REDIRECTION[LINE].LOW.read("masked")
    k.ioapic.unmask(LINE)
    k.stay_quiet()
    waiting = k.lapic.requested(VECTOR, "waiting")
    k.mark("EOI")
    k.lapic.eoi()
    k.wait_for(VECTOR, 2)
    k.lines.down(LINE)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert (run[masked].MASK, run[masked].REMOTE_IRR) == (1, 1)
    assert VECTOR not in run[waiting], "the unmask sent a second message while remote IRR was set"
    assert run.sequence == [VECTOR, "EOI", VECTOR]
    assert run.ioapic[LINE].remote_irr == 0


@probe(
    spec=f"{ENTRY}: Trigger Mode",
    needs=["pc-testdev"],
    covers=["ioapic.edge-in-service"],
    deviation=Deviation(targets="*-tcg*", kind="bug", sees=r"\[0x64, 0x64, 'edge', 0x64\]", ref="ioapic-edge-stale"),
)
def an_entry_becomes_edge_in_service(k: Kernel) -> ProbeBody:
    """An entry is made edge-triggered while its level interrupt is in service: the high line repeats nothing."""
    k.hold(VECTOR)
    k.ioapic.redirect(pin=LINE, vector=VECTOR, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(LINE)
    k.wait_for(VECTOR)
    k.trigger(k.ioapic.redirect, pin=LINE, vector=VECTOR)
    k.lapic.eoi()
    k.stay_quiet()
    k.mark("edge")
    k.lines.down(LINE)
    k.lines.up(LINE)
    k.wait_for(VECTOR, 2)
    k.lapic.eoi()
    k.stay_quiet()

    run = yield

    assert run.sequence == [VECTOR, "edge", VECTOR]
    assert run.ioapic[LINE].remote_irr == 0


@probe(spec=f"{ENTRY}: Interrupt Mask", needs=["pc-testdev"], covers=["ioapic.mask-accepted"])
def masking_leaves_an_accepted_request(k: Kernel) -> ProbeBody:
    """An edge whose message waits in the IRR is delivered although its entry is masked and its vector rewritten."""
    k.cli()
    k.ioapic.redirect(pin=LINE, vector=VECTOR)
    k.lines.pulse(LINE)
    k.settle()
    k.trigger(k.ioapic.redirect, pin=LINE, vector=OTHER, MASK=1)
    before = k.lapic.requested(VECTOR, "before")
    k.sti()
    k.wait_for(VECTOR, quiet_ms=1)
    k.mark("unmask")
    k.ioapic.unmask(LINE)
    k.lines.pulse(LINE)
    k.wait_for(OTHER, quiet_ms=1)

    run = yield

    assert VECTOR in run[before]
    assert run.sequence == [VECTOR, "unmask", OTHER]
