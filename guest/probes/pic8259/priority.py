"""The 8259's fully nested mode: which request goes first, which waits, and what an end of interrupt ends."""

from harness import Kernel, ProbeBody, probe

ORDER = [0, 1, *range(8, 16), *range(3, 8)]  # highest first: the slave has the place of IR2


def level_at_master(irq: int) -> int:
    """The master's input that the request comes in by."""
    return irq if irq < 8 else 2


@probe(spec="Intel 8259A datasheet, Fully Nested Mode", covers=["pic8259.fixed-priority"], needs=["pc-testdev"])
def simultaneous_requests_come_in_order(k: Kernel) -> ProbeBody:
    """Requests that are pending together are served from IR0 down to IR7, the slave's eight between IR1 and IR3."""
    k.deliver_8259(*ORDER)
    k.trigger(k.lines.up, *sorted(ORDER, key=lambda irq: irq * 7 % 16))
    k.sti()
    k.wait_for(k.pic.vector(7), quiet_ms=1)

    run = yield

    assert run.vectors == [k.pic.vector(irq) for irq in ORDER]
    assert {interrupt.depth for interrupt in run.interrupts} == {0}
    assert (run.pic.master.isr, run.pic.slave.isr) == (0, 0)


@probe.each(place=range(len(ORDER) - 1))
@probe(spec="Intel 8259A datasheet, Fully Nested Mode", covers=["pic8259.fixed-priority"], needs=["pc-testdev"])
def higher_request_preempts(k: Kernel, place: int) -> ProbeBody:
    """While an input is in service, the next higher master input interrupts it; two inputs of one slave do not nest."""
    higher, lower = ORDER[place], ORDER[place + 1]
    nests = level_at_master(higher) < level_at_master(lower)
    k.deliver_8259(higher, lower, serve=False, unmask=False)
    k.serve_8259(higher)
    with k.handler(k.pic.vector(lower)):
        k.trigger(k.lines.up, higher)
        k.sti()
        if nests:
            k.wait_for(k.pic.vector(higher), ms=50)
        else:
            k.settle()
        k.cli()
        k.mark("end of interrupt")
        k.pic.eoi(lower)
    k.pic.unmask(higher, lower)
    k.sti()
    k.lines.up(lower)
    k.wait_for(k.pic.vector(higher), ms=10)

    run = yield

    nested = [k.pic.vector(lower), k.pic.vector(higher), "end of interrupt"]
    in_turn = [k.pic.vector(lower), "end of interrupt", k.pic.vector(higher)]
    assert run.sequence == (nested if nests else in_turn)
    assert run.interrupts[1].depth == int(nests)


@probe.each(place=range(len(ORDER) - 1))
@probe(spec="Intel 8259A datasheet, Fully Nested Mode", covers=["pic8259.fixed-priority"], needs=["pc-testdev"])
def lower_request_waits_for_the_end_of_interrupt(k: Kernel, place: int) -> ProbeBody:
    """While an input is in service, the next lower one stays in the IRR until the end of interrupt, and comes then."""
    higher, lower = ORDER[place], ORDER[place + 1]
    chip = k.pic.chip(lower)
    k.deliver_8259(higher, lower, serve=False, unmask=False)
    k.serve_8259(lower)
    with k.handler(k.pic.vector(higher)):
        k.trigger(k.lines.up, lower)
        k.sti()
        k.settle()
        k.cli()
        held = k.pic.irr(chip, "held")
        k.mark("end of interrupt")
        k.pic.eoi(higher)
    k.pic.unmask(higher, lower)
    k.sti()
    k.lines.up(higher)
    k.wait_for(k.pic.vector(lower), ms=10)

    run = yield

    assert run.sequence == [k.pic.vector(higher), "end of interrupt", k.pic.vector(lower)]
    assert run[held] >> (lower & 7) & 1
    assert run.interrupts[1].depth == 0


@probe.each(irq=[3, 12])
@probe(spec="Intel 8259A datasheet, Fully Nested Mode", covers=["pic8259.fixed-priority"], needs=["pc-testdev"])
def same_input_does_not_nest(k: Kernel, irq: int) -> ProbeBody:
    """A second edge on an input in service stays in the IRR until the end of interrupt, then interrupts once more."""
    chip = k.pic.chip(irq)
    k.deliver_8259(irq, serve=False, unmask=False)
    with k.handler(k.pic.vector(irq)):
        with k.first_time():
            with k.trigger():
                k.lines.down(irq)
                k.lines.up(irq)
            k.sti()
            k.settle()
            k.cli()
            held = k.pic.irr(chip, "held")
        k.mark("end of interrupt")
        k.pic.eoi(irq)
    k.pic.unmask(irq)
    k.sti()
    k.lines.up(irq)
    k.wait_for(k.pic.vector(irq), count=2, ms=10, quiet_ms=1)

    run = yield

    assert run.sequence == [k.pic.vector(irq), "end of interrupt"] * 2
    assert run[held] == 1 << (irq & 7)
    assert [interrupt.depth for interrupt in run.interrupts] == [0, 0]
