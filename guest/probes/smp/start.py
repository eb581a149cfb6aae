"""Starting application processors: INIT–SIPI–SIPI."""

from harness import Kernel, ProbeBody, probe

VECTOR = 0x71


@probe(
    spec="SDM vol. 3A, MP Initialization Protocol Algorithm for MP Systems",
    cpus=2,
    covers=["smp.start", "smp.fixed-ipi"],
)
def a_started_processor_takes_an_ipi(k: Kernel) -> ProbeBody:
    """INIT–SIPI–SIPI starts the second processor; a fixed IPI to its APIC ID arrives there, once, and nowhere else."""
    running = k.value("running")
    seen = k.value("seen")
    k.store(running, 0)
    k.store(seen, 0)
    with k.handler(VECTOR):
        k.store(seen, 1)
    k.smp.start()
    with k.smp.on(1):
        k.sti()
        k.store(running, 1)
        k.wait_until(seen, 1)
        k.stay_quiet()
        k.cli()
    k.wait_until(running, 1)
    with k.trigger():
        k.lapic.send(destination=1, VECTOR=VECTOR, LEVEL=1)
    k.smp.join(1)

    run = yield

    assert run.vectors == [VECTOR]
    assert run.count(VECTOR, cpu=1) == 1
    assert run.interrupts[0].in_service
    assert run.lapic_of(1).isr == set()
    assert run.lapic_of(1).apic_id == 1
