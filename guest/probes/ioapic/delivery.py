"""Delivery modes other than fixed: NMI, SMI, INIT, ExtINT."""

from harness import DeliveryMode, Deviation, Kernel, ProbeBody, probe

NMI = 2
LINE = 5
MODES = "82093AA, I/O Redirection Table Registers: Delivery Mode"
SMM_ENTRY, SMM_FLAG = 0x3_8000, 0x3_800C  # SMBASE after reset is 30000h; the handler starts at SMBASE + 8000h


@probe.each(interrupts=[False, True])
@probe(spec=MODES, needs=["pc-testdev"], covers=["ioapic.mode-nmi"])
def nmi_mode_ignores_vector_and_if(k: Kernel, interrupts: bool) -> ProbeBody:
    """Delivery mode NMI: vector 2, whatever the vector field and IF are; the local APIC has nothing in service."""
    k.expect(NMI)
    k.ioapic.redirect(pin=LINE, vector=0x99, DELIVERY_MODE=DeliveryMode.NMI)
    if interrupts:
        k.sti()
    k.trigger(k.lines.pulse, LINE)
    k.stay_quiet()

    run = yield

    assert run.vectors == [NMI]
    assert bool(run.interrupts[0].rflags & 1 << 9) is interrupts
    assert run.lapic.irr == run.lapic.isr == set()


@probe(spec=MODES, needs=["pc-testdev"], covers=["ioapic.mode-smi"])
def smi_mode_enters_smm(k: Kernel) -> ProbeBody:
    """Delivery mode SMI: the processor runs the handler at SMBASE + 8000h, RSM brings it back; no vector is used."""
    # 16-bit code: inc dword ptr [SMM_FLAG] with 32-bit operand and address; rsm. The flag, 0, is behind it.
    k.poke(SMM_ENTRY, SMM_FLAG << 32 | 0x05FF_6667)
    k.poke(SMM_ENTRY + 8, 0x0000_AA0F)
    k.ioapic.redirect(pin=LINE, vector=0, DELIVERY_MODE=DeliveryMode.SMI)
    k.trigger(k.lines.pulse, LINE)
    k.stay_quiet()
    flag = k.peek(SMM_FLAG, "flag", width=32)

    run = yield

    assert run[flag] == 1, "the handler did not run"
    assert run.vectors == []


@probe(spec=MODES, cpus=2, needs=["pc-testdev"], covers=["ioapic.mode-init"])
def init_mode_resets_its_processor(k: Kernel) -> ProbeBody:
    """Delivery mode INIT: the processor stops what it does and waits for a SIPI; the others continue."""
    before, after = k.values("before", "after")
    count = k.value("count", 0)
    k.smp.start()
    with k.smp.on(1):
        k.asm(".Lcount: lock inc qword ptr [count]\npause\ncmp qword ptr [stop], 1\njne .Lcount")
    k.asm(".Lruns:\npause\nmov rax, qword ptr [count]\ncmp rax, 1000\njb .Lruns\nmov qword ptr [before], rax")
    k.ioapic.redirect(pin=LINE, vector=0, DELIVERY_MODE=DeliveryMode.INIT, DESTINATION=1, TRIGGER_MODE=0)
    k.trigger(k.lines.pulse, LINE)
    k.delay(us=200)
    k.asm("mov rax, qword ptr [count]\nmov qword ptr [after], rax")
    k.delay(us=1000)
    k.value("stop", 1)  # a processor that was not reset does not write its count while it is compared
    k.delay(us=100)

    run = yield

    assert 1000 <= run[before] < 1_000_000, "the processor has not counted from 0"
    assert run[count] == run[after], "the processor counts on"
    assert run.vectors == []


@probe(
    spec=MODES,
    needs=["pc-testdev"],
    covers=["ioapic.mode-extint"],
    deviation=[
        Deviation(
            targets="*-tcg *-tcg-rt", kind="unimplemented", sees="in service in the local APIC", ref="ioapic-extint"
        ),
        Deviation(targets="*-kvm", kind="unimplemented", sees="waited for vector 0xa5", ref="ioapic-extint"),
    ],
)
def extint_mode_takes_the_8259s_vector(k: Kernel) -> ProbeBody:
    """Delivery mode ExtINT: the vector comes from the 8259, and the local APIC's IRR and ISR have no part in it."""
    base = 0xA0
    k.pic.initialize(base)
    k.pic.unmask(LINE)
    k.ioapic.redirect(pin=LINE, vector=0x99, DELIVERY_MODE=DeliveryMode.EXTINT)
    k.sti()
    k.trigger(k.lines.up, LINE)
    k.wait_for(base + LINE, quiet_ms=1)
    k.lines.down(LINE)
    served = k.pic.isr(k.pic.MASTER, "served")
    k.pic.eoi(LINE)

    run = yield

    assert run.vectors == [base + LINE]
    assert run[served] == 1 << LINE, "the 8259 did not see an acknowledge"
    assert not run.interrupts[0].in_service, "the vector was in service in the local APIC"
