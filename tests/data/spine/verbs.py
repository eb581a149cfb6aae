"""Guests that use each verb which puts something into a value, counts passes or lets processors listen."""

from harness import Kernel, ProbeBody, probe

SPEC = "none: this guest tests the harness"
IA32_APIC_BASE, IA32_PAT = 0x1B, 0x277


@probe(spec=SPEC)
def passes_are_counted(k: Kernel) -> ProbeBody:
    """A block of `first_time` is executed once, one of `from_time(3)` on the passes from the third on."""
    k.value("passes", 0)
    with k.handler(0x50):
        k.asm("inc qword ptr [passes]")
        with k.first_time():
            k.mark("first")
        with k.from_time(3):
            k.mark("later")
    k.sti()
    for number in range(1, 5):
        k.lapic.self_ipi(0x50)
        k.wait_for(0x50, number)
    run = yield
    assert run["passes"] == 4
    assert run.sequence == [0x50, "first", 0x50, 0x50, "later", 0x50, "later"]


@probe(spec=SPEC)
def memory_is_read_and_written_in_four_widths(k: Kernel) -> ProbeBody:
    """`poke` writes as many bits as it names, `peek` reads as many, zero-extended."""
    box = k.buffer("box", 16, fill=0xFF)
    widths = (8, 16, 32, 64)
    k.poke(box.address, 0x8877_6655_4433_2211)
    for width in widths:
        k.peek(box.address, f"read_{width}", width=width)
    for number, width in enumerate(widths[:3]):
        k.poke(box.address + 8 + 2 * number, 0, width=width)
    run = yield
    assert [run[f"read_{width}"] for width in widths] == [0x11, 0x2211, 0x4433_2211, 0x8877_6655_4433_2211]
    assert run.memory(box).hex() == "1122334455667788" + "00ff" + "0000" + "00000000"


@probe(spec=SPEC)
def registers_go_into_values(k: Kernel) -> ProbeBody:
    """`cpuid`, `rdmsr` and `value` with a source keep RBX, and their values are the processor's."""
    k.asm("mov rbx, 0x1234")
    largest, first, third, second = k.cpuid(0, eax="largest", ebx="first", ecx="third", edx="second")
    (signature,) = k.cpuid(1, eax="signature")
    kept = k.value("kept", "rbx")
    base = k.rdmsr(IA32_APIC_BASE, "base")
    k.wrmsr(IA32_PAT, 0x0007_0406_0007_0400)
    pat = k.rdmsr(IA32_PAT, "pat")
    before, after = k.values("before", "after", initial=7)
    k.store(after, before)
    k.count(after)
    run = yield
    name = b"".join(run[value].to_bytes(4, "little") for value in (first, second, third))
    assert name in (b"AuthenticAMD", b"GenuineIntel")
    assert run[largest] >= 1
    assert run[signature] != 0
    assert (run[kept], run[base] & 0xFFFF_F000) == (0x1234, 0xFEE0_0000)
    assert run[pat] == 0x0007_0406_0007_0400
    assert (run[before], run[after]) == (7, 8)


@probe(spec=SPEC)
def a_feature_that_is_there_ends_nothing(k: Kernel) -> ProbeBody:
    """`require_cpuid` lets a program go on where the bit is set."""
    k.require_cpuid(1, "edx", 9, "APIC")
    reached = k.value("reached", 1)
    run = yield
    assert run[reached] == 1


@probe(spec=SPEC, cpus=3)
def every_processor_takes_interrupts_in_the_block(k: Kernel) -> ProbeBody:
    """In a block of `listening` a broadcast arrives at each processor, and after it at none."""
    with k.smp.listening():
        k.lapic.send(destination=0xFF, VECTOR=0x51, LEVEL=1)
        k.wait_for(0x51, 3)
        k.cli()
    k.lapic.send(destination=1, VECTOR=0x52, LEVEL=1)
    k.delay(us=200)
    run = yield
    assert sorted(run.fields("cpu", "vector")) == [(0, 0x51), (1, 0x51), (2, 0x51)]
