"""The accessed bit of a segment descriptor: a write of the processor's own."""

from harness import GDT, GDT_SIZE, PAGE_WINDOW, SEL_SPARE, Kernel, PageFaultErrorCode, ProbeBody, probe

PAGE = 9
COPY = PAGE_WINDOW + 0x1000 * PAGE
DATA = 0x00CF_9200_0000_FFFF  # writable data, base 0, accessed bit clear
ACCESSED = 1 << 40


def load_gdt(k: Kernel, base: int) -> None:
    """LGDT of a table as long as the runtime's."""
    k.asm(f"""
        mov word ptr [rsp-16], {GDT_SIZE - 1}
        mov rax, {base:#x}
        mov qword ptr [rsp-14], rax
        lgdt [rsp-16]
    """)


@probe(
    spec="SDM vol. 3A, Code- and Data-Segment Descriptor Types (accessed bit); Access Rights (implicit accesses)",
    covers=["descriptors.accessed-read-only"],
)
def accessed_bit_in_a_read_only_page(k: Kernel) -> ProbeBody:
    """With CR0.WP=1 a load that must set the accessed bit in a read-only page is #PF(P, W/R), no other load is."""
    set_already, clear = SEL_SPARE, SEL_SPARE + 8
    k.asm(f"""
        mov esi, {GDT:#x}
        mov edi, {COPY:#x}
        mov ecx, {GDT_SIZE}
        rep movsb
        movabs rax, {DATA | ACCESSED:#x}
        mov qword ptr [{COPY + set_already:#x}], rax
        movabs rax, {DATA:#x}
        mov qword ptr [{COPY + clear:#x}], rax
    """)
    k.cr.CR0.update(WP=1)
    load_gdt(k, COPY)
    k.trigger(k.pages.entry, PAGE, RW=0)
    k.asm(f"mov eax, {set_already}\nmov fs, eax")
    k.faults(14).do(k.asm, f"mov eax, {clear}\nculprit: mov fs, eax")
    k.asm("xor eax, eax\nmov fs, eax")
    load_gdt(k, GDT)

    run = yield

    denied = PageFaultErrorCode.of(P=1, WR=1)
    assert run.fields("vector", "error_code", "rip") == [(14, denied, run.address("culprit"))]
    assert COPY + clear <= (run.interrupts[0].cr2 or 0) < COPY + clear + 8
