"""The ACPI power management timer, and all clocks of the machine against each other."""

from harness import (
    PIT_FREQUENCY_HZ,
    PM_TIMER_HZ,
    AccessProof,
    Deviation,
    Kernel,
    PowerManagementIo,
    ProbeBody,
    config_address,
    probe,
    provable,
    wait_register,
)

TIMER = "ACPI, Power Management Timer"
PM_BASE = 0x600
RESERVED_KEPT = (
    r"(?m)^(pm\.PM1_EN bits? (4:1|7:6|13:11|15) \(reserved, zero\): 1 where 0 is expected, "
    r"first after a write of 0x[248]0*(; |$)){4}"
)
SCI_VECTOR, SCI_PIN = 0x59, 9  # on both machine types at reset


def power_management(k: Kernel) -> PowerManagementIo:
    """Place and enable the power management block; unsupported where the machine type has none."""
    pm = k.platform.pm
    if pm is None:
        k.unsupported(f"{k.platform.name} has no ACPI power management block at PCI")
    function = config_address(0, pm.device, pm.function)
    k.asm(f"""
        mov dx, 0xCF8
        mov eax, {function | pm.base_offset:#x}
        out dx, eax
        mov dx, 0xCFC
        mov eax, {PM_BASE | 1:#x}
        out dx, eax
        mov dx, 0xCF8
        mov eax, {function | pm.enable_offset & ~3:#x}
        out dx, eax
        mov dx, {0xCFC + (pm.enable_offset & 3):#x}
        in al, dx
        or al, {pm.enable_mask:#x}
        out dx, al
    """)
    return PowerManagementIo(k.bus, PM_BASE, name="pm")


@probe(spec=TIMER, covers=["timers.pm-rate"])
def pm_timer_counts_at_3579545_hz(k: Kernel) -> ProbeBody:
    """The PM timer counts up at 3.579545 MHz, 24 or 32 bits wide."""
    pm = power_management(k)
    t0 = k.read_tsc("t0")
    c0 = pm.PM_TMR.read("c0")
    k.trigger(k.delay, us=10_000)
    t1 = k.read_tsc("t1")
    c1 = pm.PM_TMR.read("c1")

    run = yield

    seconds = (run[t1] - run[t0]) / (run.tsc_khz * 1e3)
    counted = (run[c1] - run[c0]) % (1 << 24)
    assert counted > 30_000, "it does not count"
    assert abs(counted - seconds * PM_TIMER_HZ) <= k.by_clock(2, counted / 10), counted


@probe(spec=f"{TIMER}; PM1 Status Registers: TMR_STS", covers=["timers.pm-sci"], watchdog_s=60)
def the_top_bit_sets_its_status_and_interrupts(k: Kernel) -> ProbeBody:
    """A change of the timer's top bit sets TMR_STS and, with TMR_EN and SCI_EN, raises the level-triggered SCI."""
    pm = power_management(k)
    with k.handler(SCI_VECTOR):
        seen = pm.PM_TMR.read("seen")
        pm.PM1_STS.write(TMR_STS=1)
    k.ioapic.redirect(pin=SCI_PIN, vector=SCI_VECTOR, TRIGGER_MODE=1)
    k.asm(f"mov al, {2 if k.platform.name == 'q35' else 0xF1:#x}\nout 0xB2, al")
    pm.PM1_STS.write(TMR_STS=1)
    early = pm.PM1_STS.read("early")
    k.sti()
    k.trigger(pm.PM1_EN.write, TMR_EN=1)
    k.wait_for(SCI_VECTOR, ms=2600, quiet_ms=1)
    late = pm.PM1_STS.read("late")
    pm.PM1_EN.write(0)

    run = yield

    assert run[early].TMR_STS == 0
    assert run.vectors == [SCI_VECTOR]
    assert run[seen] % (1 << 23) < k.by_clock(400), "not at a change of bit 23"
    assert run[late].TMR_STS == 0


@probe(
    spec="SDM vol. 3B, Time-Stamp Counter; 8254; IA-PC HPET 1.0a; ACPI, Power Management Timer",
    needs=["hpet"],
    covers=["timers.cross-calibration"],
)
def all_clocks_agree(k: Kernel) -> ProbeBody:
    """TSC, 8254, HPET and PM timer measure the same span alike: each against each, over 20 ms."""
    pm = power_management(k)
    capabilities = k.hpet.CAPABILITIES.read()
    k.hpet.CONFIG.write(ENABLE=1)
    k.pit.speaker.gate(1)
    k.pit.program(channel=2, mode=0, count=0xFFFF)
    samples = []
    for number in (1, 2):
        tsc, pit = k.read_tsc(f"tsc_{number}"), k.pit.latch_count(2, f"pit_{number}")
        hpet, timer = k.hpet.MAIN_COUNTER.read(f"hpet_{number}"), pm.PM_TMR.read(f"timer_{number}")
        samples.append((tsc, pit, hpet, timer))
        if number == 1:
            k.trigger(k.delay, us=20_000)

    run = yield

    first, last = ([run[value] for value in sample] for sample in samples)
    spans = {
        "TSC": (last[0] - first[0]) * 1e6 / run.tsc_khz,
        "8254": (first[1] - last[1]) * 1e9 / PIT_FREQUENCY_HZ,
        "HPET": (last[2] - first[2]) * run[capabilities].COUNTER_CLK_PERIOD / 1e6,
        "PM timer": (last[3] - first[3]) % (1 << 24) * 1e9 / PM_TIMER_HZ,
    }
    assert min(spans.values()) > 19e6, spans
    slack = k.by_clock(2000, max(spans.values()) / 5)
    assert max(spans.values()) - min(spans.values()) <= slack, spans


@probe.each(register=provable(PowerManagementIo))
@probe(
    spec="ACPI, PM1 Event Registers; PM1 Control Registers",
    covers=["timers.pm-access-kinds"],
    deviation=Deviation(targets="*", cases="PM1_EN", kind="bug", sees=RESERVED_KEPT, ref="timers-pm1-enable-reserved"),
)
def power_management_bits_behave(k: Kernel, register: str) -> ProbeBody:
    """Each bit of a PM1 register holds 0 and 1 for itself, or keeps its value; reserved status and enables read 0."""
    bits = k.trigger(AccessProof, k, power_management(k), register)

    run = yield

    differences = bits.differences(run)
    assert not differences, differences


@probe.each(enable=[0, 1])
@probe(
    spec="ACPI, PM1 Status Registers: PWRBTN_STS",
    covers=["timers.pm-button"],
    deviation=Deviation(
        targets="*",
        cases="enable0",
        versions="*",
        kind="bug",
        sees="the button left its status clear",
        ref="timers-pm1-button-needs-enable",
    ),
)
def the_power_button_sets_its_status(k: Kernel, enable: int) -> ProbeBody:
    """Pressing the power button sets PWRBTN_STS, whether or not PWRBTN_EN lets it interrupt."""
    pm = power_management(k)
    pm.PM1_EN.write(PWRBTN_EN=enable)
    before = pm.PM1_STS.read("before")
    k.checkpoint("button")
    after = pm.PM1_STS.read("after")

    run = yield

    with run.stopped_at("button"):
        run.trigger(run.qmp, "system_powerdown")
    assert run[before].PWRBTN_STS == 0
    assert run[after].PWRBTN_STS == 1, "the button left its status clear"


@probe(spec="ACPI, PM1 Status Registers", covers=["timers.pm-acknowledge"], watchdog_s=60)
def a_status_bit_is_acknowledged_alone(k: Kernel) -> ProbeBody:
    """With PWRBTN_STS and TMR_STS set, writing 1 to either leaves the other, and writing 0 leaves both."""
    pm = power_management(k)
    pm.PM1_EN.write(PWRBTN_EN=1)
    k.checkpoint("button")
    wait_register(k, pm.PM1_STS, TMR_STS=1, ms=2600)
    values = []
    with k.trigger():
        for fields in ({}, {"TMR_STS": 1}, {"PWRBTN_STS": 1}):
            pm.PM1_STS.write(0, **fields)
            values.append(pm.PM1_STS.read())

    run = yield

    with run.stopped_at("button"):
        run.qmp("system_powerdown")
    assert [(run[value].TMR_STS, run[value].PWRBTN_STS) for value in values] == [(1, 1), (0, 1), (0, 0)]


@probe(spec="ACPI, PM1 Enable Registers; PM1 Status Registers", covers=["timers.pm-enable-pending"], watchdog_s=60)
def an_event_is_enabled_after_its_status(k: Kernel) -> ProbeBody:
    """TMR_STS is set: TMR_EN raises the SCI; cleared in service it takes it back; set again it raises it again."""
    pm = power_management(k)
    k.hold(SCI_VECTOR)
    k.ioapic.redirect(pin=SCI_PIN, vector=SCI_VECTOR, TRIGGER_MODE=1)
    k.asm(f"mov al, {2 if k.platform.name == 'q35' else 0xF1:#x}\nout 0xB2, al")
    pm.PM1_EN.write(0)
    k.sti()
    wait_register(k, pm.PM1_STS, TMR_STS=1, ms=2600)
    k.stay_quiet()
    k.mark("enable")
    k.trigger(pm.PM1_EN.write, TMR_EN=1)
    k.wait_for(SCI_VECTOR)
    pm.PM1_EN.write(0)
    k.lapic.eoi()
    k.stay_quiet()
    status = pm.PM1_STS.read("status")
    k.mark("again")
    pm.PM1_EN.write(TMR_EN=1)
    k.wait_for(SCI_VECTOR, 2)
    pm.PM1_STS.write(TMR_STS=1)
    k.lapic.eoi()
    k.stay_quiet()
    pm.PM1_EN.write(0)

    run = yield

    assert run[status].TMR_STS == 1
    assert run.sequence == ["enable", SCI_VECTOR, "again", SCI_VECTOR]
    assert run.ioapic[SCI_PIN].remote_irr == 0
