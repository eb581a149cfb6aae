"""#DF: which pairs of exceptions become one, and how it is delivered."""

from harness import PAGE_WINDOW, SEL_SPARE, TSS, Kernel, ProbeBody, leads_to_double_fault, probe, tss_ist_offset

IST = 3
PAGE = 7
# The first event: vector and how it comes up.
FIRST = {
    "DE": (0, "xor ecx, ecx\ndiv ecx"),
    "NP": (11, f"mov eax, {SEL_SPARE:#x}\nmov ds, eax"),
    "SS": (12, f"mov eax, {SEL_SPARE:#x}\nmov ss, eax"),
    "GP": (13, "mov eax, 0xFFF8\nmov ds, eax"),
    "PF": (14, "mov rbx, 0x4000000000\nmov al, byte ptr [rbx]"),
    "DB": (1, "pushfq\nbts qword ptr [rsp], 8\npopfq\nnop"),
    "BP": (3, "int3"),
    "UD": (6, "ud2"),
    "NM": (7, "mov rax, cr0\nor rax, 8\nmov cr0, rax\nfld1"),
    "MF": (16, "fninit\nmov word ptr [rsp-8], 0x37E\nfldcw [rsp-8]\nfldz\nfdiv st(0), st(0)\nfwait"),
}
SECOND = {"TS": 10, "NP": 11, "SS": 12, "GP": 13, "PF": 14}


def spoil(k: Kernel, vector: int, second: str) -> None:
    """Make the delivery of `vector` raise another exception."""
    at = TSS + tss_ist_offset(IST)
    match second:
        case "NP":
            k.tables.gate(vector, present=0)
        case "GP":
            k.tables.gate(vector, type=0)
        case "SS":
            k.asm(f"movabs rax, 0x800000000000\nmov qword ptr [{at:#x}], rax")
            k.tables.gate(vector, ist=IST)
        case "PF":
            k.pages.entry(PAGE, P=0)
            k.asm(f"mov qword ptr [{at:#x}], {PAGE_WINDOW + 0x1000 * (PAGE + 1):#x}")
            k.tables.gate(vector, ist=IST)
        case "TS":
            # The last IST pointer alone lies beyond the limit: #DF's own is IST 1.
            k.asm("""
                mov word ptr [GDT+SEL_TSS], 0x5A
                and byte ptr [GDT+SEL_TSS+5], 0xFD
                mov eax, SEL_TSS
                ltr ax
            """)
            k.tables.gate(vector, ist=7)


@probe.each(first=list(FIRST), second=list(SECOND))
@probe(
    spec="SDM vol. 3A, Interrupt 8—Double Fault Exception (#DF) (Conditions for Generating a Double Fault)",
    covers=["exceptions.df-pairs", "exceptions.df-benign", "exceptions.vectors"],
)
def two_exceptions_make_a_double_fault_or_do_not(k: Kernel, first: str, second: str) -> ProbeBody:
    """A contributory exception upon one, or one or #PF upon #PF, is #DF; the second of other pairs is handled."""
    vector, text = FIRST[first]
    if first in ("NP", "SS"):
        k.tables.descriptor(SEL_SPARE, 0x00CF_1300_0000_FFFF)
    k.trigger(spoil, k, vector, second)
    k.asm("mov rbp, rsp")
    k.faults().do(k.asm, text)
    k.asm("mov rsp, rbp\npush 2\npopfq\nclts")

    run = yield

    double = leads_to_double_fault(vector, SECOND[second])
    assert run.vectors == [8 if double else SECOND[second]]
    if double:
        assert run.interrupts[0].error_code == 0


@probe(
    spec="SDM vol. 3A, Interrupt 8—Double Fault Exception (#DF); Interrupt Stack Table", covers=["exceptions.df-ist"]
)
def a_double_fault_is_delivered_on_its_ist(k: Kernel) -> ProbeBody:
    """#DF with an IST works when the stack itself is the cause: #PF upon #PF where RSP is not mapped."""
    inside = k.value("rsp_inside")
    area = k.buffer("df_stack", 4096, align=4096)
    top = area.address + 4096
    k.asm(f"mov qword ptr [{TSS + tss_ist_offset(1):#x}], {top:#x}")
    k.asm(f"""
        jmp past
    entry:
        mov qword ptr [{inside.name}], rsp
        jmp stub_08
    past:
        mov rbp, rsp
    """)
    k.tables.gate_offset(8, "entry")
    with k.faults(8), k.trigger():
        k.asm("mov rsp, 0x4000000000\npush rax")

    run = yield

    assert run.fields("vector", "error_code") == [(8, 0)]
    assert run[inside] == top - 48


INTERRUPT = 0x50


@probe.each(second=["NP", "GP", "SS", "PF"])
@probe(
    spec="SDM vol. 3A, Interrupt 8—Double Fault Exception (#DF) (Interrupt and Exception Classes)",
    covers=["exceptions.df-benign"],
)
def an_interrupt_is_benign(k: Kernel, second: str) -> ProbeBody:
    """An exception in the delivery of a hardware interrupt is handled as itself: interrupts are benign."""
    k.trigger(spoil, k, INTERRUPT, second)
    with k.faults():
        k.lapic.self_ipi(INTERRUPT)
        k.asm("sti\nnop\nnop\ncli")
    k.cli()

    run = yield

    assert run.vectors == [SECOND[second]]


@probe.each(how=["idt_limit", "df_gate_not_present", "df_stack_not_mapped"])
@probe(spec="SDM vol. 3A, Interrupt 8—Double Fault Exception (#DF) (shutdown)", covers=["exceptions.triple-fault"])
def a_fault_in_the_delivery_of_a_double_fault_is_shutdown(k: Kernel, how: str) -> ProbeBody:
    """A further exception while #DF is being delivered ends in shutdown, which a PC's board turns into a reset."""
    k.checkpoint("before")
    with k.trigger():
        match how:
            case "idt_limit":
                k.tables.lidt(0x20_8000, 0)
            case "df_gate_not_present":
                k.tables.gate(8, present=0)
                k.tables.gate(13, present=0)
            case "df_stack_not_mapped":
                k.asm(f"mov rax, 0x4000001000\nmov qword ptr [{TSS + tss_ist_offset(1):#x}], rax")
                k.tables.gate(13, present=0)
    k.faults().do(k.asm, "culprit: mov eax, 0xFFF8\nmov ds, eax")

    run = yield

    run.reached("before")
    stop = run.resume_until_reset()
    assert stop.reason == "guest-reset"
    assert run.vectors == []
