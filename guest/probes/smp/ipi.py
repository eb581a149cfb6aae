"""Interprocessor interrupts: destinations, shorthands, delivery modes, halted and absent processors."""

import random

from harness import DeliveryMode, Kernel, ProbeBody, probe

VECTOR = 0x72
CPUS = 4
ICR = "SDM vol. 3A, Interrupt Command Register (ICR)"


@probe(spec=ICR, cpus=CPUS, covers=["smp.ipi-matrix"])
def every_processor_reaches_every_processor(k: Kernel) -> ProbeBody:
    """A fixed IPI from each processor to each, itself included, arrives once, there, with the sender's vector."""

    def send(sender: int) -> None:
        with k.trigger():
            for receiver in range(CPUS):
                k.lapic.send(destination=receiver, VECTOR=0x40 + 16 * sender + receiver, LEVEL=1)

    turn, over = k.values("turn", "over", initial=0)
    k.smp.start()
    for cpu in range(1, CPUS):
        with k.smp.on(cpu):
            k.sti()
            k.wait_until(turn, cpu)
            send(cpu)
            k.count(turn)
            k.wait_until(over, 1)
            k.cli()
    k.sti()
    send(0)
    k.count(turn)
    k.wait_until(turn, CPUS)
    for vector in (0x40 + 16 * sender + receiver for sender in range(CPUS) for receiver in range(CPUS)):
        k.wait_for(vector)
    k.stay_quiet()
    k.store(over, 1)
    for cpu in range(1, CPUS):
        k.smp.join(cpu)

    run = yield

    arrived = sorted((interrupt.vector, interrupt.cpu) for interrupt in run.interrupts)
    assert arrived == [(0x40 + 16 * sender + cpu, cpu) for sender in range(CPUS) for cpu in range(CPUS)]


@probe.each(shorthand=["SELF", "ALL_INCLUDING_SELF", "ALL_EXCLUDING_SELF"])
@probe(spec=f"{ICR}: Destination Shorthand", cpus=CPUS, covers=["smp.shorthands"])
def shorthands_need_no_destination(k: Kernel, shorthand: str) -> ProbeBody:
    """A destination shorthand means self, all, or all others, whatever the destination field holds."""
    number = {"SELF": 1, "ALL_INCLUDING_SELF": 2, "ALL_EXCLUDING_SELF": 3}[shorthand]
    receivers = {1: [0], 2: [0, 1, 2, 3], 3: [1, 2, 3]}[number]
    with k.smp.listening():
        k.trigger(k.lapic.send, destination=2, VECTOR=VECTOR, LEVEL=1, DESTINATION_SHORTHAND=number)
        k.wait_for(VECTOR, len(receivers), quiet_ms=1)

    run = yield

    assert sorted(interrupt.cpu for interrupt in run.interrupts) == receivers


@probe.each(mask=[0b0010, 0b1100, 0b1111])
@probe(spec="SDM vol. 3A, Logical Destination Mode: Flat Model", cpus=CPUS, covers=["smp.logical-flat"])
def logical_flat_is_a_set(k: Kernel, mask: int) -> ProbeBody:
    """A logical destination reaches each processor whose LDR shares a bit with it, once."""
    receivers = [cpu for cpu in range(CPUS) if mask >> cpu & 1]
    with k.smp.listening():
        k.trigger(k.lapic.send, destination=mask, DESTINATION_MODE=1, VECTOR=VECTOR, LEVEL=1)
        k.wait_for(VECTOR, len(receivers), quiet_ms=1)

    run = yield

    assert sorted(interrupt.cpu for interrupt in run.interrupts) == receivers


@probe(spec=f"{ICR}: Delivery Mode", cpus=2, covers=["smp.nmi-ipi"])
def nmi_ipi_ignores_if(k: Kernel) -> ProbeBody:
    """An IPI with delivery mode NMI arrives on vector 2 at a processor with IF = 0, whatever its vector field."""
    k.expect(2)
    running, over = k.values("running", "over", initial=0)
    k.smp.start()
    with k.smp.on(1):
        k.store(running, 1)
        k.wait_until(over, 1)
    k.wait_until(running, 1)
    k.trigger(k.lapic.send, destination=1, DELIVERY_MODE=DeliveryMode.NMI, VECTOR=0x99, LEVEL=1)
    k.stay_quiet()
    k.store(over, 1)
    k.smp.join(1)

    run = yield

    assert run.fields("cpu", "vector") == [(1, 2)]
    assert not run.interrupts[0].rflags & 1 << 9 and not run.interrupts[0].in_service


@probe.each(mode=["FIXED", "NMI"])
@probe(spec="SDM vol. 2A, HLT—Halt; SDM vol. 3A, Issuing Interprocessor Interrupts", cpus=2, covers=["smp.wake"])
def an_ipi_wakes_a_halted_processor(k: Kernel, mode: str) -> ProbeBody:
    """A processor in HLT with interrupts on continues behind the HLT after the IPI's handler."""
    vector = VECTOR if mode == "FIXED" else 2
    k.expect(2)
    ready, awake = k.values("ready", "awake", initial=0)
    k.smp.start()
    with k.smp.on(1):
        # The port access makes KVM process the second SIPI, which is to be dropped: later it would end HLT.
        k.asm("in al, 0x61\nmov qword ptr [ready], 1\nsti\nhlt\nafter_halt:\ncli\nmov qword ptr [awake], 1")
    k.wait_until(ready, 1)
    k.delay(us=100)
    asleep = k.value("asleep", awake)
    k.trigger(k.lapic.send, destination=1, DELIVERY_MODE=DeliveryMode[mode], VECTOR=VECTOR, LEVEL=1)
    k.smp.join(1)

    run = yield

    assert run[asleep] == 0, "it was not halted"
    assert run[awake] == 1
    assert run.fields("cpu", "vector") == [(1, vector)]
    assert run.interrupts[0].rip == run.address("after_halt")


@probe(spec="SDM vol. 3A, Interrupt Distribution Mechanisms: Physical Destination Mode", cpus=2, covers=["smp.absent"])
def an_ipi_to_nobody_is_lost(k: Kernel) -> ProbeBody:
    """An IPI to an APIC ID that no processor has leaves the ICR idle and is lost; the next one arrives."""
    with k.smp.listening():
        k.lapic.send(destination=0x0E, VECTOR=VECTOR, LEVEL=1)
        k.stay_quiet()
        icr = k.lapic.ICR_LOW.read()
        k.mark("present")
        k.trigger(k.lapic.send, destination=1, VECTOR=VECTOR, LEVEL=1)
        k.wait_for(VECTOR, quiet_ms=1)

    run = yield

    assert run[icr].DELIVERY_STATUS == 0
    assert run.sequence == ["present", VECTOR]
    assert run.count(VECTOR, cpu=1) == 1


@probe(spec=ICR, cpus=CPUS, covers=["smp.storm", "smp.counts"], watchdog_s=60)
def ten_thousand_random_ipis_all_arrive(k: Kernel) -> ProbeBody:
    """10,000 IPIs, eight at a time with distinct vectors, to random processors: each arrives once, there.

    In real time 1,000 are enough to keep a busy host's patience.
    """
    rounds, each = k.by_clock(1250, 125), 8
    chosen = random.Random(2026)
    targets = [chosen.randrange(CPUS) for _ in range(rounds * each)]
    table = k.buffer("targets", len(targets), fill=bytes(targets))
    arrived = k.value("arrived", 0)
    for number in range(each):
        k.handler(VECTOR + number).do(k.count, arrived)
    with k.smp.listening():
        with k.trigger():
            k.asm(f"""
                push rbx
                push rbp
                mov ebx, {table.address:#x}         # next target
                xor ebp, ebp                        # sent so far
            .Lround:
                mov ecx, {VECTOR:#x}
            .Lsend:
                movzx eax, byte ptr [rbx]
                inc rbx
                shl eax, 24
                mov edi, LAPIC_ICR_HIGH
                mov dword ptr [rdi], eax
                mov eax, ecx
                or eax, 0x4000
                mov edi, LAPIC_ICR_LOW
                mov dword ptr [rdi], eax
                inc ecx
                cmp ecx, {VECTOR + each:#x}
                jb .Lsend
                add rbp, {each}
            .Lwait:
                pause
                cmp qword ptr [arrived], rbp
                jb .Lwait
                cmp rbp, {rounds * each}
                jb .Lround
                pop rbp
                pop rbx
            """)
        k.stay_quiet()

    run = yield

    sent = [[0] * CPUS for _ in range(each)]
    for number, target in enumerate(targets):
        sent[number % each][target] += 1
    counted = [[run.count(VECTOR + number, cpu=cpu) for cpu in range(CPUS)] for number in range(each)]
    assert counted == sent
    assert sum(run.counts.values()) == rounds * each
    table_text = proc_interrupts(counted)
    assert table_text.splitlines()[0].split() == [f"CPU{cpu}" for cpu in range(CPUS)]
    assert sum(int(word) for line in table_text.splitlines()[1:] for word in line.split()[1:]) == rounds * each


def proc_interrupts(counts: list[list[int]]) -> str:
    """Counts as Linux prints them: a line for each vector, a column for each processor."""
    head = "     " + "".join(f"{f'CPU{cpu}':>11}" for cpu in range(len(counts[0])))
    rows = [f"{VECTOR + number:>3X}: " + "".join(f"{n:>11}" for n in row) for number, row in enumerate(counts)]
    return "\n".join([head, *rows])
