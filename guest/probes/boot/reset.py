"""The state after reset, and the ways to get there again."""

from harness import Kernel, ProbeBody, probe

FIRST = "SDM vol. 3A, Processor State After Reset; First Instruction Executed"
MARKER = 0x0123_4567_89AB_CDEF


def boot_twice(k: Kernel) -> None:
    """Leave a marker in RAM before the checkpoint; when the program runs again in the same run it ends at `second`."""
    marker = k.pages.address(100)
    k.asm(f"movabs rax, {MARKER:#x}\ncmp qword ptr [{marker:#x}], rax\nje second")
    k.asm(f"mov qword ptr [{marker:#x}], rax")
    k.checkpoint("first boot")


@probe(spec=FIRST, covers=["boot.reset-vector"])
def the_first_instruction_is_at_fffffff0(k: Kernel) -> ProbeBody:
    """After RESET the processor is at F000:FFF0 with CS base FFFF0000h, in real mode, with IF clear."""
    k.trigger(k.checkpoint, "running")

    run = yield

    run.reached("running")
    run.resume()
    run.machine.reset()
    (cpu,) = run.cpus
    assert (cpu.cs.selector, cpu.cs.base, cpu.rip) == (0xF000, 0xFFFF_0000, 0xFFF0)
    assert cpu.pc == 0xFFFF_FFF0
    assert cpu.cr0 & 0x8000_0001 == 0
    assert cpu.rflags == 2
    assert not cpu.halted
    assert cpu.a20


@probe(spec=FIRST, covers=["boot.reset-state"])
def the_registers_have_their_reset_values(k: Kernel) -> ProbeBody:
    """After RESET: CR0 60000010h, CR2–CR4 0, EFER 0, DR6, DR7, segments with base 0 and limit FFFFh, tables at 0."""
    (signature,) = k.cpuid(1, eax="signature")
    k.asm("mov rax, 0x1234\nmov dr0, rax\nmov cr2, rax\nmov eax, 0x5678\nmov dr7, rax")
    k.trigger(k.checkpoint, "running")

    run = yield

    with run.stopped_at("running"):
        assert run.cpus[0].cr2 == 0x1234
    expected = run[signature]
    run.machine.reset()
    (cpu,) = run.cpus
    assert cpu.cr0 == 0x6000_0010
    assert (cpu.cr2, cpu.cr3, cpu.cr4, cpu.efer) == (0, 0, 0, 0)
    assert (cpu.dr0, cpu.dr6, cpu.dr7) == (0, 0xFFFF_0FF0, 0x400)
    assert (cpu.idt.base, cpu.idt.limit, cpu.gdt.base, cpu.gdt.limit) == (0, 0xFFFF, 0, 0xFFFF)
    for segment in (cpu.ds, cpu.es, cpu.ss, cpu.fs, cpu.gs):
        assert (segment.selector, segment.base, segment.limit) == (0, 0, 0xFFFF)
    assert cpu.cs.limit == 0xFFFF
    assert (cpu.rax, cpu.rbx, cpu.rcx, cpu.rsp, cpu.rbp, cpu.rsi, cpu.rdi) == (0,) * 7
    assert cpu.rdx == expected, "EDX is the processor signature"
    assert cpu.mxcsr == 0x1F80


@probe(spec="SDM vol. 3A, Local APIC State After Power-Up or Reset", covers=["boot.reset-lapic"])
def the_local_apic_is_reset_too(k: Kernel) -> ProbeBody:
    """After RESET the local APIC has IRR, ISR, TPR and the timer's counts 0, every LVT masked, SVR FFh."""
    k.lapic.TPR.write(0x40)
    k.lapic.INITIAL_COUNT.write(0xFFFF_FFFF)
    k.lapic.self_ipi(0x33)
    k.delay(us=10)
    k.trigger(k.checkpoint, "in use")

    run = yield

    with run.stopped_at("in use"):
        assert run.lapic.irr == {0x33}
    run.machine.reset()
    state = run.machine.lapic(0)
    assert state.irr == state.isr == set()
    assert (state.tpr, state.initial_count, int(state.svr)) == (0, 0, 0xFF)
    # The reset value of LVT LINT0 depends on the firmware-less board: the manual's is masked, as all others.
    assert {name: int(raw) for name, raw in state.lvt.items() if not int(raw) & 0x10000} == {}


WAYS = {
    "cf9_hard": "mov edx, 0xCF9\nmov al, 2\nout dx, al\nmov al, 6\nout dx, al",
    "cf9_full": "mov edx, 0xCF9\nmov al, 2\nout dx, al\nmov al, 0xE\nout dx, al",
    "keyboard_controller": "mov al, 0xFE\nout 0x64, al",
    "port_92": "in al, 0x92\nor al, 1\nout 0x92, al",
    "triple_fault": "push 0\npush 0\nlidt [rsp]\nint3",
}


@probe.each(way=list(WAYS))
@probe(
    spec="ICH9, RST_CNT—Reset Control Register, PORT92; 8042, Pulse Output Port; SDM vol. 3A, #DF (shutdown)",
    covers=["boot.reset-ways", "boot.reset-again"],
)
def a_reset_starts_the_guest_again(k: Kernel, way: str) -> ProbeBody:
    """CF9h, the keyboard controller, port 92h and a triple fault each reset the machine: the program starts anew."""
    if way != "triple_fault" and k.platform.reset_port is None:
        k.unsupported(f"{k.platform.name} has no port CF9h, keyboard controller or port 92h")
    boot_twice(k)
    k.trigger(k.asm, WAYS[way])
    k.delay(us=1000)
    again = k.value("again")
    k.asm(f"jmp not_reset\nsecond: mov qword ptr [{again.name}], 1\nnot_reset:")

    run = yield

    run.reached("first boot")
    run.resume(guest_reset="continue")
    assert run.machine.guest_resets == ("guest-reset",)
    assert run[again] == 1
    assert run.vectors == []


@probe(spec="ICH9, RST_CNT—Reset Control Register (SYS_RST)", covers=["boot.reset-ways"])
def cf9_resets_only_on_the_rising_bit(k: Kernel) -> ProbeBody:
    """Port CF9h: SYS_RST alone only chooses the kind of reset; RST_CPU going from 0 to 1 does it."""
    if k.platform.reset_port is None:
        k.unsupported(f"{k.platform.name} has no port CF9h")
    k.asm("mov edx, 0xCF9\nmov al, 2\nout dx, al")
    k.delay(us=100)
    chosen = k.value("after_choosing", 1)
    k.checkpoint("chosen")
    k.trigger(k.asm, "mov edx, 0xCF9\nmov al, 6\nout dx, al")
    k.delay(us=100)

    run = yield

    run.reached("chosen")
    assert run[chosen] == 1
    stop = run.resume_until_reset()
    assert stop.reason == "guest-reset"
