"""Small sound guests for the tests of the spine itself."""

from harness import Kernel, ProbeBody, probe

SPEC = "none: this guest tests the harness"


@probe(spec=SPEC, boots=["rom", "multiboot", "pvh"])
def boots_every_way(k: Kernel) -> ProbeBody:
    """Every boot path reaches the program with the same state."""
    rflags = k.value("rflags")
    k.asm("""
        pushfq
        pop qword ptr [rflags]
    """)
    cr0 = k.cr.CR0.read()
    cr4 = k.cr.CR4.read()
    svr = k.lapic.SVR.read()
    k.lapic.self_ipi(0x40)
    k.sti()
    k.wait_for(0x40)
    run = yield
    assert run.vectors == [0x40]
    assert run[rflags] & 0x700 == 0
    assert (run[cr0], run[cr4], run[svr]) == (0x8001_0033, 0x620, 0x1FF)
    assert run.pic.master.imr == run.pic.slave.imr == 0xFF
    assert all(entry.masked for entry in run.ioapic.entries)


@probe(spec=SPEC)
def host_and_guest_take_turns(k: Kernel) -> ProbeBody:
    """Two checkpoints, an NMI injected at the first, RAM changed at the second."""
    before, after = k.value("before"), k.value("after")
    box = k.buffer("box", 8)
    k.expect(2)
    k.store(before, 1)
    k.checkpoint("first")
    k.mark("between")
    k.checkpoint("second")
    k.asm("mov rax, qword ptr [box]\nmov qword ptr [after], rax")
    run = yield
    run.reached("first")
    assert run.vectors == []
    assert not run.written(after)
    run.trigger(run.qmp, "inject-nmi")
    run.resume()
    run.reached("second")
    run.machine.ram[box.address : box.address + 8] = (0x1234).to_bytes(8, "little")
    run.resume()
    assert run.vectors == [2]
    assert [getattr(event, "name", "") for event in run.events] == ["NMI", "between"]
    assert run[before] == 1
    assert run[after] == 0x1234
    assert run.at("first").lapic.isr == set()


@probe(spec=SPEC, interactive=True)
def talks_back(k: Kernel) -> ProbeBody:
    """A byte sent by the host over COM1 comes back changed."""
    got = k.value("got")
    k.print("ready")
    k.checkpoint("listening")
    k.asm("""
        mov edx, 0x3fd
    .Lwait: in al, dx
        test al, 1
        jz .Lwait
        mov edx, 0x3f8
        in al, dx
        movzx eax, al
        mov qword ptr [got], rax
    """)
    run = yield
    run.reached("listening")
    run.serial.expect("ready")
    run.trigger(run.serial.send, "x")
    run.resume()
    assert run[got] == ord("x")


@probe(spec=SPEC, cpus=4)
def four_processors(k: Kernel) -> ProbeBody:
    """Each application processor runs its routine, on its own stack, under its own number."""
    k.smp.start()
    seen = [k.value(f"seen_{cpu}") for cpu in range(4)]
    for cpu in (1, 2, 3):
        with k.smp.on(cpu):
            k.store(seen[cpu], k.lapic.ID)
    for cpu in (1, 2, 3):
        k.smp.join(cpu)
    run = yield
    assert [run[seen[cpu]] >> 24 for cpu in (1, 2, 3)] == [1, 2, 3]
    assert run.lapic_of(3).apic_id == 3


@probe(spec=SPEC)
def ring_3_and_back(k: Kernel) -> ProbeBody:
    """CPL 3 faults on a privileged instruction; a block that does not comes back by itself."""
    cs = k.value("cs_seen")
    with k.ring3():
        k.asm("""
            mov eax, cs
            movabs rcx, USER_ALIAS
            mov qword ptr [rcx+cs_seen], rax
        """)
    with k.faults(13), k.ring3():
        k.asm("privileged: cli")
    run = yield
    assert run[cs] & 0xFFFF == 0x3B
    assert run.vectors == [13]
    assert run.interrupts[0].rip & 0xFFFF_FFFF == run.built.symbols["privileged"]
    assert run.interrupts[0].cs == 0x3B
    assert run.interrupts[0].error_code == 0
