# Time: the time-stamp counter's rate, deadlines, waits. All times are microseconds.

.code64

# measure_tsc: ticks of the time-stamp counter in a millisecond, from the host's parameter or against channel 2 of the 8254:
# two readings of its counter some milliseconds apart, so that neither a busy host nor slow ports can lengthen what is measured.
# in: nothing. out: MB_TSC_KHZ. clobbers: RAX, RBX, RCX, RDX, RDI, RSI, R8-R11.
measure_tsc:
    mov rax, qword ptr [PARAMETERS+PARAM_TSC_KHZ]
    test rax, rax
    jnz .Lknown
    in al, 0x61                     # gate of channel 2 on, speaker off
    and al, 0xFC
    or al, 1
    out 0x61, al
    mov ebx, 16
.Lmeasure:
    mov al, 0xB0                    # channel 2, both bytes, mode 0: OUT goes low
    out 0x43, al
    mov al, 0xFF                    # 65535 counts: 54.9 ms at 1193182 Hz
    out 0x42, al
    out 0x42, al
    in al, 0x61                     # the count is loaded with the next clock
    call sample_8254
    mov r10, rsi
    mov r11d, edi
.Lsample:
    call sample_8254
    mov rcx, rsi
    sub rcx, r10
    bt rcx, 34                      # no 8254 here: give up after seconds
    jc .Lassume
    mov eax, r11d
    sub eax, edi
    cmp eax, 6000                   # 5 ms
    jb .Lsample
    mov r8d, eax
    in al, 0x61
    test al, 0x20                   # OUT is high: the host was away until the count was over
    jz .Lmeasured
    dec ebx
    jnz .Lmeasure
    jmp .Lassume
.Lmeasured:
    and al, 0xFC
    out 0x61, al
    mov eax, 1193182
    mul rcx
    imul r8, r8, 1000
    div r8
.Lknown:
    mov qword ptr [MAILBOX+MB_TSC_KHZ], rax
    ret
.Lassume:
    mov eax, 1000000
    jmp .Lknown

# sample_8254: the counter of channel 2, and the time-stamp counter when it was latched: the narrowest of eight attempts.
# out: RSI ticks, EDI count. clobbers: RAX, RCX, RDX, R8, R9. 8254 datasheet, "Counter Latch Command".
sample_8254:
    mov r8, -1
    mov ecx, 8
.Lattempt:
    rdtsc
    shl rdx, 32
    lea r9, [rax+rdx]
    mov al, 0x80                    # latch channel 2
    out 0x43, al
    rdtsc
    shl rdx, 32
    or rdx, rax
    sub rdx, r9                     # how long the latch may have taken
    in al, 0x42
    mov ah, al
    in al, 0x42
    xchg al, ah
    cmp rdx, r8
    jae .Lwider
    mov r8, rdx
    shr rdx, 1
    lea rsi, [r9+rdx]
    movzx edi, ax
.Lwider:
    dec ecx
    jnz .Lattempt
    ret

# deadline: the time-stamp counter's value RAX microseconds from now.
# in: RAX. out: RAX. clobbers: RCX, RDX.
deadline:
    mul qword ptr [MAILBOX+MB_TSC_KHZ]
    mov ecx, 1000
    div rcx
    mov rcx, rax
    rdtsc
    shl rdx, 32
    or rax, rdx
    add rax, rcx
    ret

# spin_once: one turn of a waiting loop. A `pause` makes QEMU's single-threaded TCG go on to the next processor, which
# several processors need and one must not: there it costs fifteen times the time.
# out: CF set once the counter has passed R14. clobbers: RAX, RDX.
spin_once:
    cmp dword ptr [PARAMETERS+PARAM_CPUS], 1
    jbe .Lalone
    pause
.Lalone:
    rdtsc
    shl rdx, 32
    or rax, rdx
    cmp r14, rax
    ret

# stay: let RDI microseconds pass, with interrupts as they are. A single processor reads the counter rarely while the
# end is far: the read is what costs.
# in: RDI. clobbers: RAX, RCX, RDX.
stay:
    push r14
    mov rax, qword ptr [rsp+8]
    call swap_wait
    push rax
    mov rax, rdi
    call deadline
    mov r14, rax
    cmp dword ptr [PARAMETERS+PARAM_CPUS], 1
    ja .Lstay
    call idle_until_near
.Lstay:
    call spin_once
    jae .Lstay
    pop rax
    call swap_wait
    pop r14
    ret

# swap_wait: name the wait that this processor enters or leaves, for the recorder.
# in: RAX where the wait returns to. out: RAX what was named before. clobbers: RCX.
swap_wait:
    str ecx
    sub ecx, SEL_TSS
    shl ecx, 4
    and ecx, (CPUS-1)<<8
    add ecx, PER_CPU
    xchg qword ptr [rcx+PC_WAIT], rax
    ret

# idle_away: as stay, for a time in which no other processor runs.
# in: RDI. clobbers: RAX, RCX, RDX.
idle_away:
    push r14
    mov rax, rdi
    call deadline
    mov r14, rax
    call idle_until_near
.Lidle_away:
    rdtsc
    shl rdx, 32
    or rax, rdx
    cmp rax, r14
    jb .Lidle_away
    pop r14
    ret

# idle_until_near: let time pass until the time-stamp counter is less than LAST_TICKS (or FAR_TICKS) before R14.
# Where time counts instructions NOPs let it pass for nothing, as QEMU translates them to nothing: a millisecond takes some
# microseconds. A device with a part in the host's time must be waited for at the pace of a count-down: half of real time.
# clobbers: RAX, RCX, RDX.
.equ FAR_TICKS, 1<<17             # the long run takes less of them even where an instruction takes 256
.equ LAST_TICKS, 1<<12
idle_until_near:
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov rcx, r14
    sub rcx, rax
    jbe .Lnear
    cmp rcx, FAR_TICKS
    jb .Lnot_far
    cmp dword ptr [PARAMETERS+PARAM_PACED], 0
    jne .Lpaced
    .skip 480, 0x90
    jmp idle_until_near
.Lpaced:
    mov ecx, 2000
.Lcount_down:
    dec ecx
    jnz .Lcount_down
    jmp idle_until_near
.Lnot_far:
    cmp rcx, LAST_TICKS
    jb .Lnear
    cmp dword ptr [PARAMETERS+PARAM_PACED], 0
    jne .Lnear
    .skip 64, 0x90
    jmp idle_until_near
.Lnear:
    ret

# pause_between_looks: a moment of virtual time, for nothing, between two looks at what is waited for; see idle_until_near.
# Several processors take turns instead, at each `pause` of spin_once: time that one of them wastes is the others'.
pause_between_looks:
    cmp dword ptr [PARAMETERS+PARAM_CPUS], 1
    ja .Lno_pause
    cmp dword ptr [PARAMETERS+PARAM_PACED], 0
    jne .Lno_pause
    .skip 200, 0x90
.Lno_pause:
    ret

# wait_vector: until vector EDI has arrived ESI times since the start, on all processors together; the run ends with
# STATUS_TIMEOUT if that takes more than RDX microseconds.
# in: EDI vector, ESI count, RDX microseconds, ECX number of the wait. clobbers: RAX, RCX, RDX.
wait_vector:
    push rbx
    push r12
    push r13
    push r14
    mov ebx, edi
    mov r12d, esi
    mov r13d, ecx
    mov rax, qword ptr [rsp+32]
    call swap_wait
    push rax
    mov rax, rdx
    call deadline
    mov r14, rax
.Lwait:
    call total_count
    cmp eax, r12d
    jae .Lcame
    call pause_between_looks
    call spin_once
    jae .Lwait
    call total_count                # it may have come in this last turn
    cmp eax, r12d
    jae .Lcame
    mov dword ptr [MAILBOX+MB_WAIT_VECTOR], ebx
    mov dword ptr [MAILBOX+MB_WAIT_COUNT], r12d
    mov dword ptr [MAILBOX+MB_WAIT_LINE], r13d
    pop rax
    pop r14
    pop r13
    pop r12
    pop rbx
    jmp time_out
.Lcame:
    pop rax
    call swap_wait
    pop r14
    pop r13
    pop r12
    pop rbx
    ret

# halt_until: as wait_vector, but the processor sleeps between interrupts, so that no virtual time is spun away. Without any
# interrupt only the host's watchdog ends it. Needs interrupts to be on; they stay on.
# in: EDI vector, ESI count. clobbers: RAX, RCX.
halt_until:
    push rbx
    mov ebx, edi
    mov rax, qword ptr [rsp+8]
    call swap_wait
    push rax
.Lhalted:
    cli
    call total_count
    cmp eax, esi
    jae .Lwoke
    sti                             # its shadow reaches over the HLT: nothing slips in between
    hlt
    jmp .Lhalted
.Lwoke:
    sti
    pop rax
    call swap_wait
    pop rbx
    ret

# total_count: arrivals of vector EBX on all processors. out: EAX. clobbers: RCX.
total_count:
    mov ecx, ebx
    xor eax, eax
.Lsum:
    add eax, dword ptr [COUNTS+rcx*4]
    add ecx, 256
    cmp ecx, CPUS*256
    jb .Lsum
    ret

# wait_word: until the quadword at RDI, masked with RSI, equals RDX; STATUS_TIMEOUT after RCX microseconds.
# in: RDI, RSI, RDX, RCX, R8D number of the wait. clobbers: RAX, RCX, RDX.
wait_word:
    push rbx
    push r12
    push r14
    mov rbx, rdx
    mov r12d, r8d
    mov r14, rcx
    mov rax, qword ptr [rsp+24]
    call swap_wait
    push rax
    mov rax, r14
    call deadline
    mov r14, rax
.Lword:
    mov rax, qword ptr [rdi]
    and rax, rsi
    cmp rax, rbx
    je .Lequal
    call pause_between_looks
    call spin_once
    jae .Lword
    mov rax, qword ptr [rdi]
    and rax, rsi
    cmp rax, rbx
    je .Lequal
    mov dword ptr [MAILBOX+MB_WAIT_VECTOR], -1
    mov dword ptr [MAILBOX+MB_WAIT_COUNT], ebx
    mov dword ptr [MAILBOX+MB_WAIT_LINE], r12d
    pop rax
    pop r14
    pop r12
    pop rbx
    jmp time_out
.Lequal:
    pop rax
    call swap_wait
    pop r14
    pop r12
    pop rbx
    ret
