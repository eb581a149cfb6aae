"""Gates that cannot be used: which exception comes, with which error code."""

from harness import IDT, SEL_CODE32, SEL_DATA, SEL_SPARE, Deviation, Kernel, ProbeBody, Run, SelectorErrorCode, probe

VECTOR = 0x50
INT_N = "SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure (operation)"
KINDS = ["int_n", "interrupt", "exception"]
GATES = {"int_n": VECTOR, "interrupt": VECTOR, "exception": 16}

# QEMU 7.2's TCG shifts the gate's number by 4 instead of 3; no version of it sets EXT.
TIMES_16 = Deviation(
    targets="*-tcg*",
    versions="<8",
    kind="bug",
    sees=r"'0x(e2|102|202|502|ff2)' == '0x(72|83|102|282|283|7fa)'",
    ref="descriptors-idt-error-code",
)
NO_EXT = [
    Deviation(
        targets="*-tcg*",
        cases=cases,
        versions=since,
        kind="unimplemented",
        sees=r"'0x(\w*)([0248ac])' == '0x\1[1359bd]'",
        ref="descriptors-ext",
    )
    for cases, since in (("interrupt-[!t]*", "*"), ("interrupt", ">=8"), ("interrupt-t*", ">=8"), ("exception", ">=8"))
]


def code(run: Run, number: int = 0) -> str:
    """The error code of one of the run's exceptions, in hexadecimal: what `sees` of a recorded deviation matches."""
    found = run.interrupts[number].error_code
    return "none" if found is None else hex(found)


def raise_event(k: Kernel, kind: str) -> None:
    """INT n, a local APIC interrupt, or #MF (0/0 with the exception unmasked): delivered through `GATES[kind]`."""
    match kind:
        case "int_n":
            k.int_n(VECTOR)
        case "interrupt":
            k.lapic.self_ipi(VECTOR)
            k.asm("sti\nnop\ncli")
        case "exception":
            k.asm("fninit\nmov word ptr [rsp-8], 0x37E\nfldcw [rsp-8]\nfldz\nfdiv st(0), st(0)\nfwait")


@probe.each(vector=[14, 0x20, 0x50, 0xFF])
@probe(spec="SDM vol. 3A, Interrupt Descriptor Table (IDT)", covers=["descriptors.idt-limit"], deviation=TIMES_16)
def a_gate_must_lie_within_the_limit_to_its_last_byte(k: Kernel, vector: int) -> ProbeBody:
    """With the limit at the last byte of gate n, INT n is delivered; one byte less, and it raises #GP(n*8+2)."""
    k.expect(vector)
    k.tables.lidt(IDT, 16 * vector + 15)
    k.int_n(vector)
    k.trigger(k.tables.lidt, IDT, 16 * vector + 14)
    k.faults(13).do(k.int_n, vector)
    k.tables.lidt(IDT, 0xFFF)

    run = yield

    assert run.vectors == [vector, 13]
    assert code(run, 1) == hex(SelectorErrorCode.gate(vector))


@probe.each(kind=KINDS)
@probe(
    spec="SDM vol. 3A, Error Code (EXT flag)",
    covers=["descriptors.idt-limit", "descriptors.ext"],
    deviation=[TIMES_16, *NO_EXT],
)
def beyond_the_limit(k: Kernel, kind: str) -> ProbeBody:
    """An event whose gate lies beyond the IDT's limit raises #GP(n*8+2), with EXT set unless it was INT n."""
    n = GATES[kind]
    k.trigger(k.tables.lidt, IDT, 16 * n + 14)
    k.faults(13).do(raise_event, k, kind)
    k.tables.lidt(IDT, 0xFFF)

    run = yield

    assert run.vectors == [13]
    assert code(run) == hex(SelectorErrorCode.gate(n, external=kind != "int_n"))


@probe.each(kind=KINDS)
@probe(
    spec="SDM vol. 3A, Interrupt 11—Segment Not Present (#NP); Error Code",
    covers=["descriptors.gate-not-present", "descriptors.ext"],
    deviation=[TIMES_16, *NO_EXT],
)
def a_gate_that_is_not_present(k: Kernel, kind: str) -> ProbeBody:
    """Delivery through a gate with P=0 raises #NP(n*8+2), with EXT set unless the event was INT n."""
    n = GATES[kind]
    k.trigger(k.tables.gate, n, present=0)
    k.faults(11).do(raise_event, k, kind)

    run = yield

    assert run.vectors == [11]
    assert code(run) == hex(SelectorErrorCode.gate(n, external=kind != "int_n"))


@probe.each(kind=["int_n", "interrupt"], type=range(14))
@probe(
    spec="SDM vol. 3A, 64-Bit Mode IDT; Interrupt 13—General Protection Exception (#GP)",
    covers=["descriptors.gate-type", "descriptors.ext"],
    deviation=[TIMES_16, *NO_EXT],
)
def a_gate_of_another_type(k: Kernel, kind: str, type: int) -> ProbeBody:  # noqa: A002
    """In 64-bit mode only types 14 and 15 are gates of the IDT: any other raises #GP(n*8+2), with EXT if external."""
    k.trigger(k.tables.gate, VECTOR, type=type)
    k.faults(13).do(raise_event, k, kind)

    run = yield

    assert run.vectors == [13]
    assert code(run) == hex(SelectorErrorCode.gate(VECTOR, external=kind == "interrupt"))


@probe(
    spec="SDM vol. 3A, Segment Descriptors (S flag); Interrupt 13—General Protection Exception (#GP)",
    covers=["descriptors.gate-type"],
    deviation=TIMES_16,
)
def a_gate_with_the_s_bit(k: Kernel) -> ProbeBody:
    """A descriptor with S=1 is a segment's, not a gate's, whatever its type bits are: #GP(n*8+2)."""
    k.trigger(k.asm, f"or byte ptr [IDT+{16 * VECTOR + 5}], 0x10")
    k.faults(13).do(k.int_n, VECTOR)

    run = yield

    assert run.vectors == [13]
    assert code(run) == hex(SelectorErrorCode.gate(VECTOR))


@probe(spec=INT_N, covers=["descriptors.gate-type"], deviation=TIMES_16)
def the_type_is_tested_before_presence(k: Kernel) -> ProbeBody:
    """A gate that has a wrong type and is not present raises #GP, not #NP."""
    k.tables.gate(VECTOR, present=0)
    k.trigger(k.tables.gate, VECTOR, type=12)
    k.faults().do(k.int_n, VECTOR)

    run = yield

    assert run.vectors == [13]
    assert code(run) == hex(SelectorErrorCode.gate(VECTOR))


SPARE = SEL_SPARE
CODE64 = 0x00AF_9B00_0000_FFFF
P, L, D = 1 << 47, 1 << 53, 1 << 54
# Name: selector in the gate, descriptor in the spare slot (0: none), exception, error code.
SELECTORS = {
    "null": (0, 0, 13, 0),
    "null_rpl3": (3, 0, 13, 0),
    "data": (SEL_DATA, 0, 13, SEL_DATA),
    "code32": (SEL_CODE32, 0, 13, SEL_CODE32),
    "l_and_d": (SPARE, CODE64 | D, 13, SPARE),
    "no_l_no_d": (SPARE, CODE64 & ~L, 13, SPARE),
    "not_present": (SPARE, CODE64 & ~P, 11, SPARE),
    "dpl3_code": (SPARE, CODE64 | 3 << 45, 13, SPARE),
    "system_descriptor": (SPARE, 0x0000_8900_0000_0067, 13, SPARE),
    "beyond_gdt": (0x140, 0, 13, 0x140),
    "last_selector": (0xFFF8, 0, 13, 0xFFF8),
    "no_ldt": (0x0C, 0, 13, 0x0C),
    "rpl_is_no_part_of_the_code": (SEL_DATA | 3, 0, 13, SEL_DATA),
}


@probe.each(kind=["int_n", "interrupt"], selector=list(SELECTORS))
@probe(
    spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure (operation, INTERRUPT-OR-TRAP-GATE)",
    covers=["descriptors.gate-selector", "descriptors.ext"],
    deviation=NO_EXT,
)
def a_gate_whose_selector_is_no_code_segment(k: Kernel, kind: str, selector: str) -> ProbeBody:
    """The gate's selector must name a present 64-bit code segment with DPL ≤ CPL: else #GP or #NP(selector, EXT)."""
    value, descriptor, exception, named = SELECTORS[selector]
    if descriptor:
        k.tables.descriptor(SPARE, descriptor)
    k.trigger(k.tables.gate, VECTOR, selector=value)
    k.faults().do(raise_event, k, kind)

    run = yield

    assert run.vectors == [exception]
    assert code(run) == hex(named | int(kind == "interrupt"))


@probe.each(rpl=[1, 2, 3])
@probe(spec=INT_N, covers=["descriptors.gate-selector"])
def the_rpl_in_a_gate_is_ignored(k: Kernel, rpl: int) -> ProbeBody:
    """The RPL of the gate's selector is not tested; on entry the RPL of CS is the new CPL."""
    cs = k.handler(VECTOR).do(k.value, "cs_on_entry", "cs")
    k.tables.gate(VECTOR, selector=0x08 | rpl)
    k.trigger(k.int_n, VECTOR)

    run = yield

    assert run.vectors == [VECTOR]
    assert run[cs] == 0x08
