"""Guests that bring the machine or a stack down, each in a way of its own."""

from harness import Kernel, ProbeBody, probe

SPEC = "none: this guest is here to misbehave"


def _own_paging(k: Kernel) -> None:
    """Page tables of the probe's own: the first GiB one to one in 2 MiB pages, the last GiB of four too."""
    pml4 = k.buffer("pml4", 0x1000, align=0x1000)
    pdpt = k.buffer("pdpt", 0x1000, align=0x1000)
    low = k.buffer("low", 0x1000, align=0x1000)
    high = k.buffer("high", 0x1000, align=0x1000)
    k.asm(f"""
        mov qword ptr [{pml4.address:#x}], {pdpt.address + 3:#x}
        mov qword ptr [{pdpt.address:#x}], {low.address + 3:#x}
        mov qword ptr [{pdpt.address + 24:#x}], {high.address + 3:#x}
        mov edi, {low.address:#x}
        mov eax, 0x83
    .Lentry:
        mov [rdi], rax
        mov rcx, 0xC0000000
        or rcx, rax
        mov [rdi+{high.address - low.address:#x}], rcx
        add edi, 8
        add eax, 0x200000
        cmp edi, {low.address + 0x1000:#x}
        jb .Lentry
        mov eax, {pml4.address:#x}
        mov cr3, rax
    """)


def _nest(k: Kernel) -> None:
    with k.handler(0x80):
        k.asm("deeper: int 0x80")
    k.int_n(0x80)


@probe(spec=SPEC)
def nests(k: Kernel) -> ProbeBody:
    """A handler that causes its own interrupt."""
    _nest(k)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def nests_with_page_tables_of_its_own(k: Kernel) -> ProbeBody:
    """The same, where the guard pages are mapped."""
    _own_paging(k)
    _nest(k)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=2)
def nests_on_another_processor(k: Kernel) -> ProbeBody:
    """The same on an application processor."""
    k.smp.start()
    with k.handler(0x80):
        k.asm("deeper: int 0x80")
    with k.smp.on(1):
        k.int_n(0x80)
    k.smp.join(1)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, needs=["pc-testdev"])
def line_that_nobody_silences(k: Kernel) -> ProbeBody:
    """A level interrupt whose handler sends EOI and lets interrupts in before it silences the line."""
    with k.handler(0x50, eoi=False):
        k.lapic.EOI.write(0)
        k.sti()
    k.ioapic.redirect(5, 0x50, TRIGGER_MODE=1)
    k.sti()
    k.lines.up(5)
    k.settle()
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def recurses(k: Kernel) -> ProbeBody:
    """A routine that calls itself for ever."""
    k.asm("again: call again")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def uses_up_its_stack_with_page_tables_of_its_own(k: Kernel) -> ProbeBody:
    """62 KiB of pushes, and as many pops, where the guard pages are mapped."""
    _own_paging(k)
    k.asm("mov ecx, 7936\n.Lpush: push rcx\ndec ecx\njnz .Lpush\nadd rsp, 63488")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def uses_most_of_its_stack(k: Kernel) -> ProbeBody:
    """56 KiB: they are there."""
    k.asm("mov ecx, 7168\n.Lpush: push rcx\ndec ecx\njnz .Lpush\nadd rsp, 57344")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=3)
def triple_fault_of_another_processor(k: Kernel) -> ProbeBody:
    """Processor 2 has no IDT, and faults; the others wait."""
    k.smp.start()
    with k.smp.on(2):
        k.tables.lidt(0, 0)
        k.asm("broken: ud2")
    k.smp.join(2)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, cpus=2)
def port_of_another_processor(k: Kernel) -> ProbeBody:
    """Processor 1 resets the machine by port CF9h."""
    k.smp.start()
    with k.smp.on(1):
        k.asm("mov edx, 0xCF9\nmov al, 6\nout dx, al\nhlt")
    k.smp.join(1)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def page_fault_without_a_stack(k: Kernel) -> ProbeBody:
    """#PF, whose frame cannot be pushed, nor that of #DF."""
    k.asm("mov byte ptr [IDT+8*16+4], 0\nmov rsp, 0x7f0000000000\nlost: mov al, [rsp]")
    run = yield
    assert run.vectors == []
