"""The local vector table: its fields, and what arrives at the LINT pins."""

from harness import Deviation, Kernel, ProbeBody, probe

TCG = "*-tcg*"
WRITABLE = {  # what the manual's figure of the LVT lets software write, TSC-deadline mode aside
    "LVT_TIMER": 0x100FF,
    "LVT_THERMAL": 0x107FF,
    "LVT_PERFORMANCE": 0x107FF,
    "LVT_LINT0": 0x1A7FF,
    "LVT_LINT1": 0x1A7FF,
    "LVT_ERROR": 0x100FF,
}


@probe.each(register=list(WRITABLE))
@probe(
    spec="SDM vol. 3A, Local Vector Table",
    covers=["lapic.lvt-fields"],
    deviation=[
        Deviation(targets=TCG, kind="bug", sees="0xfff9ffff|4294574079", ref="lapic-lvt-reserved"),
        Deviation(
            targets="*-kvm",
            kind="bug",
            sees=r"assert (69887 == 65791|71679 == 67583|129023 == 108543)",
            ref="lapic-kvm-lvt",
        ),
    ],
)
def reserved_and_read_only_bits_read_zero(k: Kernel, register: str) -> ProbeBody:
    """An LVT register keeps what can be written; its reserved bits, delivery status and remote IRR stay 0."""
    k.lapic.INITIAL_COUNT.write(0)
    entry = getattr(k.lapic, register)
    entry.write(0x10000)
    k.trigger(entry.write, 0xFFF9_FFFF)
    kept = entry.read("kept")
    entry.write(0x10000)

    run = yield

    assert int(run[kept]) == WRITABLE[register]


@probe.each(register=list(WRITABLE), vector=[0x10, 0xFF])
@probe(spec="SDM vol. 3A, Local Vector Table", covers=["lapic.lvt-fields"])
def vector_and_mask_read_back(k: Kernel, register: str, vector: int) -> ProbeBody:
    """Vector and mask of an LVT register read back as written, each bit of the vector alone."""
    entry = getattr(k.lapic, register)
    entry.write(0x10000 | ~vector & 0xFF)
    k.trigger(entry.write, VECTOR=vector, MASK=1)
    kept = entry.read("kept")
    entry.write(0x10000)

    run = yield

    assert (vector, 1) == (run[kept].VECTOR, run[kept].MASK)


@probe.each(mode=["fixed", "nmi"])
@probe(
    spec="SDM vol. 3A, Local Vector Table (delivery mode)",
    covers=["lapic.lint0"],
    needs=["pc-testdev"],
    deviation=[
        Deviation(
            targets=TCG,
            cases="fixed",
            kind="bug",
            sees=[r"\[0x55, 0x47\] == \[0x47\]", r"BITS=0x0> == \(1 << 5\)", "BITS=0x20> == 0"],
            ref="lapic-lint0-fixed",
        ),
        Deviation(
            targets="*-kvm", kind="unimplemented", sees="waited for vector 0x(47|02) × 1, 0 came", ref="lapic-kvm-lint"
        ),
    ],
)
def lint0_has_the_mode_of_its_lvt(k: Kernel, mode: str) -> ProbeBody:
    """The 8259's INTR at LINT0 brings the LVT's vector in fixed mode, an NMI in NMI mode, and no INTA."""
    vector = 0x47 if mode == "fixed" else 2
    k.expect(2)
    k.prepare_8259(5)
    k.lapic.LVT_LINT0.write(VECTOR=0x47, DELIVERY_MODE=0 if mode == "fixed" else 4)
    k.pic.unmask(5)
    k.sti()
    k.trigger(k.lines.up, 5)
    k.wait_for(vector, quiet_ms=1)
    k.lapic.LVT_LINT0.write(MASK=1)
    irr, isr = k.pic.irr(k.pic.MASTER, "irr"), k.pic.isr(k.pic.MASTER, "isr")

    run = yield

    assert run.vectors == [vector]
    assert run[irr] == 1 << 5
    assert run[isr] == 0


@probe.each(mode=["nmi", "fixed", "masked"])
@probe(
    spec="SDM vol. 3A, Local Vector Table (delivery mode, mask)",
    covers=["lapic.lint1"],
    deviation=Deviation(
        targets="*-kvm", cases="fixed", kind="unimplemented", sees=r"\[2\] == \[0x48, 2\]", ref="lapic-kvm-lint"
    ),
)
def lint1_has_the_mode_of_its_lvt(k: Kernel, mode: str) -> ProbeBody:
    """The board's NMI line is LINT1: NMI or fixed vector by the mode in its LVT, and nothing while that is masked."""
    k.expect(2)
    k.lapic.LVT_LINT1.write(VECTOR=0x48, DELIVERY_MODE=0 if mode == "fixed" else 4, MASK=int(mode == "masked"))
    k.sti()
    k.checkpoint("before")
    k.stay_quiet(real_ms=20)
    k.lapic.LVT_LINT1.write(DELIVERY_MODE=4)
    k.checkpoint("open")
    k.wait_for(2, count=2 if mode == "nmi" else 1)
    k.lapic.LVT_LINT1.write(MASK=1, DELIVERY_MODE=4)

    run = yield

    for checkpoint in ("before", "open"):
        with run.stopped_at(checkpoint):
            run.trigger(run.qmp, "inject-nmi")
    assert run.vectors == {"nmi": [2, 2], "fixed": [0x48, 2], "masked": [2]}[mode]
