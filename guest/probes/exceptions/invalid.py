"""#UD: what is no instruction, or not here."""

from harness import Deviation, Kernel, ProbeBody, probe

INVALID = {
    "ud2": "0x0F, 0x0B", "ud1": "0x0F, 0xB9, 0xC0", "ud0": "0x0F, 0xFF, 0xC0", "push_es": "0x06", "pop_es": "0x07",
    "push_cs": "0x0E", "push_ss": "0x16", "pop_ss": "0x17", "push_ds": "0x1E", "pop_ds": "0x1F", "daa": "0x27",
    "das": "0x2F", "aaa": "0x37", "aas": "0x3F", "pusha": "0x60", "popa": "0x61", "group1_82": "0x82, 0xC0, 0x00",
    "call_far_direct": "0x9A, 0, 0, 0, 0, 0x08, 0x00", "into": "0xCE", "aam": "0xD4, 0x0A", "aad": "0xD5, 0x0A",
    "salc": "0xD6", "jmp_far_direct": "0xEA, 0, 0, 0, 0, 0x08, 0x00", "mov_cs": "0x8E, 0xC8",
    "mov_cr1": "0x0F, 0x20, 0xC8", "mov_cr5": "0x0F, 0x20, 0xE8", "mov_cr9": "0x44, 0x0F, 0x20, 0xC8",
    "mov_dr8": "0x44, 0x0F, 0x21, 0xC0", "lea_register": "0x8D, 0xC0", "pop_group_1": "0x8F, 0xC8",
    "c6_group_1": "0xC6, 0xC8, 0x00", "fe_group_2": "0xFE, 0xD0", "ff_group_7": "0xFF, 0xF8",
    "call_far_register": "0xFF, 0xD8", "vex_with_lock": "0xF0, 0xC5, 0xF8, 0x77",
}  # fmt: skip

PASSED = r"\['tried'\] == \['tried', 6\]"
GROUPS, INTO_AAM = "exceptions-ud-groups", "exceptions-ud-into-aam"
UNDEFINED = [
    Deviation(targets="*-tcg*", cases="*_group_1", versions="<9.1", kind="bug", sees=PASSED, ref=GROUPS),
    *(
        Deviation(targets="*-tcg*", cases=case, versions=">=9.1,<11", kind="bug", sees=PASSED, ref=INTO_AAM)
        for case in ("into", "aam", "aad", "salc")
    ),
    Deviation(
        targets="*-tcg*",
        cases="mov_cs",
        versions=">=9.1,<10.0.7 or >=10.1,<10.1.3",
        kind="bug",
        sees=[r"\['tried', 13\]", r"\d+ is None"],
        ref="exceptions-ud-mov-cs",
    ),
]


@probe.each(instruction=list(INVALID))
@probe(
    spec="SDM vol. 3A, Interrupt 6—Invalid Opcode Exception (#UD); vol. 2, Opcode Map",
    covers=["exceptions.ud", "exceptions.ud-64"],
    deviation=UNDEFINED,
)
def an_invalid_instruction_is_ud(k: Kernel, instruction: str) -> ProbeBody:
    """An encoding that 64-bit mode does not define raises #UD, at its first byte."""
    k.asm("mov rbx, rsp\npush rbx")
    with k.faults(), k.trigger():
        k.mark("tried")
        k.asm(f"culprit: .byte {INVALID[instruction]}\nnop\nnop")
    k.asm("mov rsp, rbx")

    run = yield

    assert run.sequence == ["tried", 6]
    assert run.interrupts[0].error_code is None
    assert run.interrupts[0].rip == run.address("culprit")


LOCKED = {
    "mov_load": "0x8B, 0x03", "mov_store": "0x89, 0x03", "add_register_destination": "0x01, 0xC0",
    "add_from_memory": "0x03, 0x03", "cmp_memory": "0x39, 0x03", "test_memory": "0x85, 0x03", "nop": "0x90",
    "bt_memory": "0x0F, 0xA3, 0x03", "bt_immediate": "0x0F, 0xBA, 0x23, 0x00", "shl_memory": "0xD1, 0x23",
    "push_memory": "0xFF, 0x33", "inc_register": "0xFF, 0xC0", "cmpxchg_register": "0x0F, 0xB1, 0xC8",
    "xchg_register": "0x87, 0xC8", "mul_memory": "0xF7, 0x23", "lods": "0xAD",
}  # fmt: skip


UNCHECKED_LOCK = (
    *("mov_load", "mov_store", "test_memory", "bt_memory", "bt_immediate", "shl_memory", "push_memory"),
    *("xchg_register", "mul_memory", "lods"),
)


@probe.each(instruction=list(LOCKED))
@probe(
    spec="SDM vol. 2, LOCK—Assert LOCK# Signal Prefix",
    covers=["exceptions.ud-lock"],
    deviation=[
        Deviation(
            targets="*-tcg*", cases=case, versions="<9.1", kind="unimplemented", sees=PASSED, ref="exceptions-ud-lock"
        )
        for case in UNCHECKED_LOCK
    ],
)
def lock_before_what_cannot_be_locked_is_ud(k: Kernel, instruction: str) -> ProbeBody:
    """LOCK before an instruction not in its list, or with a register as destination, raises #UD."""
    operand = k.buffer("operand", 16)
    k.asm(f"mov r12, rsp\nmov ebx, {operand.name}\nmov esi, ebx")
    with k.faults(), k.trigger():
        k.mark("tried")
        k.asm(f"culprit: .byte 0xF0, {LOCKED[instruction]}")
    k.asm("mov rsp, r12")

    run = yield

    assert run.sequence == ["tried", 6]
    assert run.interrupts[0].rip == run.address("culprit")


LOCKABLE = {
    "add": "0x01, 0x03", "or": "0x09, 0x03", "adc": "0x11, 0x03", "sbb": "0x19, 0x03", "and": "0x21, 0x03",
    "sub": "0x29, 0x03", "xor": "0x31, 0x03", "not": "0xF7, 0x13", "neg": "0xF7, 0x1B", "inc": "0xFF, 0x03",
    "dec": "0xFF, 0x0B", "bts": "0x0F, 0xAB, 0x03", "btr": "0x0F, 0xB3, 0x03", "btc": "0x0F, 0xBB, 0x03",
    "xadd": "0x0F, 0xC1, 0x03", "xchg": "0x87, 0x03", "cmpxchg": "0x0F, 0xB1, 0x0B",
    "cmpxchg8b": "0x0F, 0xC7, 0x0B", "cmpxchg16b": "0x48, 0x0F, 0xC7, 0x0B",
}  # fmt: skip


@probe(spec="SDM vol. 2, LOCK—Assert LOCK# Signal Prefix", covers=["exceptions.ud-lock"])
def lock_before_what_can_be_locked_is_fine(k: Kernel) -> ProbeBody:
    """LOCK works with each of the 19 instructions of its list on memory; the next one raises #UD."""
    operand = k.buffer("operand", 16)
    k.asm(f"mov ebx, {operand.name}")
    with k.faults():
        for encoding in LOCKABLE.values():
            k.asm(f".byte 0xF0, {encoding}")
        k.trigger(k.asm, "culprit: .byte 0xF0, 0x90")

    run = yield

    assert run.fields("vector", "rip") == [(6, run.address("culprit"))]


@probe.each(length=[15, 16])
@probe(
    spec="SDM vol. 3A, Interrupt 13—General Protection Exception (#GP) (instruction length limit of 15 bytes)",
    covers=["exceptions.length"],
)
def an_instruction_has_at_most_15_bytes(k: Kernel, length: int) -> ProbeBody:
    """15 bytes are an instruction; a 16th raises #GP(0), not #UD."""
    prefixes = ", ".join(["0x66"] * (length - 2))
    with k.faults():
        k.asm("long_one:")
        k.trigger(k.asm, f".byte {prefixes}, 0x89, 0xC0")
        k.asm("ud2")

    run = yield

    if length == 15:
        assert run.fields("vector", "rip") == [(6, run.address("long_one") + 15)]
    else:
        assert run.fields("vector", "error_code", "rip") == [(13, 0, run.address("long_one"))]


GATED = {
    "xgetbv_osxsave": (18, "xor ecx, ecx\nxgetbv"),
    "rdfsbase_fsgsbase": (16, "rdfsbase rax"),
    "sse_osfxsr": (9, "xorps xmm0, xmm0"),
}


@probe.each(feature=list(GATED))
@probe(spec="SDM vol. 3A, Control Registers (CR4)", covers=["exceptions.ud-cr4"])
def a_cr4_bit_decides_whether_an_instruction_exists(k: Kernel, feature: str) -> ProbeBody:
    """XGETBV needs CR4.OSXSAVE, RDFSBASE CR4.FSGSBASE, SSE CR4.OSFXSR: without it #UD, with it none."""
    bit, text = GATED[feature]
    k.asm(f"mov rax, cr4\nbts rax, {bit}\nmov cr4, rax\n{text}")
    k.trigger(k.asm, f"mov rax, cr4\nbtr rax, {bit}\nmov cr4, rax")
    k.faults().do(k.asm, text)
    k.asm("mov rax, cr4\nbtr rax, 18\nbts rax, 9\nmov cr4, rax")

    run = yield

    assert run.vectors == [6]


@probe.each(access=["read", "write"], register=[4, 5])
@probe(spec="SDM vol. 3B, Debug Registers (DR4 and DR5)", covers=["exceptions.ud-dr4"])
def dr4_and_dr5_alias_unless_de(k: Kernel, access: str, register: int) -> ProbeBody:
    """With CR4.DE=1 a reference to DR4 or DR5 raises #UD; with DE=0 it reaches DR6 or DR7."""
    code = ("0x0F, 0x21, " if access == "read" else "0x0F, 0x23, ") + hex(0xC0 | register << 3)
    before = "mov rax, dr6" if register == 4 else "mov rax, dr7"
    alias = k.value("alias")
    k.asm(f"{before}\n.byte {code}\nmov qword ptr [{alias.name}], rax\n{before}")
    k.trigger(k.cr.CR4.update, DE=1)
    k.faults().do(k.asm, f"culprit: .byte {code}")
    k.cr.CR4.update(DE=0)

    run = yield

    assert run[alias] == (0xFFFF0FF0 if register == 4 else 0x400)
    assert run.fields("vector", "rip") == [(6, run.address("culprit"))]
