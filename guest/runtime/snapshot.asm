# Snapshots: controller and processor state frozen in memory before the machine stops, because a stop can let virtual
# time jump to the next timer before the state is read.

.code64

# snapshot: everything into slot EDI. in: EDI slot, interrupts off. clobbers: RAX, RCX, RDX, RSI, RDI, R8-R11.
snapshot:
    mov r11d, edi
    imul r8d, edi, SNAP_SIZE
    add r8, SNAPSHOTS
    mov r9, r8
    call snapshot_processor
    call snapshot_local_apic
    call snapshot_io_apic
    call snapshot_8259
    call snapshot_hpet
    test r11d, r11d                 # a latched 8254 would change what the program reads after a checkpoint
    jnz .Ltimed
    call snapshot_pit
.Ltimed:
    mov eax, dword ptr [MAILBOX+MB_RUN_ID]
    shl rax, 32
    lea ecx, [r11+1]
    or rax, rcx
    mov qword ptr [r9+SNAP_VALID], rax
    ret

# snapshot_processor: control registers and tables. in: R9 slot. clobbers: RAX, RCX, RDX.
snapshot_processor:
    mov rax, cr0
    mov qword ptr [r9+SNAP_CR0], rax
    mov rax, cr2
    mov qword ptr [r9+SNAP_CR2], rax
    mov rax, cr3
    mov qword ptr [r9+SNAP_CR3], rax
    mov rax, cr4
    mov qword ptr [r9+SNAP_CR4], rax
    mov rax, cr8
    mov qword ptr [r9+SNAP_CR8], rax
    mov ecx, 0xC0000080             # IA32_EFER
    rdmsr
    mov dword ptr [r9+SNAP_EFER], eax
    mov dword ptr [r9+SNAP_EFER+4], edx
    pushfq
    pop rax
    mov qword ptr [r9+SNAP_RFLAGS], rax
    sidt [r9+SNAP_IDTR_LIMIT]
    sgdt [r9+SNAP_GDTR_LIMIT]
    str eax
    mov qword ptr [r9+SNAP_TR], rax
    mov ecx, 0x1B                   # IA32_APIC_BASE
    rdmsr
    mov dword ptr [r9+SNAP_APIC_BASE], eax
    mov dword ptr [r9+SNAP_APIC_BASE+4], edx
    rdtsc
    mov dword ptr [r9+SNAP_TSC], eax
    mov dword ptr [r9+SNAP_TSC+4], edx
    ret

# snapshot_local_apic: only registers that exist (reading others would set the ESR), as register offset / 16 = index.
# in: R9 slot. clobbers: RAX, RCX, RDX, RSI, RDI, R10.
snapshot_local_apic:
    mov ecx, 0x1B                   # IA32_APIC_BASE
    rdmsr
    mov dword ptr [r9+SNAP_APIC_MODE], 0
    test eax, 0x800
    jz .Ldisabled
    test eax, 0x400
    jnz .Lx2
    mov dword ptr [r9+SNAP_APIC_MODE], 1
    and eax, 0xFFFFF000
    mov edi, eax
    lea rsi, [rip+lapic_registers]
.Lmmio:
    movzx ecx, byte ptr [rsi]
    test ecx, ecx
    jz .Ldisabled
    mov edx, ecx
    shl edx, 4
    mov eax, dword ptr [rdi+rdx]
    mov dword ptr [r9+rcx*4], eax
    inc rsi
    jmp .Lmmio
.Lx2:
    mov dword ptr [r9+SNAP_APIC_MODE], 2
    lea rsi, [rip+lapic_registers]
.Lmsr:
    movzx r10d, byte ptr [rsi]
    inc rsi
    test r10d, r10d
    jz .Ldisabled
    cmp r10d, 0x0E                  # DFR and ICR high do not exist in x2APIC mode
    je .Lmsr
    cmp r10d, 0x31
    je .Lmsr
    lea ecx, [r10+0x800]
    rdmsr
    mov dword ptr [r9+r10*4], eax
    cmp r10d, 0x30
    jne .Lmsr
    mov dword ptr [r9+0x31*4], edx
    jmp .Lmsr
.Ldisabled:
    ret

lapic_registers:
    .byte 0x02, 0x03, 0x08, 0x0A, 0x0D, 0x0E, 0x0F
    .byte 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
    .byte 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F
    .byte 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27
    .byte 0x28, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3E
    .byte 0

# snapshot_io_apic: ID, version, 24 entries; the index register is put back. in: R9 slot. clobbers: RAX, RCX, RSI, RDI.
snapshot_io_apic:
    mov edi, 0xFEC00000
    mov eax, dword ptr [rdi]
    mov dword ptr [r9+SNAP_IOREGSEL], eax
    mov dword ptr [rdi], 0
    mov eax, dword ptr [rdi+0x10]
    mov dword ptr [r9+SNAP_IOAPIC], eax
    mov dword ptr [rdi], 1
    mov eax, dword ptr [rdi+0x10]
    mov dword ptr [r9+SNAP_IOAPIC+4], eax
    mov ecx, 0x10
.Lredirection:
    mov dword ptr [rdi], ecx
    mov eax, dword ptr [rdi+0x10]
    mov dword ptr [r9+rcx*4+SNAP_IOAPIC+8-0x40], eax
    inc ecx
    cmp ecx, 0x40
    jb .Lredirection
    mov eax, dword ptr [r9+SNAP_IOREGSEL]
    mov dword ptr [rdi], eax
    ret

# snapshot_8259: IRR, ISR and IMR of both chips, ELCR. Leaves the status read select at IRR, as after ICW1.
# in: R9 slot. clobbers: RAX, RDX.
snapshot_8259:
    mov al, 0x0A                    # OCW3: read IRR
    out 0x20, al
    in al, 0x20
    mov byte ptr [r9+SNAP_PIC], al
    mov al, 0x0B                    # OCW3: read ISR
    out 0x20, al
    in al, 0x20
    mov byte ptr [r9+SNAP_PIC+1], al
    in al, 0x21
    mov byte ptr [r9+SNAP_PIC+2], al
    mov al, 0x0A
    out 0x20, al
    out 0xA0, al
    in al, 0xA0
    mov byte ptr [r9+SNAP_PIC+3], al
    mov al, 0x0B
    out 0xA0, al
    in al, 0xA0
    mov byte ptr [r9+SNAP_PIC+4], al
    in al, 0xA1
    mov byte ptr [r9+SNAP_PIC+5], al
    mov al, 0x0A
    out 0xA0, al
    mov edx, 0x4D0
    in al, dx
    mov byte ptr [r9+SNAP_PIC+6], al
    inc edx
    in al, dx
    mov byte ptr [r9+SNAP_PIC+7], al
    ret

# snapshot_hpet: capabilities (0 where there is none), configuration, status, counter, three timers.
# in: R9 slot. clobbers: RAX, RDI.
snapshot_hpet:
    mov qword ptr [r9+SNAP_HPET], 0
    call hpet_present
    jz .Lnone
    mov rax, qword ptr [rdi]
    mov qword ptr [r9+SNAP_HPET], rax
    mov rax, qword ptr [rdi+0x10]
    mov qword ptr [r9+SNAP_HPET+8], rax
    mov rax, qword ptr [rdi+0x20]
    mov qword ptr [r9+SNAP_HPET+16], rax
    mov rax, qword ptr [rdi+0xF0]
    mov qword ptr [r9+SNAP_HPET+24], rax
    xor ecx, ecx
    xor edx, edx
.Ltimer:
    mov rax, qword ptr [rdi+rcx+0x100]
    mov qword ptr [r9+rdx+SNAP_HPET+32], rax
    mov rax, qword ptr [rdi+rcx+0x108]
    mov qword ptr [r9+rdx+SNAP_HPET+40], rax
    mov rax, qword ptr [rdi+rcx+0x110]
    mov qword ptr [r9+rdx+SNAP_HPET+48], rax
    add ecx, 0x20
    add edx, 24
    cmp ecx, 0x60
    jb .Ltimer
.Lnone:
    ret

# snapshot_pit: status and count of the three channels by the read-back command. in: R9 slot. clobbers: RAX, RCX, RDX.
# 8254 datasheet, "Read-Back Command".
snapshot_pit:
    mov al, 0xCE                    # latch count and status of all three
    out 0x43, al
    mov edx, 0x40
    lea rdi, [r9+SNAP_PIT]
.Lchannel:
    in al, dx
    movzx ecx, al
    in al, dx
    movzx eax, al
    shl eax, 16
    or ecx, eax
    in al, dx
    movzx eax, al
    shl eax, 24
    or ecx, eax
    mov dword ptr [rdi], ecx
    add rdi, 4
    inc edx
    cmp edx, 0x43
    jb .Lchannel
    ret
