"""The APIC timer's TSC-deadline mode."""

from harness import Deviation, Kernel, ProbeBody, probe

SPEC = "SDM vol. 3A, TSC-Deadline Mode"
VECTOR = 0x62


def prepare(k: Kernel) -> None:
    """TSC-deadline mode; a processor without it ends the program here."""
    k.require_cpuid(1, "ecx", 24, "TSC_Deadline")
    k.lapic.INITIAL_COUNT.write(0)
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR, TIMER_MODE=2)
    k.asm("mfence")


def arm(k: Kernel, us: int) -> None:
    """IA32_TSC_DEADLINE = now + `us` (below 0: already past), which also goes into the value `due`."""
    k.value("due")
    k.asm(f"""
        mov eax, {abs(us)}
        mul qword ptr [MAILBOX+MB_TSC_KHZ]
        mov ecx, 1000
        div rcx
        mov rdi, rax
        rdtsc
        shl rdx, 32
        or rax, rdx
        {"add" if us > 0 else "sub"} rax, rdi
        mov qword ptr [due], rax
        mov rdx, rax
        shr rdx, 32
        mov ecx, MSR_TSC_DEADLINE
        wrmsr
    """)


@probe.each(when=["ahead", "past"])
@probe(spec=SPEC, covers=["lapic.timer-deadline"])
def deadline_fires_once(k: Kernel, when: str) -> ProbeBody:
    """The timer interrupts once, not before the deadline, at once if that is past; the MSR reads 0 afterwards."""
    prepare(k)
    k.sti()
    k.trigger(arm, k, 2000 if when == "ahead" else -1000)
    k.wait_for(VECTOR, quiet_ms=5)
    left = k.msr.TSC_DEADLINE.read("left")

    run = yield

    assert run.vectors == [VECTOR]
    assert run.interrupts[0].tsc + run.mailbox.tsc_start >= run["due"]
    assert run[left] == 0


@probe.each(by=["zero", "mode"])
@probe(spec=SPEC, covers=["lapic.timer-deadline"])
def deadline_can_be_disarmed(k: Kernel, by: str) -> ProbeBody:
    """Writing 0 to the MSR, or leaving TSC-deadline mode, disarms the timer."""
    prepare(k)
    k.sti()
    with k.trigger():
        arm(k, 50_000)
        armed = k.msr.TSC_DEADLINE.read("armed")
    if by == "zero":
        k.msr.TSC_DEADLINE.write(0)
    else:
        k.lapic.LVT_TIMER.write(VECTOR=VECTOR, TIMER_MODE=0)
    k.stay_quiet(ms=100)

    run = yield

    assert run[armed] != 0
    assert run.vectors == []


@probe(spec=SPEC, covers=["lapic.timer-deadline"])
def initial_count_is_ignored_in_deadline_mode(k: Kernel) -> ProbeBody:
    """In TSC-deadline mode writes to the initial count are ignored, and the current count reads 0."""
    prepare(k)
    k.sti()
    k.lapic.INITIAL_COUNT.write(1000)
    current = k.lapic.CURRENT_COUNT.read("current")
    k.stay_quiet(ms=5)
    k.lapic.LVT_TIMER.write(VECTOR=VECTOR + 1, TIMER_MODE=0)
    k.trigger(k.lapic.INITIAL_COUNT.write, 1000)
    k.wait_for(VECTOR + 1)

    run = yield

    assert run[current] == 0
    assert run.vectors == [VECTOR + 1]


@probe(
    spec="SDM vol. 3A, APIC Timer: TSC-Deadline Mode (bit 18 is reserved without it); Local Vector Table",
    covers=["lapic.timer-mode-reserved"],
    deviation=Deviation(targets="*-tcg*", kind="bug", sees=r"assert 327787 == ", ref="lapic-lvt-reserved"),
)
def deadline_mode_is_reserved_where_cpuid_lacks_it(k: Kernel) -> ProbeBody:
    """Where CPUID.01H:ECX.TSC_Deadline is 0, bit 18 of the LVT timer register is reserved and reads 0."""
    (features,) = k.cpuid(1, ecx="features")
    k.trigger(k.lapic.LVT_TIMER.write, 0x5_0000 | 0x6B)
    kept = k.lapic.LVT_TIMER.read("kept")
    k.lapic.LVT_TIMER.write(0x1_0000)

    run = yield

    if run[features] >> 24 & 1:
        run.unsupported("this processor has TSC-deadline mode: bit 18 is not reserved")
    assert int(run[kept]) == 0x1_0000 | 0x6B
