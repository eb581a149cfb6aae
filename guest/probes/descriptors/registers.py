"""The registers that hold the places of the tables: LIDT, SIDT, LGDT, SGDT."""

from harness import GDT, GDT_SIZE, IDT, Deviation, Kernel, ProbeBody, probe

VECTOR = 0x50
MOVED, MOVED_LIMIT = "moved_idt", 0xFFF


@probe.each(limit=[0xFFF, 0xFFFF, 0x1FF])
@probe(spec="SDM vol. 2, SIDT—Store Interrupt Descriptor Table Register", covers=["descriptors.lidt-sidt"])
def sidt_returns_what_lidt_loaded(k: Kernel, limit: int) -> ProbeBody:
    """SIDT stores the base and limit that LIDT loaded, and the monitor's IDTR holds the same."""
    base, stored = k.values("base", "stored_limit")
    with k.trigger():
        k.tables.lidt(IDT, limit)
        k.tables.sidt(base, stored)
        k.checkpoint("loaded")
    k.tables.lidt(IDT, 0xFFF)

    run = yield

    with run.stopped_at("loaded"):
        seen = run.cpus[0].idt
        assert (seen.base, seen.limit) == (IDT, limit)
    assert (run[base], run[stored]) == (IDT, limit)


@probe.each(base=[0xFFFF_8000_0020_8000, 0x7FFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF])
@probe(spec="SDM vol. 2, LGDT/LIDT—Load Global/Interrupt Descriptor Table Register", covers=["descriptors.lidt-64"])
def lidt_loads_all_64_base_bits(k: Kernel, base: int) -> ProbeBody:
    """In 64-bit mode LIDT loads an 8-byte base: no bit of a canonical address is lost."""
    seen, limit = k.values("seen_base", "seen_limit")
    k.trigger(k.tables.lidt, base, 0xFFF)
    k.tables.sidt(seen, limit)
    k.tables.lidt(IDT, 0xFFF)

    run = yield

    assert (run[seen], run[limit]) == (base, 0xFFF)


@probe(spec="SDM vol. 2, SGDT—Store Global Descriptor Table Register", covers=["descriptors.lgdt-sgdt"])
def sgdt_returns_what_lgdt_loaded(k: Kernel) -> ProbeBody:
    """SGDT stores the base and limit that LGDT loaded, and the monitor's GDTR holds the same."""
    base, stored = k.values("base", "stored_limit")
    with k.trigger():
        k.asm(f"""
            movabs rax, HIGH_ALIAS+GDT
            push rax
            sub rsp, 8
            mov word ptr [rsp+6], {GDT_SIZE + 7}
            lgdt [rsp+6]
            add rsp, 16
        """)
        k.tables.sgdt(base, stored)
        k.checkpoint("loaded")

    run = yield

    with run.stopped_at("loaded"):
        seen = run.cpus[0].gdt
        assert (seen.base, seen.limit) == (0xFFFF_8000_0000_0000 + GDT, GDT_SIZE + 7)
    assert (run[base], run[stored]) == (0xFFFF_8000_0000_0000 + GDT, GDT_SIZE + 7)


@probe.each(instruction=["lidt", "lgdt", "lldt", "ltr"])
@probe(spec="SDM vol. 3A, Privileged Instructions (Protection)", covers=["descriptors.lidt-user"])
def loading_a_table_register_is_privileged(k: Kernel, instruction: str) -> ProbeBody:
    """LIDT, LGDT, LLDT and LTR at CPL 3 raise #GP(0)."""
    operand = "[rsp]" if instruction in ("lidt", "lgdt") else "ax"
    with k.faults(13), k.ring3(), k.trigger():
        k.asm(f"xor eax, eax\nthe_instruction: {instruction} {operand}")

    run = yield

    assert run.fields("vector", "error_code") == [(13, 0)]
    assert run.interrupts[0].rip & 0xFFFF_FFFF == run.address("the_instruction")
    assert run.interrupts[0].cs & 3 == 3


@probe.each(instruction=["sidt", "sgdt", "sldt", "str", "smsw"])
@probe(spec="SDM vol. 3A, Control Registers (CR4.UMIP)", covers=["descriptors.umip"])
def umip_keeps_the_tables_from_ring_3(k: Kernel, instruction: str) -> ProbeBody:
    """With CR4.UMIP set, SIDT, SGDT, SLDT, STR and SMSW at CPL 3 raise #GP(0); without it they work there."""
    operand = "[rsp-16]" if instruction in ("sidt", "sgdt") else "ax"
    k.cr.CR4.update(UMIP=0)
    k.ring3().do(k.asm, f"{instruction} {operand}")
    k.mark("umip")
    k.trigger(k.cr.CR4.update, UMIP=1)
    with k.faults(13), k.ring3():
        k.asm(f"{instruction} {operand}")
    k.cr.CR4.update(UMIP=0)

    run = yield

    assert run.sequence == ["umip", 13]
    assert run.interrupts[0].error_code == 0


@probe.each(instruction=["lidt", "lgdt"], base=[0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF])
@probe(
    spec="AMD64 APM vol. 3, LIDT, LGDT (exceptions: new base address non-canonical)",
    covers=["descriptors.lidt-canonical"],
    deviation=Deviation(
        targets="*-tcg*",
        kind="unimplemented",
        sees=["'0x(800000000000|ffff7fffffffffff)' == '0x20[68]000'", r"\[\] == \[13\]"],
        ref="descriptors-non-canonical-base",
    ),
)
def a_non_canonical_base_is_refused(k: Kernel, instruction: str, base: int) -> ProbeBody:
    """LIDT and LGDT with a non-canonical base raise #GP(0) and leave the register as it was."""
    seen, limit = k.values("seen_base", "seen_limit")
    k.asm(f"movabs rbx, {base:#x}\npush rbx\nsub rsp, 8\nmov word ptr [rsp+6], 0xFFF")
    with k.faults(13), k.trigger():
        k.asm(f"{instruction} [rsp+6]")
    k.asm("add rsp, 16")
    if instruction == "lidt":
        k.tables.sidt(seen, limit)
        k.tables.lidt(IDT, 0xFFF)
    else:
        k.tables.sgdt(seen, limit)
        k.asm(f"push GDT\nsub rsp, 8\nmov word ptr [rsp+6], {GDT_SIZE - 1}\nlgdt [rsp+6]\nadd rsp, 16")

    run = yield

    assert hex(run[seen]) == hex(IDT if instruction == "lidt" else GDT)
    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0


@probe.each(pending=[False, True])
@probe(spec="SDM vol. 3A, Interrupt Descriptor Table (IDT)", covers=["descriptors.idt-relocated"])
def the_next_interrupt_uses_the_new_idt(k: Kernel, pending: bool) -> ProbeBody:
    """After LIDT the next interrupt goes through the new table, one that was already pending too."""
    old, new = k.values("old_table", "new_table", initial=0)
    k.handler(VECTOR).do(k.count, old)
    k.handler(VECTOR + 1).do(k.count, new)
    table = k.buffer("moved_idt", 4096, align=4096)
    k.asm(f"""
        mov esi, IDT
        mov edi, {table.name}
        mov ecx, 512
        rep movsq
        # In the new table the vector's gate is that of the next vector: its stub shows which table was used.
        mov rax, qword ptr [IDT+{16 * (VECTOR + 1)}]
        mov qword ptr [{table.name}+{16 * VECTOR}], rax
    """)
    k.sti()
    k.lapic.self_ipi(VECTOR)
    k.delay(us=10)
    if pending:
        k.cli()
        k.lapic.self_ipi(VECTOR)
    k.trigger(k.tables.lidt, table.address, 0xFFF)
    if pending:
        k.sti()
    else:
        k.lapic.self_ipi(VECTOR)
    k.delay(us=10)
    k.cli()
    k.tables.lidt(IDT, 0xFFF)
    k.lapic.eoi()

    run = yield

    # The stub of the next vector sends no EOI: the local APIC has the requested vector in service.
    assert run.vectors == [VECTOR, VECTOR + 1]
    assert (run[old], run[new]) == (1, 1)
    assert run.lapic.isr == set()
