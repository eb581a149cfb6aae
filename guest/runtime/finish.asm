# Finish: how the guest hands a moment to the host: the end of the run, and checkpoints.
# One write to pvpanic's port stops the machine at that instruction (QEMU docs/specs/pvpanic).

.code64

# finish: freeze, report on the console, signal. in: EDI status. out: never returns.
finish:
    cli
    cld
    mov ebx, edi
    cmp dword ptr [MAILBOX+MB_STORM], 0
    je .Lcause
    cmp edi, STATUS_UNEXPECTED_EXCEPTION
    je .Lcause
    cmp edi, STATUS_STACK_OVERFLOW
    je .Lcause
    mov ebx, STATUS_STORM
.Lcause:
    xor edi, edi
    call snapshot
    mov edi, ebx
    call report
    mov dword ptr [MAILBOX+MB_STATUS], ebx
    call signal
.Lforever:
    hlt
    jmp .Lforever

# signal: stop the machine until the host continues it. clobbers: RAX, RDX.
signal:
    mov edx, PVPANIC_PORT
    mov al, 1
    out dx, al
    ret

# checkpoint: freeze, stop for the host to act, go on when it continues. Interrupts are held back meanwhile.
# in: EDI number (1 to SNAPSHOTS_MAX-1). keeps: all but RAX, RCX, RDX, RSI, RDI, R8-R11.
checkpoint:
    pushfq
    cli
    push rbx
    mov ebx, edi
    call snapshot
    mov dword ptr [MAILBOX+MB_CHECKPOINT], ebx
    inc dword ptr [MAILBOX+MB_CHECKPOINTS]
    mov dword ptr [MAILBOX+MB_STATUS], STATUS_CHECKPOINT
    call signal
    cmp dword ptr [PARAMETERS+PARAM_HOSTED], 0
    je .Lresumed
    mov ebx, dword ptr [MAILBOX+MB_CHECKPOINTS]
.Lheld:                             # without icount the stop comes some instructions after the write
    pause
    cmp dword ptr [MAILBOX+MB_RESUMED], ebx
    jb .Lheld
.Lresumed:
    mov dword ptr [MAILBOX+MB_STATUS], STATUS_RUNNING
    pop rbx
    popfq
    ret
