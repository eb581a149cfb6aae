"""The limit of the GDT, to its last byte."""

from harness import GDT, GDT_SIZE, SEL_CODE, SEL_DATA, SEL_SPARE, SEL_TSS, Kernel, ProbeBody, probe

DATA = 0x00CF_9300_0000_FFFF  # writable data, base 0, accessed
CODE = 0x0020_9B00_0000_0000  # 64-bit code, accessed
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


RETURNS = {  # pushed before the return address: CS, or SS, RSP, RFLAGS and CS
    "retf": "push {cs}\nlea rax, [rip+{target}]\npush rax\nculprit{number}: retfq",
    "iret_cs": "push {data}\npush r12\npush 2\npush {cs}\nlea rax, [rip+{target}]\npush rax\nculprit{number}: iretq",
}


@probe.each(way=list(RETURNS))
@probe(spec=LIMIT, covers=["descriptors.gdt-limit"])
def a_return_needs_the_whole_code_descriptor(k: Kernel, way: str) -> ProbeBody:
    """A far return and IRETQ take a code descriptor that ends at the limit; one byte less is #GP with the selector."""
    selector = SEL_SPARE + 40
    k.tables.descriptor(selector, CODE)

    def go(number: int, cs: int) -> None:
        text = RETURNS[way].format(cs=cs, data=SEL_DATA, number=number, target=f"target{number}")
        k.asm(f"mov r12, rsp\n{text}\ntarget{number}: mov rsp, r12")

    limit(k, selector + 7)
    go(0, selector)
    go(1, SEL_CODE)
    k.mark("loaded")
    k.trigger(limit, k, selector + 6)
    k.faults(13).do(go, 2, selector)
    k.asm("mov rsp, r12")
    limit(k, GDT_SIZE - 1)

    run = yield

    assert run.sequence == ["loaded", 13]
    assert run.fields("vector", "error_code", "rip") == [(13, selector, run.address("culprit2"))]


@probe(spec=f"{LIMIT}; Interrupt Procedures", covers=["descriptors.gdt-limit"])
def a_gates_code_descriptor_must_lie_within_the_limit(k: Kernel) -> ProbeBody:
    """An interrupt whose gate names a descriptor that ends at the limit is delivered; one byte less is #GP."""
    selector, vector = SEL_SPARE + 40, 0x5C
    k.tables.descriptor(selector, CODE)
    k.tables.gate(vector, selector=selector)
    limit(k, selector + 7)
    k.int_n(vector)
    k.trigger(limit, k, selector + 6)
    k.faults(13).do(k.int_n, vector)
    limit(k, GDT_SIZE - 1)

    run = yield

    assert run.vectors == [vector, 13]
    assert run.interrupts[1].error_code == selector


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
