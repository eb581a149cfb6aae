"""Guests that go wrong on purpose, one way each."""

from harness import Kernel, ProbeBody, probe

SPEC = "none: this guest is here to misbehave"


@probe(spec=SPEC)
def triple_fault(k: Kernel) -> ProbeBody:
    """No IDT, then an exception."""
    k.tables.lidt(0, 0)
    k.asm("broken: ud2")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def lacks_a_feature(k: Kernel) -> ProbeBody:
    """CPUID.01H:EDX has a reserved bit 10, which is 0: the program ends before it stores."""
    k.require_cpuid(1, "edx", 10, "RESERVED")
    reached = k.value("reached", 1)
    run = yield
    assert run[reached] == 1


@probe(spec=SPEC, watchdog_s=1.0)
def endless_loop(k: Kernel) -> ProbeBody:
    """Interrupts off, round and round."""
    k.cli()
    k.asm("round_and_round: jmp round_and_round")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, watchdog_s=1.0)
def sleeps_for_ever(k: Kernel) -> ProbeBody:
    """HLT with interrupts off and nothing to wake it."""
    k.asm("""
        cli
        asleep: hlt
        jmp asleep
    """)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def unarmed_exception(k: Kernel) -> ProbeBody:
    """A page fault that nobody expects."""
    k.asm("""
        movabs rbx, 0x7f0000001234
        mov qword ptr [rbx], 1
    """)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def powers_off(k: Kernel) -> ProbeBody:
    """ACPI S5, or whatever the host makes of it: here a reset through port CF9h."""
    k.asm("""
        mov edx, 0xcf9
        mov al, 6
        out dx, al
        hlt
    """)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC, watchdog_s=1.0)
def serial_flood(k: Kernel) -> ProbeBody:
    """100 MB to COM1, as fast as the guest can."""
    k.asm("""
        mov rsi, BUFFERS
        mov edx, 0x3f8
        mov ecx, 100000000
        mov al, 0x41
    flood: out dx, al
        dec ecx
        jnz flood
    """)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def serial_garbage(k: Kernel) -> ProbeBody:
    """Bytes of every value, and lines that look like a report, before the real one."""
    k.asm("""
        mov edx, 0x3f8
        xor eax, eax
    .Lnext: out dx, al
        inc al
        jnz .Lnext
    """)
    k.print("@run 1 an_impostor")
    k.print("@value lie 5")
    k.print("@end 3 0 0 0")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def serial_cut_off(k: Kernel) -> ProbeBody:
    """COM1 in loopback mode: the report never comes out."""
    k.asm("""
        mov edx, 0x3fc
        mov al, 0x10
        out dx, al
    """)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def writes_over_its_recorder(k: Kernel) -> ProbeBody:
    """Records an event, then wipes out its commit word."""
    k.expect(0x80)
    k.int_n(0x80)
    k.asm("mov dword ptr [RECORDER+REC_COMMIT], 0")
    run = yield
    assert run.vectors == [0x80]


@probe(spec=SPEC)
def overflow_counted(k: Kernel) -> ProbeBody:
    """More events than the recorder keeps: the counts are exact."""
    _many(k)
    run = yield
    assert run.count(0x80) == 9000


@probe(spec=SPEC)
def overflow_in_order(k: Kernel) -> ProbeBody:
    """More events than the recorder keeps: their order cannot be judged."""
    _many(k)
    run = yield
    assert run.vectors == [0x80] * 9000


@probe(spec=SPEC)
def never_written(k: Kernel) -> ProbeBody:
    """A value that the guest never writes is no large number."""
    seen_at = k.value("seen_at")
    run = yield
    assert run[seen_at] >= 100_000


@probe(spec=SPEC)
def waits_in_vain(k: Kernel) -> ProbeBody:
    """Waits for an interrupt that nothing causes."""
    k.sti()
    k.wait_for(0x40, ms=1)
    run = yield
    assert run.vectors == [0x40]


@probe(spec=SPEC)
def left_at_checkpoint(k: Kernel) -> ProbeBody:
    """A judgement that forgets to resume the guest."""
    k.checkpoint("armed")
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def stray_signal(k: Kernel) -> ProbeBody:
    """Writes to the signal port without being done."""
    k.asm("""
        mov edx, PVPANIC_PORT
        mov al, 1
        out dx, al
    """)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def well_behaved(k: Kernel) -> ProbeBody:
    """Runs after all the others, and passes."""
    k.expect(0x80)
    k.int_n(0x80)
    run = yield
    assert run.vectors == [0x80]


@probe(spec=SPEC)
def fails_its_assertion(k: Kernel) -> ProbeBody:
    """An assertion that does not hold."""
    k.expect(0x80)
    k.int_n(0x80)
    run = yield
    assert run.vectors == [0x81]


def _many(k: Kernel) -> None:
    k.expect(0x80)
    k.asm("""
        mov ebx, 9000
    .Lagain: int 0x80
        dec ebx
        jnz .Lagain
    """)


@probe(spec="MC146818, RAM (what it holds outlives a reset)")
def resets_where_another_was(k: Kernel) -> ProbeBody:
    """Resets the machine where a guest of its kind has run before: the CMOS RAM tells it."""
    k.asm(
        """
        mov al, 0x50
        out 0x70, al
        in al, 0x71
        cmp al, 0x5A
        jne first_here
        mov edx, 0xCF9
        mov al, 6
        out dx, al
        hlt
        first_here:
        mov al, 0x50
        out 0x70, al
        mov al, 0x5A
        out 0x71, al
        """
    )

    run = yield

    assert run.vectors == []


def _sleep(k: Kernel, state: int) -> None:
    """Through ICH9's PM1_CNT: its I/O base, its enable bit, then SLP_TYP and SLP_EN."""
    k.asm(f"""
        mov edx, 0xCF8
        mov eax, 0x8000F840
        out dx, eax
        mov edx, 0xCFC
        mov eax, 0x601
        out dx, eax
        mov edx, 0xCF8
        mov eax, 0x8000F844
        out dx, eax
        mov edx, 0xCFC
        mov eax, 0x80
        out dx, eax
        mov edx, 0x604
        mov eax, {0x2000 | state << 10:#x}
        out dx, ax
        hlt
    """)


@probe(spec=SPEC)
def suspends(k: Kernel) -> ProbeBody:
    """ACPI S3: no STOP follows."""
    _sleep(k, 1)
    run = yield
    assert run.vectors == []


@probe(spec=SPEC)
def suspends_to_disk(k: Kernel) -> ProbeBody:
    """ACPI S4: QEMU shuts the machine down."""
    _sleep(k, 2)
    run = yield
    assert run.vectors == []


@probe.each(number=[0, 2, 0xFFFFFFFF])
@probe(spec=SPEC)
def forges_a_checkpoint(k: Kernel, number: int) -> ProbeBody:
    """Signals a checkpoint that the program does not have."""
    k.asm(f"""
        mov dword ptr [MAILBOX+MB_CHECKPOINT], {number}
        mov dword ptr [MAILBOX+MB_STATUS], STATUS_CHECKPOINT
        mov edx, PVPANIC_PORT
        mov al, 1
        out dx, al
    """)
    k.checkpoint("only")
    run = yield
    run.reached("only")
    run.resume()
    assert run.vectors == []


@probe(spec=SPEC)
def says_much(k: Kernel) -> ProbeBody:
    """Sends 10,000 bytes to COM1, and ends well."""
    k.asm("""
        mov edx, 0x3f8
        mov ecx, 10000
        mov al, 0x41
    .Lnext: out dx, al
        dec ecx
        jnz .Lnext
    """)
    run = yield
    assert run.vectors == []
