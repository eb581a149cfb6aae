"""IA32_APIC_BASE, identification, and what the registers keep of what is written."""

from harness import Deviation, Kernel, ProbeBody, probe


@probe(
    spec="SDM vol. 3A, Local APIC Status and Location; Local APIC ID; Local APIC Version Register",
    covers=["lapic.identity"],
)
def identity_agrees_with_cpuid(k: Kernel) -> ProbeBody:
    """The bootstrap processor has BSP set and the APIC at FEE00000h; its APIC ID is that of CPUID leaf 01h."""
    base = k.msr.APIC_BASE.read("base")
    identity, version = k.lapic.ID.read("identity"), k.lapic.VERSION.read("version")
    initial, features = k.trigger(k.cpuid, 1, ebx="initial", edx="features")

    run = yield

    assert (run[base].BSP, run[base].EN, run[base].EXTD) == (1, 1, 0)
    assert run[base].address == 0xFEE0_0000
    assert run[initial] >> 24 == run[identity].APIC_ID
    assert run[features] >> 9 & 1  # CPUID.01H:EDX.APIC
    assert 0x10 <= run[version].VERSION <= 0x15
    assert 3 <= run[version].MAX_LVT_ENTRY <= 6


@probe(spec="SDM vol. 3A, Local APIC Status and Location (BSP flag); Local APIC ID", covers=["lapic.identity"], cpus=4)
def each_processor_has_its_own_identity(k: Kernel) -> ProbeBody:
    """Only the bootstrap processor has the BSP flag; every processor reads its own APIC ID at the same address."""
    bases, identities = [k.msr.APIC_BASE.read("base_0")], [k.lapic.ID.read("identity_0")]
    k.smp.start()
    for cpu in range(1, 4):
        with k.trigger(), k.smp.on(cpu):
            bases.append(k.msr.APIC_BASE.read(f"base_{cpu}"))
            identities.append(k.lapic.ID.read(f"identity_{cpu}"))
    for cpu in range(1, 4):
        k.smp.join(cpu)

    run = yield

    assert [run[base].BSP for base in bases] == [1, 0, 0, 0]
    assert [run[identity].APIC_ID for identity in identities] == [0, 1, 2, 3]


@probe(spec="SDM vol. 3A, Enabling or Disabling the Local APIC", covers=["lapic.global-disable"])
def global_disable_clears_the_cpuid_flag(k: Kernel) -> ProbeBody:
    """While IA32_APIC_BASE.EN is clear, CPUID reports no local APIC."""
    k.trigger(k.msr.APIC_BASE.update, EN=0)
    (features,) = k.cpuid(1, edx="features")
    base = k.msr.APIC_BASE.read("base")

    run = yield

    assert run[base].EN == 0
    assert run[features] >> 9 & 1 == 0


@probe(
    spec="SDM vol. 3A, Enabling or Disabling the Local APIC",
    covers=["lapic.global-disable"],
    deviation=Deviation(targets="*-tcg*", versions="<9", kind="bug", sees="assert 0 == 1", ref="lapic-global-enable"),
)
def globally_disabled_apic_can_be_enabled_again(k: Kernel) -> ProbeBody:
    """On a processor with an xAPIC the EN flag can be set again; the APIC works, once it is enabled in the SVR."""
    k.msr.APIC_BASE.update(EN=0)
    k.trigger(k.msr.APIC_BASE.update, EN=1)
    base = k.msr.APIC_BASE.read("base")
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    k.sti()
    k.lapic.self_ipi(0x41)
    k.settle()

    run = yield

    assert run[base].EN == 1
    assert run.vectors == [0x41]


@probe(
    spec="SDM vol. 3A, Enabling or Disabling the Local APIC; Local APIC State After It Has Been Software Disabled",
    covers=["lapic.disabled-page"],
    deviation=Deviation(
        targets="*-tcg*", kind="bug", sees="First difference at 0: 0x6a came", ref="lapic-page-answers"
    ),
)
def globally_disabled_apic_takes_no_command(k: Kernel) -> ProbeBody:
    """While IA32_APIC_BASE.EN is clear a write to the page's ICR sends no IPI: the register is not accessible."""
    k.sti()
    k.trigger(k.msr.APIC_BASE.update, EN=0)
    k.lapic.self_ipi(0x6A)
    k.delay(us=20)
    k.msr.APIC_BASE.update(EN=1)
    k.lapic.SVR.write(ENABLE=1, VECTOR=0xFF)
    k.delay(us=20)
    k.mark("enabled")
    k.lapic.self_ipi(0x95)
    k.settle()

    run = yield

    assert run.sequence == ["enabled", 0x95]


@probe.each(bit=[0, 7, 9, 52, 63])
@probe(
    spec="SDM vol. 3A, Local APIC Status and Location; SDM vol. 2B, WRMSR—Write to Model Specific Register",
    covers=["lapic.base-reserved"],
    deviation=Deviation(
        targets="*-tcg*", versions="<9", kind="unimplemented", sees=r"assert \[\] == \[13\]", ref="lapic-base-reserved"
    ),
)
def reserved_bits_of_the_base_fault(k: Kernel, bit: int) -> ProbeBody:
    """Setting a reserved bit of IA32_APIC_BASE, or a bit above the physical address width, raises #GP(0)."""
    k.asm(f"""
        mov ecx, MSR_APIC_BASE
        rdmsr
        {f"bts eax, {bit}" if bit < 32 else f"bts edx, {bit - 32}"}
        mov r8d, eax
        mov r9d, edx
    """)
    with k.faults(13), k.trigger():
        k.asm("mov eax, r8d\nmov edx, r9d\nmov ecx, MSR_APIC_BASE\nwrmsr")

    run = yield

    assert run.vectors == [13]
    assert run.interrupts[0].error_code == 0


@probe(
    spec="SDM vol. 3A, Relocating the Local APIC Registers",
    covers=["lapic.relocation"],
    deviation=Deviation(targets="*-tcg*", kind="unimplemented", sees="assert 327700 != ", ref="lapic-relocation"),
)
def registers_follow_the_base(k: Kernel) -> ProbeBody:
    """The register page appears where IA32_APIC_BASE puts it, and is gone from where it was."""
    moved = 0xFEE0_1000
    version = k.lapic.VERSION.read("version")
    k.trigger(k.msr.APIC_BASE.write, BASE=moved >> 12, EN=1, BSP=1)
    new, old = k.peek(moved + 0x30, "new", width=32), k.peek(0xFEE0_0030, "old", width=32)
    base = k.msr.APIC_BASE.read("base")
    k.msr.APIC_BASE.write(BASE=0xFEE0_0000 >> 12, EN=1, BSP=1)

    run = yield

    assert run[base].address == moved
    assert run[new] == run[version]
    assert run[old] != run[version]


@probe.each(register=["VERSION", "APR", "PPR", "ISR_0", "TMR_0", "IRR_0", "CURRENT_COUNT"])
@probe(spec="SDM vol. 3A, Local APIC Register Address Map", covers=["lapic.read-only"])
def read_only_registers_ignore_writes(k: Kernel, register: str) -> ProbeBody:
    """A write to a read-only register changes nothing."""
    before, after = k.values("before", "after")
    with k.trigger():
        k.asm(f"""
            mov edi, LAPIC_{register}
            mov eax, dword ptr [rdi]
            mov qword ptr [before], rax
            mov dword ptr [rdi], 0xA5A5A5A5
            mov eax, dword ptr [rdi]
            mov qword ptr [after], rax
        """)

    run = yield

    assert run[before] != 0xA5A5_A5A5
    assert run[after] == run[before]


@probe.each(new_id=[1, 5])
@probe(
    spec="SDM vol. 3A, Local APIC ID; Interrupt Command Register (ICR): Destination Shorthand",
    covers=["lapic.id-write"],
    deviation=Deviation(
        targets="*-tcg*",
        versions="<10.0.11 or >=10.1,<11.0.2",
        kind="bug",
        sees=r"assert \[\] == \[0x41\]",
        ref="lapic-id-write",
    ),
)
def self_shorthand_survives_a_write_to_the_id(k: Kernel, new_id: int) -> ProbeBody:
    """Whether or not the APIC ID register can be written, the self shorthand reaches the processor that sends it."""
    k.lapic.ID.write(APIC_ID=new_id)
    identity = k.lapic.ID.read("identity")
    k.sti()
    k.trigger(k.lapic.self_ipi, 0x41)
    k.settle()
    k.cli()
    k.lapic.ID.write(APIC_ID=0)

    run = yield

    assert run[identity].APIC_ID in (0, new_id)
    assert run.vectors == [0x41]
