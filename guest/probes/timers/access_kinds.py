"""The access kinds of the register bits of the HPET and the RTC, bit by bit as the register maps state them."""

from harness import (
    AccessProof,
    ApartProof,
    Cmos,
    Deviation,
    Hpet,
    Kernel,
    ProbeBody,
    SystemControl,
    probe,
    provable,
    provable_names,
)

TIMERS = 3  # the least that the specification allows
HPET = provable(Hpet, TIMER=TIMERS)
HPET_SPEC = "IA-PC HPET 1.0a, Register Model"
ENABLES_MISSING = (
    r"(?m)^system_control\.NMI_SC bit 2 \(PCI_SERR_EN, rw\): 0 where 1 is expected, first after a write of 0x4; "
    r"system_control\.NMI_SC bit 3 \(IOCHK_NMI_EN, rw\): 0 where 1 is expected, first after a write of 0x8$"
)
VAL_SET_KEPT = (
    r"(?m)^(hpet\.TIMER\[[012]\]\.CONFIG bit 6 \(VAL_SET, wz\): 1 where 0 is expected, "
    r"first after a write of 0x40(; |$)){3}"
)


@probe.each(register=HPET)
@probe(
    spec=HPET_SPEC,
    needs=["hpet"],
    covers=["timers.hpet-access-kinds"],
    deviation=Deviation(targets="*", cases="TIMER", kind="bug", sees=VAL_SET_KEPT, ref="timers-hpet-val-set"),
)
def hpet_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """With the counter halted each bit holds 0 and 1 for itself, or keeps its value, as the specification states."""
    k.cli()
    bits = k.trigger(AccessProof, k, k.hpet, *HPET[register])

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(spec=HPET_SPEC, needs=["hpet"], covers=["timers.hpet-access-kinds"])
def hpet_registers_are_apart(k: Kernel) -> ProbeBody:
    """Each register holds what was written to it, whatever is written to the others, and no read changes one."""
    k.cli()
    everything = [name for name in provable_names(Hpet, TIMER=TIMERS) if not name.endswith("CONFIG")]
    with k.trigger():
        whole = ApartProof(k, k.hpet, *everything)
        halves = ApartProof(k, k.hpet, *everything, doublewords=True)

    run = yield

    differences = whole.differences(run) or halves.differences(run)
    assert not differences, differences


@probe(spec="MC146818, Address Map; Register A to Register D", covers=["timers.rtc-access-kinds"])
def rtc_bits_behave(k: Kernel) -> ProbeBody:
    """Each bit of the alarm bytes and of registers A to D holds 0 and 1 for itself, or keeps its value, as stated."""
    k.cli()
    bits = k.trigger(AccessProof, k, k.rtc, *provable_names(Cmos))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe(
    spec="Intel I/O Controller Hub 9 datasheet, NMI_SC",
    covers=["timers.port-61-access-kinds"],
    deviation=Deviation(targets="*", kind="unimplemented", sees=ENABLES_MISSING, ref="timers-port-61-enables"),
)
def bits_of_port_61_behave(k: Kernel) -> ProbeBody:
    """The four control bits of port 61h hold 0 and 1 for themselves, and the status bits cannot be written."""
    if not k.platform.has_port_61:
        k.unsupported(f"{k.platform.name} has no port 61h")
    bits = k.trigger(AccessProof, k, SystemControl(k.bus), *provable_names(SystemControl))

    run = yield

    differences = bits.differences(run)
    assert not differences, differences
