"""x2APIC mode: its transitions, its registers in MSR space, and what faults there."""

from harness import (
    AccessProof,
    ApartProof,
    Deviation,
    Kernel,
    ProbeBody,
    X2Apic,
    X2ApicLdr,
    all_differences,
    probe,
    provable,
)

EXTENDED = "SDM vol. 3A, Extended XAPIC (x2APIC): "
KVM_EOI = "lapic-kvm-x2apic-eoi"
CHECKS = "lapic-x2apic-checks"
NO_FAULT = r"13 did not come|no #GP came in the block"


def enter(k: Kernel, *, mode: bool = True) -> X2Apic:
    """Enter x2APIC mode (unless `mode=False`); a processor without it ends the program here. `leave` must follow."""
    k.require_cpuid(1, "ecx", 21, "x2APIC")
    if mode:
        k.msr.APIC_BASE.update(EXTD=1)
    return X2Apic(k.bus)


def leave(k: Kernel) -> None:
    """Back to xAPIC mode, the legal way."""
    k.msr.APIC_BASE.update(EN=0, EXTD=0)
    k.msr.APIC_BASE.update(EN=1)


@probe(spec=EXTENDED + "x2APIC Register Availability; Deriving Logical x2APIC ID", covers=["lapic.x2apic-id"])
def identity_and_derived_logical_id(k: Kernel) -> ProbeBody:
    """In x2APIC mode the ID is 32 bits wide, and the logical ID is derived from it: cluster ID[31:4], bit ID[3:0]."""
    xapic = k.lapic.ID.read("xapic")
    x2 = k.trigger(enter, k)
    base = k.msr.APIC_BASE.read("base")
    identity, ldr, version = x2.ID.read("identity"), x2.LDR.read("ldr"), x2.VERSION.read("version")
    leave(k)

    run = yield

    assert (run[base].EN, run[base].EXTD) == (1, 1)
    assert int(run[identity]) == run[xapic] >> 24
    assert run[ldr] == X2ApicLdr.derived(int(run[identity]))
    assert run[version] & 0xFF >= 0x10


@probe.each(vector=[0x10, 0x20, 0x5A, 0xFE])
@probe(spec=EXTENDED + "SELF IPI Register", covers=["lapic.x2apic-self-ipi"])
def self_ipi_register(k: Kernel, vector: int) -> ProbeBody:
    """A write to SELF_IPI sends its vector to this processor, edge-triggered and fixed; EOI is an MSR too."""
    x2 = enter(k)
    k.sti()
    k.trigger(x2.SELF_IPI.write, vector)
    k.stay_quiet(real_ms=20)  # no time-out here: see docs/deviations/lapic-x2apic-icount.md
    isr, tmr = x2.ISR[vector // 32].read("isr"), x2.TMR[vector // 32].read("tmr")
    leave(k)

    run = yield

    assert run.vectors == [vector]
    assert (run[isr], run[tmr]) == (0, 0)


@probe.each(logical=[False, True])
@probe(
    spec=EXTENDED + "Interrupt Command Register (ICR)",
    covers=["lapic.x2apic-icr"],
    deviation=[Deviation(targets="*-tcg*", cases="logical", kind="unimplemented", sees=r"DESTINATION=0x0", ref=CHECKS)],
)
def one_write_to_the_icr_sends(k: Kernel, logical: bool) -> ProbeBody:
    """The ICR is one 64-bit MSR with a 32-bit destination; one write sends, and no delivery status reads back."""
    x2 = enter(k)
    k.sti()
    k.trigger(x2.ICR.write, VECTOR=0x4B, DESTINATION=int(logical), DESTINATION_MODE=int(logical), LEVEL=1)
    k.stay_quiet(real_ms=20)  # no time-out here: see docs/deviations/lapic-x2apic-icount.md
    icr = x2.ICR.read("icr")
    leave(k)

    run = yield

    assert run.vectors == [0x4B]
    assert run[icr] >> 12 & 1 == 0
    assert int(logical) == run[icr].DESTINATION


@probe.each(value=[1, 0x8000_0000, 1 << 32])
@probe(
    spec=EXTENDED + "x2APIC Register Address Space (EOI register)",
    covers=["lapic.x2apic-faults"],
    deviation=[
        Deviation(targets="*-tcg*", kind="unimplemented", sees=NO_FAULT, ref=CHECKS),
        Deviation(targets="*-kvm", cases="value1", kind="unimplemented", sees=NO_FAULT, ref=KVM_EOI),
        Deviation(targets="*-kvm", cases="value0x80000000", kind="unimplemented", sees=NO_FAULT, ref=KVM_EOI),
    ],
)
def eoi_takes_only_zero(k: Kernel, value: int) -> ProbeBody:
    """Writing anything but 0 to the EOI MSR raises #GP(0)."""
    enter(k)
    with k.faults(13), k.trigger():
        k.wrmsr(0x80B, value)
    leave(k)

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0


@probe.each(register=["ID", "VERSION", "PPR", "LDR", "ISR_0", "TMR_7", "IRR_3", "CURRENT_COUNT"])
@probe(
    spec=EXTENDED + "x2APIC Register Address Space; Reserved Bit Checking",
    covers=["lapic.x2apic-faults"],
    deviation=[
        Deviation(targets="*-tcg*", cases="[VPTC]*", kind="unimplemented", sees=NO_FAULT, ref=CHECKS),
        Deviation(targets="*-tcg*", cases="I[SR]*", kind="unimplemented", sees=NO_FAULT, ref=CHECKS),
    ],
)
def read_only_registers_fault_on_write(k: Kernel, register: str) -> ProbeBody:
    """In x2APIC mode a write to a read-only register raises #GP(0)."""
    enter(k)
    with k.faults(13), k.trigger():
        k.asm(f"mov ecx, X2APIC_{register}\nxor eax, eax\nxor edx, edx\nwrmsr")
    leave(k)

    run = yield

    assert run.vectors == [13]


@probe.each(msr=[0x800, 0x801, 0x809, 0x80C, 0x80E, 0x831, 0x83A, 0x840, 0x8FF], access=["rdmsr", "wrmsr"])
@probe(
    spec=EXTENDED + "x2APIC Register Address Space",
    covers=["lapic.x2apic-faults"],
    deviation=[
        Deviation(targets="*-tcg*", cases="msr0x809-*", kind="unimplemented", sees=NO_FAULT, ref=CHECKS),
        Deviation(targets="*-tcg*", cases="msr0x831-rdmsr", kind="unimplemented", sees=NO_FAULT, ref=CHECKS),
    ],
)
def reserved_registers_fault(k: Kernel, msr: int, access: str) -> ProbeBody:
    """MSRs 800h–8FFh without a register behind them (DFR, ICR high, APR, RRD too) raise #GP(0), read or written."""
    enter(k)
    with k.faults(13), k.trigger():
        k.asm(f"mov ecx, {msr:#x}\nxor eax, eax\nxor edx, edx\n{access}")
    leave(k)

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0


@probe.each(register=["TPR", "LVT_ERROR", "INITIAL_COUNT", "SVR"])
@probe(
    spec=EXTENDED + "Reserved Bit Checking",
    covers=["lapic.x2apic-faults"],
    deviation=[Deviation(targets="*-tcg*", kind="unimplemented", sees=NO_FAULT, ref=CHECKS)],
)
def reserved_bits_fault(k: Kernel, register: str) -> ProbeBody:
    """In x2APIC mode setting a reserved bit, and bits 63:32 of a 32-bit register are such, raises #GP(0)."""
    enter(k)
    with k.faults(13), k.trigger():
        k.asm(f"mov ecx, X2APIC_{register}\nrdmsr\nmov edx, 1\nwrmsr")
    leave(k)

    run = yield

    assert run.vectors == [13]


@probe(spec=EXTENDED + "x2APIC Register Address Space", covers=["lapic.x2apic-mode"])
def msrs_fault_in_xapic_mode(k: Kernel) -> ProbeBody:
    """Outside x2APIC mode the MSRs 800h–8FFh do not exist: #GP(0)."""
    enter(k, mode=False)
    with k.faults(13), k.trigger():
        k.asm("mov ecx, X2APIC_ID\nrdmsr")
    leave(k)

    run = yield

    assert run.vectors == [13]


@probe.each(way=["x2apic_to_xapic", "disabled_to_x2apic", "xapic_to_invalid", "x2apic_to_invalid"])
@probe(spec=EXTENDED + "x2APIC State Transitions", covers=["lapic.x2apic-mode"])
def illegal_transitions_fault(k: Kernel, way: str) -> ProbeBody:
    """x2APIC to xAPIC, disabled straight to x2APIC, and EXTD without EN from anywhere raise #GP(0)."""
    enter(k, mode=way.startswith("x2apic"))
    if way.startswith("disabled"):
        k.msr.APIC_BASE.update(EN=0)
    en, extd = {"xapic": (1, 0), "x2apic": (1, 1), "invalid": (0, 1)}[way.split("_to_")[1]]
    with k.faults(13), k.trigger():
        k.msr.APIC_BASE.update(EN=en, EXTD=extd)
    leave(k)

    run = yield

    assert run.vectors == [13]


@probe(spec=EXTENDED + "x2APIC State Transitions", covers=["lapic.x2apic-mode"])
def the_way_back_is_through_disabled(k: Kernel) -> ProbeBody:
    """From x2APIC mode the way to xAPIC mode is through the disabled state, and the registers answer by MMIO again."""
    enter(k)
    with k.trigger():
        k.msr.APIC_BASE.update(EN=0, EXTD=0)
        k.msr.APIC_BASE.update(EN=1)
    base = k.msr.APIC_BASE.read("base")
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    k.sti()
    k.lapic.self_ipi(0x4C)
    k.wait_for(0x4C)
    leave(k)

    run = yield

    assert (run[base].EN, run[base].EXTD) == (1, 0)
    assert run.vectors == [0x4C]


@probe(
    spec=EXTENDED + "x2APIC Register Address Space; SDM vol. 3A, APIC Timer",
    covers=["lapic.x2apic-timer"],
    deviation=Deviation(
        targets="*-tcg *-tcg@*", versions=">=9", kind="bug", sees="Bad icount read", ref="lapic-x2apic-icount"
    ),
)
def timer_runs_by_msrs(k: Kernel) -> ProbeBody:
    """In x2APIC mode the timer is programmed and its current count read by MSRs, and it interrupts as ever."""
    x2 = enter(k)
    x2.DIVIDE_CONFIGURATION.write(0b1011)
    x2.LVT_TIMER.write(VECTOR=0x4D)
    k.sti()
    k.trigger(x2.INITIAL_COUNT.write, 5_000_000)
    current = x2.CURRENT_COUNT.read("current")
    k.wait_for(0x4D)
    ended = x2.CURRENT_COUNT.read("ended")
    leave(k)

    run = yield

    assert run.vectors == [0x4D]
    assert 0 < run[current] <= 5_000_000
    assert run[ended] == 0


@probe.each(register=["TPR", "ICR", "EOI"])
@probe(
    spec=EXTENDED + "x2APIC Register Availability: the memory-mapped interface in x2APIC mode",
    covers=["lapic.x2apic-no-page"],
    deviation=Deviation(
        targets="*-tcg*",
        versions=">=9",
        kind="bug",
        sees=r"assert 80 == 0|assert \[0x6a\] == \[\]|the write ended the interrupt",
        ref="lapic-page-answers",
    ),
)
def page_does_nothing_in_x2apic_mode(k: Kernel, register: str) -> ProbeBody:
    """In x2APIC mode the page is no register interface: a write to its TPR, ICR or EOI has no effect."""
    vector = 0x6A
    isr = k.value("isr")
    x2 = enter(k, mode=False)
    k.trigger(k.msr.APIC_BASE.update, EXTD=1)
    k.sti()
    if register == "EOI":
        with k.handler(vector, eoi=False):
            k.lapic.eoi()
            k.store(isr, x2.ISR[vector // 32])
            x2.EOI.write(0)
        x2.SELF_IPI.write(vector)
    elif register == "ICR":
        k.lapic.self_ipi(vector)
    else:
        k.lapic.TPR.write(0x50)
    k.stay_quiet(real_ms=20)
    tpr = k.value("tpr", x2.TPR)
    leave(k)

    run = yield

    assert run[tpr] == 0
    assert run.vectors == ([vector] if register == "EOI" else [])
    if register == "EOI":
        assert run[isr] >> vector % 32 & 1 == 1, "the write ended the interrupt"


# Under icount QEMU ends at a read of the timer's MSRs: docs/deviations/lapic-x2apic-icount.md.
TIMER_MSRS = ("LVT_TIMER", "INITIAL_COUNT", "DIVIDE_CONFIGURATION")


@probe(
    spec=EXTENDED + "x2APIC Register Address Space",
    covers=["lapic.x2apic-access-kinds"],
    deviation=Deviation(
        targets="*-kvm",
        vendor="AuthenticAMD",
        kind="bug",
        sees=r"x2apic\.TPR bits 3:0 \(PRIORITY_SUB_CLASS, rw\): 0 where 1 is expected, first after a write of 0x1[;\s]+"
        r"x2apic\.TPR: 0x80 where 0x82 was written$",
        ref="lapic-kvm-tpr-sub-class",
    ),
)
def register_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of a register that is not reserved holds 0 and 1 for itself, and the registers are apart."""
    names = [name for name in provable(X2Apic) if not (k.deterministic and name in TIMER_MSRS)]
    k.cli()
    x2 = enter(k)
    with k.trigger():
        bits = AccessProof(k, x2, *names, MASK=1)
        apart = ApartProof(k, x2, *names, MASK=1)
    leave(k)

    run = yield

    differences = all_differences(run, [bits, apart])
    assert not differences, differences
