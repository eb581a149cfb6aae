"""The limit of the GDT, to its last byte."""

from harness import GDT, GDT_SIZE, SEL_SPARE, SEL_TSS, Kernel, ProbeBody, probe

DATA = 0x00CF_9300_0000_FFFF  # writable data, base 0, accessed
LIMIT = "SDM vol. 3A, Segment Loading Instructions in IA-32e Mode; Global and Local Descriptor Tables"


def limit(k: Kernel, last: int) -> None:
    """LGDT of the runtime's table with another limit."""
    k.asm(f"""
        mov word ptr [rsp-16], {last}
        mov rax, {GDT:#x}
        mov qword ptr [rsp-14], rax
        lgdt [rsp-16]
    """)


@probe.each(segment=["ds", "es", "fs", "gs", "ss"])
@probe(spec=LIMIT, covers=["descriptors.gdt-limit"])
def a_descriptor_must_lie_within_the_limit_to_its_last_byte(k: Kernel, segment: str) -> ProbeBody:
    """With the limit at a descriptor's last byte its selector can be loaded; one byte less is #GP with the selector."""
    selector = SEL_SPARE + 24
    k.tables.descriptor(selector, DATA)
    load = f"mov {segment}, eax"
    limit(k, selector + 7)
    k.asm(f"mov r12d, {segment}\nmov eax, {selector:#x}\n{load}\nmov eax, r12d\n{load}")
    k.mark("loaded")
    k.trigger(limit, k, selector + 6)
    k.faults(13).do(k.asm, f"mov eax, {selector:#x}\nculprit: {load}")
    limit(k, GDT_SIZE - 1)

    run = yield

    assert run.sequence == ["loaded", 13]
    assert run.fields("vector", "error_code", "rip") == [(13, selector, run.address("culprit"))]


@probe(spec=f"{LIMIT}; TSS Descriptor in 64-bit mode", covers=["descriptors.gdt-limit"])
def a_tss_descriptor_has_sixteen_bytes(k: Kernel) -> ProbeBody:
    """LTR needs all 16 bytes of the descriptor within the limit: the last byte outside is #GP with the selector."""
    busy = f"and byte ptr [{GDT + SEL_TSS + 5:#x}], 0xFD"  # available again
    limit(k, SEL_TSS + 15)
    k.asm(f"{busy}\nmov eax, {SEL_TSS:#x}\nltr ax")
    k.mark("loaded")
    k.trigger(limit, k, SEL_TSS + 14)
    k.faults(13).do(k.asm, f"{busy}\nmov eax, {SEL_TSS:#x}\nculprit: ltr ax")
    limit(k, GDT_SIZE - 1)
    k.asm(f"mov eax, {SEL_TSS:#x}\nltr ax")

    run = yield

    assert run.sequence == ["loaded", 13]
    assert run.fields("vector", "error_code", "rip") == [(13, SEL_TSS, run.address("culprit"))]
