"""The time-stamp counter."""

from harness import Deviation, Kernel, ProbeBody, probe

TSC = "SDM vol. 3B, Time-Stamp Counter"
IA32_TSC, IA32_TSC_ADJUST, IA32_TSC_AUX = 0x10, 0x3B, 0xC000_0103
GP = 13


@probe(spec=TSC, covers=["timers.tsc-monotonic"])
def it_never_goes_back(k: Kernel) -> ProbeBody:
    """Each reading is greater than the one before: 100,000 in a row."""
    backward = k.value("backward")
    first = k.read_tsc("first")
    with k.trigger():
        k.asm("""
            push rbx
            push rbp
            mov ebp, 100000
            xor esi, esi
            xor ebx, ebx
        .Lread:
            rdtsc
            shl rdx, 32
            or rax, rdx
            cmp rax, rbx
            seta cl
            xor cl, 1
            movzx ecx, cl
            add esi, ecx
            mov rbx, rax
            dec ebp
            jnz .Lread
            mov qword ptr [backward], rsi
            pop rbp
            pop rbx
        """)
    last = k.read_tsc("last")

    run = yield

    assert run[backward] == 0
    assert run[last] > run[first]


@probe(spec=f"{TSC}: Invariant TSC", cpus=2, covers=["timers.tsc-across"])
def it_agrees_across_processors(k: Kernel) -> ProbeBody:
    """A reading that is passed to the other processor is not greater than what that one reads afterwards, both ways."""
    backward, turn, _ = k.values("backward", "turn", "stamp", initial=0)

    def play(parity: int) -> None:
        k.asm(f"""
        .Lwait:
            pause
            mov rcx, qword ptr [turn]
            cmp rcx, 40
            jae .Lover
            mov eax, ecx
            and eax, 1
            cmp eax, {parity}
            jne .Lwait
            mfence
            lfence
            rdtsc
            shl rdx, 32
            or rax, rdx
            cmp rax, qword ptr [stamp]
            jae .Lforward
            inc qword ptr [backward]
        .Lforward:
            mov qword ptr [stamp], rax
            lock inc qword ptr [turn]
            jmp .Lwait
        .Lover:
        """)

    k.smp.start()
    with k.smp.on(1), k.trigger():
        play(1)
    k.trigger(play, 0)
    k.smp.join(1, ms=1000)

    run = yield

    assert run[turn] == 40
    assert run[backward] == 0


@probe(
    spec=f"{TSC}; Model-Specific Registers: IA32_TIME_STAMP_COUNTER",
    covers=["timers.tsc-write"],
    deviation=Deviation(
        targets="*-tcg *-tcg-rt", kind="unimplemented", sees="the write had no effect", ref="timers-tsc-write"
    ),
)
def it_can_be_written(k: Kernel) -> ProbeBody:
    """WRMSR to IA32_TIME_STAMP_COUNTER sets all 64 bits, and counting continues from there."""
    target = 0x0123_4567_89AB_CDEF
    k.read_tsc("saved")
    k.trigger(k.wrmsr, IA32_TSC, target)
    after = k.read_tsc("after")
    k.asm(f"mov ecx, {IA32_TSC:#x}\nmov eax, dword ptr [saved]\nmov edx, dword ptr [saved+4]\nwrmsr")

    run = yield

    assert run[after] >= target, "the write had no effect"
    assert run[after] < target + run.tsc_khz * 1000


@probe(spec=f"{TSC}: IA32_TSC_ADJUST Register and TSC", covers=["timers.tsc-adjust"])
def adjust_moves_it(k: Kernel) -> ProbeBody:
    """Adding X to IA32_TSC_ADJUST adds X to the counter; writing the counter adds the difference to the register."""
    step = 1 << 40
    k.require_cpuid(7, "ebx", 1, "IA32_TSC_ADJUST")
    before = k.read_tsc("before")
    k.trigger(k.wrmsr, IA32_TSC_ADJUST, step)
    jumped = k.read_tsc("jumped")
    adjust = k.rdmsr(IA32_TSC_ADJUST, "adjust")
    k.wrmsr(IA32_TSC_ADJUST, 0)

    run = yield

    assert run[adjust] == step
    assert run[jumped] - run[before] >= step


@probe(spec="SDM vol. 2B, RDTSCP—Read Time-Stamp Counter and Processor ID", covers=["timers.tsc-rdtscp"])
def rdtscp_gives_tsc_aux(k: Kernel) -> ProbeBody:
    """RDTSCP puts IA32_TSC_AUX into ECX, with the counter in EDX:EAX."""
    value, aux = k.values("value", "aux")
    k.require_cpuid(0x8000_0001, "edx", 27, "RDTSCP")
    k.trigger(k.wrmsr, IA32_TSC_AUX, 0x89AB_CDEF)
    before = k.read_tsc("before")
    k.asm("rdtscp\nshl rdx, 32\nor rax, rdx\nmov qword ptr [value], rax\nmov qword ptr [aux], rcx")
    after = k.read_tsc("after")

    run = yield

    assert run[aux] == 0x89AB_CDEF
    assert run[before] <= run[value] <= run[after]


@probe.each(instruction=["rdtsc", "rdtscp"])
@probe(spec="SDM vol. 3A, Control Registers: CR4.TSD", covers=["timers.tsc-tsd"])
def tsd_forbids_it_in_ring_3(k: Kernel, instruction: str) -> ProbeBody:
    """With CR4.TSD set RDTSC and RDTSCP are #GP(0) at CPL 3, and still work at CPL 0."""
    k.trigger(k.asm, "mov rax, cr4\nor rax, 4\nmov cr4, rax")
    supervisor = k.value("supervisor")
    k.asm(f"{instruction}\nmov qword ptr [supervisor], rax")
    k.recover_at("refused", GP)
    k.ring3().do(k.asm, f"culprit:\n{instruction}")
    k.asm("refused:\nmov rax, cr4\nand rax, -5\nmov cr4, rax")

    run = yield

    assert run.written(supervisor)
    assert run.vectors == [GP]
    (fault,) = run.interrupts
    assert (fault.error_code, fault.cs & 3, fault.rip & 0xFFFF_FFFF) == (0, 3, run.address("culprit"))
