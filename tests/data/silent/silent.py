"""Guests that fall silent, each in a way of its own; and some that seem to."""

from harness import Kernel, ProbeBody, probe

SPEC = "none: this guest is here to fall silent"


@probe(spec=SPEC)
def halts_with_interrupts_off(k: Kernel) -> ProbeBody:
    """CLI, HLT, and nothing that wakes it."""
    k.cli()
    k.asm("hlt")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=2)
def halts_on_all_processors(k: Kernel) -> ProbeBody:
    """The same on two processors."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("cli\nhlt")
    k.delay(us=100)
    k.asm("cli\nhlt")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def halts_after_a_checkpoint(k: Kernel) -> ProbeBody:
    """The host lets it run on, and it halts."""
    k.checkpoint("here")
    k.asm("cli\nhlt")
    run = yield
    run.reached("here")
    run.resume()
    assert run.vectors == []


@probe(spec=SPEC, watchdog_s=0.7)
def halts_where_an_nmi_may_come(k: Kernel) -> ProbeBody:
    """An IO APIC entry that delivers NMIs is not masked: it cannot be known that none comes."""
    k.ioapic.redirect(5, 0, DELIVERY_MODE=4)
    k.asm("cli\nhlt")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def is_woken_by_an_nmi(k: Kernel) -> ProbeBody:
    """The 8254 wakes it by an NMI, with interrupts off, 50 ms of virtual time later."""
    k.expect(2)
    k.ioapic.redirect(2, 0, DELIVERY_MODE=4)
    k.pit.program(0, 0, 60_000)
    k.asm("cli\nhlt")
    k.mark("awake")
    k.ioapic.mask(2)
    run = yield
    assert run.sequence[-1] == "awake"
    assert run.count(2) == 1


@probe(spec=SPEC)
def is_woken_after_ten_seconds(k: Kernel) -> ProbeBody:
    """Interrupts on: it sleeps for ten seconds of virtual time."""
    k.lapic.LVT_TIMER.write(VECTOR=0x50)
    k.lapic.DIVIDE_CONFIGURATION.write(0xA)  # by 128
    k.lapic.INITIAL_COUNT.write(78_125_000)
    k.asm("sti\nhlt\ncli")
    run = yield
    assert run.vectors == [0x50]


@probe(spec=SPEC, watchdog_s=0.5)
def calls_into_the_void(k: Kernel) -> ProbeBody:
    """Calls an endless loop in a buffer, which is no code of the program."""
    code = k.buffer("code", 16, fill=b"\xeb\xfe")
    k.asm(f"mov eax, {code.address:#x}\ncall rax")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, watchdog_s=0.5)
def writes_over_the_runtime(k: Kernel) -> ProbeBody:
    """Makes an endless loop of a routine of the runtime, and calls it."""
    k.asm("lea rdi, [rip+wait_vector]\nmov word ptr [rdi], 0xFEEB")
    k.wait_for(0x50)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def breaks_the_runtime(k: Kernel) -> ProbeBody:
    """Makes an invalid instruction of a routine of the runtime, and calls it."""
    k.asm("lea rdi, [rip+wait_vector]\nmov word ptr [rdi], 0x0B0F")
    k.wait_for(0x50)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, watchdog_s=0.5)
def storms(k: Kernel) -> ProbeBody:
    """A periodic timer of ten ticks, and an endless loop."""
    k.lapic.LVT_TIMER.write(VECTOR=0x50, TIMER_MODE=1)
    k.sti()
    k.lapic.INITIAL_COUNT.write(10)
    k.asm(".Lround: pause\njmp .Lround")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=2, watchdog_s=0.5)
def another_processor_spins(k: Kernel) -> ProbeBody:
    """Processor 1 goes round and round, and processor 0 sleeps until it is done."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("round_and_round: pause\njmp round_and_round")
    k.sti()
    k.wait_for(0x50, halt=True)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=2, watchdog_s=0.5)
def another_processor_spins_and_this_one_too(k: Kernel) -> ProbeBody:
    """Two endless loops."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("round_and_round: pause\njmp round_and_round")
    k.asm("to_and_fro: pause\njmp to_and_fro")
    run = yield
    assert run.vectors == []
