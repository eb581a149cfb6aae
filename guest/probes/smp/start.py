"""Starting application processors: INIT–SIPI–SIPI."""

from harness import DeliveryMode, Kernel, ProbeBody, probe

VECTOR = 0x71
PROTOCOL = "SDM vol. 3A, MP Initialization Protocol Algorithm for MP Systems"
STATES = (
    "SDM vol. 3A, Processor State After Reset: IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT"
)

# Real-mode code in its own page: it counts its starts, stores the state that it finds two pages above, and halts.
PAGE = 0x9
REPORT = (PAGE + 2 << 12) + 0x800
FIELDS = {"starts": 0, "cs": 4, "ds": 6, "ss": 8, "ip": 10, "eax": 12, "edx": 16, "cr0": 20, "cr3": 24, "cr4": 28,
          "eflags": 32, "idt_limit": 36, "idt_base": 38, "gdt_limit": 44, "gdt_base": 46}  # fmt: skip
WIDTHS = dict.fromkeys(FIELDS, 4) | dict.fromkeys(("cs", "ds", "ss", "ip", "idt_limit", "gdt_limit"), 2)

REAL_MODE = """
    jmp .Lover
ap_page:
.code16
    lock inc dword ptr cs:[0x2800]
    mov dword ptr cs:[0x280C], eax
    mov dword ptr cs:[0x2810], edx
    mov word ptr cs:[0x2804], cs
    mov word ptr cs:[0x2806], ds
    mov word ptr cs:[0x2808], ss
    mov eax, cr0
    mov dword ptr cs:[0x2814], eax
    mov eax, cr3
    mov dword ptr cs:[0x2818], eax
    mov eax, cr4
    mov dword ptr cs:[0x281C], eax
    sidt cs:[0x2824]
    sgdt cs:[0x282C]
    mov ax, cs
    mov ss, ax
    mov esp, 0x2F00
    call .Lhere
.Lhere:
    pop cx
    mov word ptr cs:[0x280A], cx
    pushfd
    pop dword ptr cs:[0x2820]
.Lstop:
    pause
    jmp .Lstop
.Lend:
.code64
.Lover:
    lea rsi, [rip+ap_page]
    mov edi, 0x9000
    mov ecx, .Lend-ap_page
    rep movsb
    mov edi, 0xB800
    xor eax, eax
    mov ecx, 64
    rep stosb
"""


def init(k: Kernel, cpu: int) -> None:
    """INIT, and the 10 ms that the protocol gives the processor; a busy host's one needs longer in real time."""
    k.lapic.send(destination=cpu, DELIVERY_MODE=DeliveryMode.INIT, LEVEL=1)
    k.delay(us=10_000, real_us=200_000)


def sipi(k: Kernel, cpu: int, page: int, *, starts: int | None = None) -> None:
    """A start-up IPI; then wait until the page counts so many starts, or (`None`) long enough for an unwanted one."""
    k.lapic.send(destination=cpu, DELIVERY_MODE=DeliveryMode.START_UP, LEVEL=1, VECTOR=page)
    if starts is None:
        k.delay(us=10_000, real_us=200_000)
    else:
        k.wait_until(REPORT, starts, mask=0xFFFF_FFFF)
        k.delay(us=100)


def read(report: bytes, name: str) -> int:
    """A field of what the real-mode page wrote."""
    return int.from_bytes(report[FIELDS[name] :][: WIDTHS[name]], "little")


@probe(spec=PROTOCOL, cpus=2, covers=["smp.start-2", "smp.fixed-ipi"])
def a_started_processor_takes_an_ipi(k: Kernel) -> ProbeBody:
    """INIT–SIPI–SIPI starts the second processor; a fixed IPI to its APIC ID arrives there, once, and nowhere else."""
    k.smp.listen()
    k.trigger(k.lapic.send, destination=1, VECTOR=VECTOR, LEVEL=1)
    k.wait_for(VECTOR, quiet_ms=1)
    k.smp.hush()

    run = yield

    assert run.fields("cpu", "vector") == [(1, VECTOR)]
    assert run.interrupts[0].in_service
    assert run.lapic_of(1).isr == set()
    assert run.lapic_of(1).apic_id == 1


def start(k: Kernel, count: int) -> None:
    """A message to every one of `count` processors."""
    with k.smp.listening():
        k.trigger(k.lapic.send, destination=0xFF, VECTOR=VECTOR, LEVEL=1)
        k.wait_for(VECTOR, count)


@probe(spec=PROTOCOL, cpus=4, covers=["smp.start-4"])
def four_processors_start(k: Kernel) -> ProbeBody:
    """Each of four processors starts and has its own APIC ID."""
    start(k, 4)

    run = yield

    assert [run.lapic_of(cpu).apic_id for cpu in range(4)] == list(range(4))
    assert [run.count(VECTOR, cpu=cpu) for cpu in range(4)] == [1] * 4


@probe(spec=PROTOCOL, cpus=8, covers=["smp.start-8"])
def eight_processors_start(k: Kernel) -> ProbeBody:
    """Each of eight processors starts and has its own APIC ID."""
    start(k, 8)

    run = yield

    assert [run.lapic_of(cpu).apic_id for cpu in range(8)] == list(range(8))
    assert [run.count(VECTOR, cpu=cpu) for cpu in range(8)] == [1] * 8


@probe(spec=f"{STATES}; {PROTOCOL}", cpus=2, covers=["smp.sipi-address", "smp.init-state"])
def sipi_starts_in_real_mode_at_its_page(k: Kernel) -> ProbeBody:
    """A SIPI with vector VV starts at VV00:0000 in real mode, with the registers as INIT leaves them."""
    k.asm(REAL_MODE)
    (signature,) = k.cpuid(1, eax="signature")
    init(k, 1)
    k.trigger(sipi, k, 1, PAGE)
    k.wait_until(REPORT, 1, mask=0xFFFF_FFFF)

    run = yield

    report = run.memory(REPORT, 64)
    found = {name: read(report, name) for name in FIELDS}
    assert found["starts"] == 1, "the processor did not start there"
    assert found["cs"] == PAGE << 8
    assert [found[name] for name in ("ds", "ss", "eax", "cr3", "cr4")] == [0] * 5
    assert found["edx"] == run[signature], "EDX holds the processor's signature"
    assert found["cr0"] & ~0x6000_0000 == 0x10, "PE = PG = 0, ET = 1; INIT leaves CD and NW as they are"
    assert found["eflags"] == 2, "no flag but the reserved bit 1"
    assert [found[name] for name in ("idt_base", "idt_limit", "gdt_base", "gdt_limit")] == [0, 0xFFFF, 0, 0xFFFF]


@probe(spec=PROTOCOL, cpus=2, covers=["smp.sipi-ignored"])
def a_second_sipi_is_ignored(k: Kernel) -> ProbeBody:
    """A processor that runs ignores a SIPI, to the same page and to another; after an INIT it takes one again."""
    k.asm(REAL_MODE)
    init(k, 1)
    sipi(k, 1, PAGE, starts=1)
    sipi(k, 1, PAGE)
    sipi(k, 1, PAGE + 1)
    once = k.peek(REPORT, "once", width=32)
    k.trigger(init, k, 1)
    sipi(k, 1, PAGE, starts=2)

    run = yield

    assert run[once] == 1
    assert read(run.memory(REPORT, 64), "starts") == 2


@probe(spec=PROTOCOL, cpus=2, covers=["smp.init-waits"])
def init_alone_starts_nothing(k: Kernel) -> ProbeBody:
    """After INIT a processor waits for a SIPI: neither a fixed IPI nor an NMI makes it run, and the IPI is not kept."""
    k.expect(2)
    k.asm(REAL_MODE)
    # Whether the NMI is kept is open: real mode's vector 2 returns at once.
    k.asm(f"mov byte ptr [{(PAGE << 12) + 0xF00:#x}], 0xCF\nmov dword ptr [8], {PAGE << 24 | 0xF00:#x}")
    init(k, 1)
    k.lapic.send(destination=1, VECTOR=VECTOR, LEVEL=1)
    k.lapic.send(destination=1, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1)
    k.delay(us=10_000)
    waiting = k.peek(REPORT, "waiting", width=32)
    k.trigger(sipi, k, 1, PAGE, starts=1)

    run = yield

    assert run[waiting] == 0
    assert run.vectors == []
    assert read(run.memory(REPORT, 64), "starts") == 1
