# Interrupts: what all 256 stubs share. Records, runs the probe's handler, recovers an armed fault, sends EOI.

.code64

# interrupt_common: reached from stub n with the vector pushed on top of the processor's frame.
# The processor aligned RSP to 16 before it pushed 5 or 6 quadwords, so RSP shows whether there is an error code: the
# vector does not (INT n pushes none). Keeps every register of the interrupted code.
# In here: RBP frame, R12 this processor's block, R13D processor, R14D in service (0/1), EBX vector.
interrupt_common:
    test spl, 8
    jnz .Lframe
    push qword ptr [rsp]
    mov qword ptr [rsp+8], -1       # NO_ERROR_CODE
.Lframe:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rbp, rsp
    rdtsc
    shl rdx, 32
    lea r15, [rax+rdx]
    movzx ebx, byte ptr [rbp+FRAME_VECTOR]
    mov dword ptr [rbp+FRAME_VECTOR], ebx
    call this_cpu
    call in_service
    mov r14d, eax
    call claim_delivery
    call record
    mov dword ptr [rbp+FRAME_ENTRY], eax
    lea rax, [rsp-STACKS]           # interrupts that nest end here, whatever the page tables are
    cmp rax, STACK_SIZE*CPUS
    jae .Lnest
    and eax, STACK_SIZE-0x1000
    cmp eax, STACK_RED
    je stack_overflow
.Lnest:
    inc dword ptr [r12+PC_DEPTH]

    cmp ebx, 32
    jae .Lhandler
    test r14d, r14d                 # a local APIC may deliver vectors 16-31 too
    jnz .Lhandler
    mov rax, qword ptr [r12+PC_ARMED_LABEL]
    test rax, rax
    jz .Lhandler
    mov rcx, qword ptr [r12+PC_ARMED_VECTOR]
    lea edx, [rbx+1]
    test ecx, ecx
    jz .Lrecover
    cmp ecx, edx
    jne .Lhandler
.Lrecover:
    mov qword ptr [rbp+FRAME_RIP], rax
    mov qword ptr [rbp+FRAME_CS], SEL_CODE
    mov qword ptr [rbp+FRAME_SS], SEL_DATA
    mov rax, qword ptr [r12+PC_ARMED_RSP]
    mov qword ptr [rbp+FRAME_RSP], rax
    mov rax, qword ptr [r12+PC_ARMED_RFLAGS]
    mov qword ptr [rbp+FRAME_RFLAGS], rax
    mov qword ptr [r12+PC_ARMED_LABEL], 0
    jmp .Lreturn

.Lhandler:
    mov rax, qword ptr [HANDLERS+rbx*8]
    test rax, rax
    jz .Ldefault
    push rbx
    push rbp
    push r12
    push r14
    mov rdi, rbp
    call rax
    pop r14
    pop r12
    pop rbp
    pop rbx
    jmp .Lacknowledge

.Ldefault:
    cmp ebx, 32
    jae .Lacknowledge
    test r14d, r14d
    jz unexpected_exception

.Lacknowledge:
    test r14d, r14d                 # in service, and by this delivery
    jz .Lstorm
    cmp byte ptr [NO_EOI+rbx], 0
    jne .Lstorm
    btr dword ptr [r12+PC_OWNED], ebx
    call send_eoi
    mov edi, TIME_EOI
    call record_time
.Lstorm:
    call check_storm
.Lreturn:
    dec dword ptr [r12+PC_DEPTH]
    mov edi, TIME_IRETQ
    call record_time
    mov rsp, rbp
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq

# this_cpu: who runs this, by the task register: GS may be the probe's.
# out: R13D processor number, R12 its block. clobbers: nothing else.
this_cpu:
    str r13d
    sub r13d, SEL_TSS
    shr r13d, 4
    and r13d, CPUS-1
    mov r12d, r13d
    shl r12d, 8
    add r12, PER_CPU
    ret

# in_service: is vector EBX in service in this processor's local APIC?
# out: EAX 0 or 1. clobbers: RCX, RDX, RDI.
in_service:
    mov ecx, 0x1B                   # IA32_APIC_BASE
    rdmsr
    test eax, 0x800
    jz .Lnot
    mov ecx, ebx
    shr ecx, 5
    test eax, 0x400
    jnz .Lx2apic
    and eax, 0xFFFFF000
    shl ecx, 4
    mov eax, dword ptr [rax+rcx+0x100]
    jmp .Ltest
.Lx2apic:
    add ecx, 0x810
    rdmsr
.Ltest:
    bt eax, ebx
    setc al
    movzx eax, al
    ret
.Lnot:
    xor eax, eax
    ret

# claim_delivery: the in-service bit alone does not prove that the local APIC delivered *this* one: INT n inside the handler of n
# finds the bit set too. Such a one comes with the bit already claimed, from a CD nn instruction.
# in: EBX, RBP, R12, R14D in service. out: R14D cleared for an INT n; else the bit is claimed. clobbers: RAX.
claim_delivery:
    test r14d, r14d
    jz .Lunclaimed
    bts dword ptr [r12+PC_OWNED], ebx
    jnc .Lclaimed
    mov rax, qword ptr [rbp+FRAME_RIP]
    cmp byte ptr [rax-2], 0xCD
    jne .Lclaimed
    cmp byte ptr [rax-1], bl
    jne .Lclaimed
    xor r14d, r14d
.Lclaimed:
    ret
.Lunclaimed:
    btr dword ptr [r12+PC_OWNED], ebx
    ret

# record: one entry in the recorder and one in the counts. The slot is reserved first, the commit word written last.
# in: EBX vector, RBP frame, R12 block, R13D processor, R14D in service, R15 TSC. clobbers: RAX, RCX, RDX, RDI.
record:
    mov eax, 1
    lock xadd dword ptr [MAILBOX+MB_HEAD], eax
    call record_slot
    mov dword ptr [rdi+REC_SEQ], eax
    mov byte ptr [rdi+REC_VECTOR], bl
    mov byte ptr [rdi+REC_CPU], r13b
    mov ecx, dword ptr [r12+PC_DEPTH]
    mov dword ptr [rdi+REC_DEPTH], ecx
    lea edx, [r14+r14]              # FLAG_IN_SERVICE
    mov rcx, qword ptr [rbp+FRAME_ERROR]
    mov qword ptr [rdi+REC_ERROR], rcx
    cmp rcx, -1
    je .Lnocode
    or edx, FLAG_ERROR_CODE
.Lnocode:
    cmp qword ptr [HANDLERS+rbx*8], 0
    je .Lnohandler
    or edx, FLAG_HANDLED
.Lnohandler:
    pushfq                          # an interrupt gate clears IF, a trap gate does not
    pop rcx
    and ecx, 0x200
    shr ecx, 5
    or edx, ecx                     # FLAG_IF_ON
    mov byte ptr [rdi+REC_FLAGS], dl
    mov byte ptr [rdi+REC_FLAGS+2], 0
    mov rcx, qword ptr [rbp+FRAME_RIP]
    mov qword ptr [rdi+REC_RIP], rcx
    mov rcx, qword ptr [rbp+FRAME_CS]
    mov qword ptr [rdi+REC_CS], rcx
    mov rcx, qword ptr [rbp+FRAME_RFLAGS]
    mov qword ptr [rdi+REC_RFLAGS], rcx
    mov rcx, qword ptr [rbp+FRAME_RSP]
    mov qword ptr [rdi+REC_RSP], rcx
    mov rcx, qword ptr [rbp+FRAME_SS]
    mov qword ptr [rdi+REC_SS], rcx
    mov rcx, cr2
    mov qword ptr [rdi+REC_CR2], rcx
    mov qword ptr [rdi+REC_TSC], r15
    mov rcx, qword ptr [r12+PC_WAIT]
    mov qword ptr [rdi+REC_WAIT], rcx
    mov ecx, r13d
    shl ecx, 8
    add ecx, ebx
    inc dword ptr [COUNTS+rcx*4]
    mov ecx, dword ptr [MAILBOX+MB_RUN_ID]
    lea ecx, [rcx+rax+1]
    mov dword ptr [rdi+REC_COMMIT], ecx
    ret

# record_time: the TSC, as one of the times of the entry that the frame belongs to. Entries of the tail have none.
# in: EDI offset in the entry's times, RBP frame. clobbers: RAX, RCX, RDX.
record_time:
    mov ecx, dword ptr [rbp+FRAME_ENTRY]
    cmp ecx, RECORDS
    jae .Lnotime
    shl ecx, 4                      # TIME_SIZE
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov qword ptr [TIMES+rcx+rdi], rax
.Lnotime:
    ret

# record_slot: where entry EAX goes: in order while there is room, then round the tail.
# in: EAX sequence number. out: RDI address. clobbers: RCX.
record_slot:
    mov ecx, eax
    cmp eax, RECORDS
    jb .Lslot
    and ecx, TAIL-1
    add ecx, RECORDS
.Lslot:
    imul rdi, rcx, REC_SIZE
    add rdi, RECORDER
    ret

# mark: records a moment of the program, in order with the interrupts.
# in: EDI number of the mark (0-255). out: nothing. keeps all registers.
mark:
    pushfq
    push rax
    push rcx
    push rdx
    push rdi
    push rbx
    push r12
    push r13
    cli
    mov ebx, edi
    call this_cpu
    mov eax, 1
    lock xadd dword ptr [MAILBOX+MB_HEAD], eax
    call record_slot
    mov dword ptr [rdi+REC_SEQ], eax
    mov byte ptr [rdi+REC_VECTOR], bl
    mov byte ptr [rdi+REC_FLAGS], FLAG_MARK
    mov byte ptr [rdi+REC_CPU], r13b
    mov byte ptr [rdi+REC_CPU+1], 0
    mov ecx, dword ptr [r12+PC_DEPTH]
    mov dword ptr [rdi+REC_DEPTH], ecx
    mov qword ptr [rdi+REC_ERROR], -1
    mov rcx, qword ptr [rsp+64]     # return address
    mov qword ptr [rdi+REC_RIP], rcx
    mov qword ptr [rdi+REC_CS], SEL_CODE
    mov rcx, qword ptr [rsp+56]
    mov qword ptr [rdi+REC_RFLAGS], rcx
    lea rcx, [rsp+72]
    mov qword ptr [rdi+REC_RSP], rcx
    mov qword ptr [rdi+REC_SS], SEL_DATA
    mov qword ptr [rdi+REC_CR2], 0
    mov qword ptr [rdi+REC_WAIT], 0
    mov ecx, dword ptr [MAILBOX+MB_RUN_ID]
    lea ecx, [rcx+rax+1]
    mov r12d, ecx
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov qword ptr [rdi+REC_TSC], rax
    mov dword ptr [rdi+REC_COMMIT], r12d
    pop r13
    pop r12
    pop rbx
    pop rdi
    pop rdx
    pop rcx
    pop rax
    popfq
    ret

# send_eoi: end of interrupt, by MMIO or MSR as the local APIC's mode demands. clobbers: RAX, RCX, RDX.
send_eoi:
    mov ecx, 0x1B                   # IA32_APIC_BASE
    rdmsr
    test eax, 0x400
    jnz .Lx2eoi
    and eax, 0xFFFFF000
    mov dword ptr [rax+0xB0], 0
    ret
.Lx2eoi:
    mov ecx, 0x80B
    xor eax, eax
    xor edx, edx
    wrmsr
    ret

# check_storm: the same vector again and again at the same instruction, thousands of times, is a level interrupt that
# that no handler silences: mask its IO APIC entries and report it, or the guest never goes on.
# in: EBX, RBP, R12. out: MB_STORM. clobbers: RAX, RCX, RDX, RDI.
check_storm:
    mov rax, qword ptr [rbp+FRAME_RIP]
    cmp rax, qword ptr [r12+PC_LAST_RIP]
    jne .Lother
    cmp rbx, qword ptr [r12+PC_LAST_VECTOR]
    jne .Lother
    inc dword ptr [r12+PC_REPEAT]
    cmp dword ptr [r12+PC_REPEAT], STORM_LIMIT
    jb .Lcalm
    mov edi, 0xFEC00000
    mov ecx, 0x10
.Lpin:
    mov dword ptr [rdi], ecx
    mov eax, dword ptr [rdi+0x10]
    mov edx, eax
    and edx, 0x80FF                 # level-triggered, this vector
    add edx, -0x8000
    cmp edx, ebx
    jne .Lnext
    or eax, 0x10000
    mov dword ptr [rdi+0x10], eax
    lea edx, [rbx+1]
    mov dword ptr [MAILBOX+MB_STORM], edx
.Lnext:
    add ecx, 2
    cmp ecx, 0x10+48
    jb .Lpin
.Lother:
    mov rax, qword ptr [rbp+FRAME_RIP]
    mov qword ptr [r12+PC_LAST_RIP], rax
    mov qword ptr [r12+PC_LAST_VECTOR], rbx
    mov dword ptr [r12+PC_REPEAT], 0
.Lcalm:
    ret

# unexpected_exception: not armed and not handled: the run ends here, with the registers.
# in: RBP frame, R13D processor. out: never returns.
unexpected_exception:
    mov ebx, STATUS_UNEXPECTED_EXCEPTION
.Lfreeze:
    mov rsi, rbp
    mov edi, PANIC
    mov ecx, FRAME_SIZE/8
    rep movsq
    call freeze_control
    mov edi, ebx
    jmp finish

# stack_overflow: interrupts have nested into the last page of the stack: the run ends here, on RSP0's stack.
# in: RBP frame, R13D processor. out: never returns.
stack_overflow:
    mov esp, r13d
    shl esp, 17                     # STACK_SIZE
    add esp, STACKS+STACK_INNER
    mov ebx, STATUS_STACK_OVERFLOW
    jmp .Lfreeze

# time_out: a wait gives up: the run ends here, with the registers of the program that waits.
# in: the wait's return address on top of the stack, MB_WAIT_VECTOR, MB_WAIT_COUNT, MB_WAIT_LINE. out: never returns.
time_out:
    pushfq
    cli
    pop qword ptr [PANIC+FRAME_RFLAGS]
    pop qword ptr [PANIC+FRAME_RIP]
    mov qword ptr [PANIC+FRAME_RSP], rsp
    mov qword ptr [PANIC+FRAME_RAX], rax
    mov qword ptr [PANIC+FRAME_RBX], rbx
    mov qword ptr [PANIC+FRAME_RCX], rcx
    mov qword ptr [PANIC+FRAME_RDX], rdx
    mov qword ptr [PANIC+FRAME_RSI], rsi
    mov qword ptr [PANIC+FRAME_RDI], rdi
    mov qword ptr [PANIC+FRAME_RBP], rbp
    mov qword ptr [PANIC+FRAME_R8], r8
    mov qword ptr [PANIC+FRAME_R9], r9
    mov qword ptr [PANIC+FRAME_R10], r10
    mov qword ptr [PANIC+FRAME_R11], r11
    mov qword ptr [PANIC+FRAME_R12], r12
    mov qword ptr [PANIC+FRAME_R13], r13
    mov qword ptr [PANIC+FRAME_R14], r14
    mov qword ptr [PANIC+FRAME_R15], r15
    mov eax, cs
    mov qword ptr [PANIC+FRAME_CS], rax
    mov eax, ss
    mov qword ptr [PANIC+FRAME_SS], rax
    call this_cpu
    call freeze_control
    mov edi, STATUS_TIMEOUT
    jmp finish

# freeze_control: control registers and the processor's number, beside the frame. in: R13D processor. clobbers: RAX.
freeze_control:
    mov rax, cr0
    mov qword ptr [PANIC+PANIC_CR0], rax
    mov rax, cr2
    mov qword ptr [PANIC+PANIC_CR2], rax
    mov rax, cr3
    mov qword ptr [PANIC+PANIC_CR3], rax
    mov rax, cr4
    mov qword ptr [PANIC+PANIC_CR4], rax
    mov qword ptr [PANIC+PANIC_CPU], r13
    ret

# user_exit: how ring 3 comes back (INT USER_EXIT_VECTOR): to the place and the stack that the program left from.
# clobbers: RAX, RCX.
user_exit:
    mov ecx, SEL_DATA
    mov ds, ecx
    mov es, ecx
    mov ss, ecx
    str eax
    sub eax, SEL_TSS
    shl eax, 4
    and eax, (CPUS-1)<<8
    add eax, PER_CPU
    mov rsp, qword ptr [rax+PC_USER_RSP]
    jmp qword ptr [rax+PC_USER_RETURN]
