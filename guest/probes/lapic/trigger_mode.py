"""The trigger mode register, and the width of accesses."""

from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x45


@probe(
    spec="SDM vol. 3A, Interrupt Acceptance for Fixed Interrupts (Trigger Mode Register)",
    covers=["lapic.tmr"],
    needs=["pc-testdev"],
)
def tmr_follows_the_last_acceptance(k: Kernel) -> ProbeBody:
    """A vector's TMR bit is set when it is accepted as level-triggered and cleared when it is accepted as edge."""
    tmr = []
    k.lines.down(5)
    k.ioapic.redirect(pin=5, vector=VECTOR, TRIGGER_MODE=1)
    for number in range(3):
        with k.handler(VECTOR):
            tmr.append(k.lapic.TMR[VECTOR // 32].read(f"tmr_{number}"))
            k.lines.down(5)
        k.sti()
        with k.trigger():
            if number == 1:
                k.lines.up(5)
            else:
                k.lapic.self_ipi(VECTOR)
        k.wait_for(VECTOR, count=number + 1)
        k.cli()
    k.ioapic.mask(5)

    run = yield

    assert run.vectors == [VECTOR] * 3
    assert [VECTOR in run[bits] for bits in tmr] == [False, True, False]


@probe(
    spec="SDM vol. 3A, Local APIC Register Address Map",
    covers=["lapic.access-width"],
    deviation=Deviation(
        targets="*-kvm",
        vendor="AuthenticAMD",
        kind="bug",
        sees=r"\(80, 80\) == \(90, 90\)",
        ref="lapic-kvm-tpr-sub-class",
    ),
)
def aligned_dwords_reach_every_register(k: Kernel) -> ProbeBody:
    """A 32-bit access at its 16-byte boundary reaches each register of the map, and none of these is an error."""
    offsets = [0x20, 0x30, 0x80, 0xA0, 0xD0, 0xE0, 0xF0, *range(0x100, 0x290, 0x10), *range(0x300, 0x3A0, 0x10), 0x3E0]
    k.lapic.TPR.write(0x5A)
    for offset in offsets:
        k.trigger(k.peek, 0xFEE0_0000 + offset, f"at_{offset:x}", width=32)
    k.lapic.ESR.write(0)
    esr = k.lapic.ESR.read("esr")
    k.lapic.TPR.write(0)

    run = yield

    assert (run["at_80"], run["at_a0"]) == (0x5A, 0x5A)
    assert run["at_f0"] & 0x100
    assert run["at_30"] & 0xFF >= 0x10
    assert run[esr] == 0
