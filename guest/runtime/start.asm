# Start: the 64-bit side of the boot. Brings processor and controllers to the state that every probe starts from.

.code64

# entry64: the bootstrap processor in 64-bit code; prepares everything, runs the program, ends the run.
# in: nothing. out: never returns.
entry64:
    mov esp, STACKS+STACK_SIZE
    call load_segments
    call build_tss
    call build_idt
    mov edi, 0
    call load_tables
    call restore_ports
    call postpone_8254
    call silence_8259               # ICW1 forgets the edges so far, so that the one that silencing makes can be waited for
    call silence_timers
    call silence_8259               # and forgets that one
    call enable_local_apic
    call mask_io_apic
    lock or dword ptr [MAILBOX+MB_ONLINE], 1
    call measure_tsc
    call plant_canaries
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov qword ptr [MAILBOX+MB_TSC_START], rax
    mov dword ptr [MAILBOX+MB_STATUS], STATUS_RUNNING
    call qword ptr [PROGRAM+PROG_ENTRY]
    mov edi, STATUS_DONE
    jmp finish

# restore_ports: ports that a reset of the machine leaves as the last guest wrote them: port B (channel 2's gate and the
# speaker off), the page registers of the 8237s (zero), and the address register of PCI configuration space (zero).
# in: nothing. out: nothing. clobbers: EAX, EDX.
restore_ports:
    xor eax, eax
    mov edx, 0xCF8
    out dx, eax
    out 0x61, al
    out 0x81, al                    # channel 2
    out 0x82, al                    # channel 3
    out 0x83, al                    # channel 1
    out 0x87, al                    # channel 0
    out 0x89, al                    # channel 6
    out 0x8A, al                    # channel 7
    out 0x8B, al                    # channel 5
    out 0x8F, al                    # refresh
    ret

# load_segments: flat data segments; FS and GS null. clobbers: EAX.
load_segments:
    mov eax, SEL_DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    ret

# load_tables: IDTR and TR of one processor.
# in: EDI processor number. out: nothing. clobbers: EAX.
load_tables:
    lidt [rip+idt_pointer]
    mov eax, edi
    shl eax, 4
    add eax, SEL_TSS
    ltr ax
    ret

# build_tss: a TSS and its GDT descriptor for each processor: RSP0 and IST 1-7 (IST n ends n pages above RSP0's top).
# in: nothing. out: tables at TSS and GDT. clobbers: RAX, RCX, RDX, RSI, RDI.
# SDM vol. 3A, "64-Bit Task State Segment", "TSS Descriptor in 64-bit mode".
build_tss:
    mov edi, TSS
    mov esi, GDT+SEL_TSS
    mov edx, STACKS+STACK_INNER
    mov ecx, CPUS
.Ltss:
    mov qword ptr [rdi+4], rdx      # RSP0
    mov rax, rdx
    push rcx
    mov ecx, 0
.List:
    add rax, 0x1000
    mov qword ptr [rdi+rcx*8+36], rax
    inc ecx
    cmp ecx, 7
    jne .List
    pop rcx
    mov word ptr [rdi+102], 104     # I/O map base at the limit: no map
    mov rax, rdi                    # base 23:0 into bits 39:16
    shl rax, 16
    or rax, 0x67                    # limit: 104 bytes
    mov r8, 0x0000890000000000      # present, available 64-bit TSS
    or rax, r8
    mov qword ptr [rsi], rax
    mov qword ptr [rsi+8], 0
    add edx, STACK_SIZE
    add edi, 128
    add esi, 16
    dec ecx
    jnz .Ltss
    ret

# build_idt: 256 interrupt gates to the stubs; #DF on IST 1.
# in: nothing. out: table at IDT. clobbers: RAX, RCX, RDX, RDI, R8.
# SDM vol. 3A, "64-Bit Mode IDT".
build_idt:
    lea rdx, [rip+stubs]
    mov edi, IDT
    mov ecx, 256
    mov r8, 0x00008E0000000000+(SEL_CODE<<16)
.Lgate:
    movzx eax, dx
    or rax, r8
    mov rsi, rdx
    shr rsi, 16
    shl rsi, 48
    or rax, rsi
    mov qword ptr [rdi], rax
    mov qword ptr [rdi+8], 0        # the runtime is below 4 GiB
    add rdx, 16
    add edi, 16
    dec ecx
    jnz .Lgate
    mov byte ptr [IDT+8*16+4], 1
    ret

# plant_canaries: mark every value slot of the program as never written.
# in: program header. out: slots at VALUES. clobbers: RAX, RCX, RDI.
plant_canaries:
    mov rcx, qword ptr [PROGRAM+PROG_VALUE_COUNT]
    mov rax, CANARY
    mov edi, VALUES
    jmp .Lmore
.Lplant:
    mov qword ptr [rdi], rax
    inc rax
    add edi, 8
    dec rcx
.Lmore:
    test rcx, rcx
    jnz .Lplant
    ret
