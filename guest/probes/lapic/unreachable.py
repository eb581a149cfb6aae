"""The register page while the local APIC does not answer there: globally disabled, or in x2APIC mode."""

from harness import Deviation, Kernel, ProbeBody, X2Apic, probe

VECTOR, BEHIND = 0x6A, 0x95
PAGE = 0xFEE0_0000
ICR_LOW, TPR, EOI = PAGE + 0x300, PAGE + 0x80, PAGE + 0xB0
SELF_FIXED = 0x4_0000  # shorthand self, delivery mode fixed


def write(k: Kernel, address: int, value: int) -> None:
    """A doubleword write to physical memory, whatever answers there."""
    k.asm(f"mov r8d, {address:#x}\nmov dword ptr [r8], {value:#x}")


@probe(
    spec="SDM vol. 3A, Enabling or Disabling the Local APIC; Local APIC State After It Has Been Software Disabled",
    covers=["lapic.disabled-page"],
    deviation=Deviation(
        targets="*-tcg*",
        versions="*",
        kind="bug",
        sees="First difference at 0: 0x6a came",
        ref="docs/deviations/lapic-page-answers.md",
    ),
)
def globally_disabled_apic_takes_no_command(k: Kernel) -> ProbeBody:
    """While IA32_APIC_BASE.EN is clear a write to the page's ICR sends no IPI: the register is not accessible."""
    k.sti()
    k.trigger(k.msr.APIC_BASE.update, EN=0)
    write(k, ICR_LOW, SELF_FIXED | VECTOR)
    k.delay(us=20)
    k.msr.APIC_BASE.update(EN=1)
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    k.delay(us=20)
    k.mark("enabled")
    k.lapic.self_ipi(BEHIND)
    k.settle()

    run = yield

    assert run.sequence == ["enabled", BEHIND]


@probe.each(register=["TPR", "ICR", "EOI"])
@probe(
    spec="SDM vol. 3A, x2APIC Register Availability: the memory-mapped interface in x2APIC mode",
    covers=["lapic.x2apic-no-page"],
    deviation=Deviation(
        targets="*-tcg*",
        versions=">=9",
        kind="bug",
        sees=r"assert 80 == 0|assert \[0x6a\] == \[\]|the write ended the interrupt",
        ref="docs/deviations/lapic-page-answers.md",
    ),
)
def page_does_nothing_in_x2apic_mode(k: Kernel, register: str) -> ProbeBody:
    """In x2APIC mode the page is no register interface: a write to its TPR, ICR or EOI has no effect."""
    k.value("present")
    tpr, isr = k.value("tpr"), k.value("isr")
    k.asm("""
        mov r8, rbx
        mov eax, 1
        cpuid
        mov rbx, r8
        shr ecx, 21
        and ecx, 1
        mov qword ptr [present], rcx
        jz no_x2apic
    """)
    k.trigger(k.msr.APIC_BASE.update, EXTD=1)
    x2 = X2Apic(k.bus)
    x2.TPR.write(0)
    k.sti()
    if register == "EOI":
        with k.handler(VECTOR, eoi=False):
            write(k, EOI, 0)
            k.store(isr, x2.ISR[VECTOR // 32])
            x2.EOI.write(0)
        x2.SELF_IPI.write(VECTOR)
    elif register == "ICR":
        write(k, ICR_LOW, SELF_FIXED | VECTOR)
    else:
        write(k, TPR, 0x50)
    k.stay_quiet(ms=1 if k.deterministic else 20)
    k.store(tpr, x2.TPR)
    k.msr.APIC_BASE.update(EN=0, EXTD=0)
    k.msr.APIC_BASE.update(EN=1)
    k.asm("no_x2apic:")

    run = yield

    if not run["present"]:
        run.unsupported("CPUID.01H:ECX.x2APIC[bit 21] is 0")
    assert run[tpr] == 0
    assert run.vectors == ([VECTOR] if register == "EOI" else [])
    if register == "EOI":
        assert run[isr] >> VECTOR % 32 & 1 == 1, "the write ended the interrupt"
