"""MOV SS and nonmaskable interrupts."""

from harness import DeliveryMode, Deviation, Kernel, ProbeBody, probe

NMI = 2
MOST = 40


@probe(
    spec="SDM vol. 3C, Guest Non-Register State: Interruptibility State (blocking by MOV SS)",
    covers=["masking.mov-ss-nmi"],
    deviation=Deviation(targets="*-tcg*", kind="unimplemented", sees="behind MOV SS", ref="masking-mov-ss-nmi"),
)
def no_nmi_comes_between_mov_ss_and_the_next_instruction(k: Kernel) -> ProbeBody:
    """MOV SS holds nonmaskable interrupts back for one instruction too: of many of a timer's, none has that RIP."""
    k.expect(NMI)
    k.cli()
    k.pit.silence()
    k.ioapic.redirect(pin=2, vector=0, DELIVERY_MODE=DeliveryMode.NMI)
    k.asm(f"mov eax, SEL_DATA\nmov ebx, {k.by_clock(200_000, 20_000_000)}")
    k.trigger(k.pit.program, channel=0, mode=2, count=61)
    k.asm(f"""
        mov eax, SEL_DATA
    again:
        mov ss, eax
    shadowed:
        mov ecx, ecx
    open:
        cmp dword ptr [COUNTS+{4 * NMI}], {MOST}
        jae enough
        dec ebx
        jnz again
    enough:
        nop
    """)
    k.ioapic.mask(2)
    k.pit.silence()

    run = yield

    assert run.count(NMI) >= MOST
    behind = [i.rip for i in run.interrupts if i.rip == run.address("shadowed")]
    assert behind == [], f"{len(behind)} NMIs came directly behind MOV SS"
