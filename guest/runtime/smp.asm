# Processors: INIT-SIPI-SIPI, the trampoline, and the loop in which an application processor waits for work.
# SDM vol. 3A, "MP Initialization Protocol Algorithm for MP Systems".

.code64

# start_cpus: start EDI-1 application processors, which are all there are, and wait until each is online; STATUS_NO_CPU
# after 5 s. All at once, as the manual's example does: the 10 ms after INIT pass but once.
# in: EDI number of processors, this one included. clobbers: RAX, RCX, RDX, RSI, RDI.
start_cpus:
    push rbx
    push r12
    push r14
    mov r12d, edi
    call place_trampoline
    mov edi, 0xFEE00000
    mov dword ptr [rdi+0x300], 0xC4500  # INIT, assert, all excluding self
    mov edi, 10000
    call idle_away
    call startup_ipi
    mov edi, 200
    call stay
    call startup_ipi
    mov eax, 5000000                # a busy host may leave a new processor standing
    call deadline
    mov r14, rax
    mov ebx, 1
.Lonline:
    bt dword ptr [MAILBOX+MB_ONLINE], ebx
    jc .Lnext
    call spin_once
    jae .Lonline
    mov dword ptr [MAILBOX+MB_WAIT_CPU], ebx
    mov edi, STATUS_NO_CPU
    jmp finish
.Lnext:
    inc ebx
    cmp ebx, r12d
    jb .Lonline
    pop r14
    pop r12
    pop rbx
    ret

# startup_ipi: SIPI to all other processors. clobbers: RDI.
startup_ipi:
    mov edi, 0xFEE00000
    mov dword ptr [rdi+0x300], 0xC4600+(TRAMPOLINE>>12)
    ret

# place_trampoline: copy it below 1 MiB. clobbers: RCX, RSI, RDI.
place_trampoline:
    lea rsi, [rip+trampoline]
    mov edi, TRAMPOLINE
    mov ecx, trampoline_end-trampoline
    rep movsb
    ret

# ap_main: an application processor in 64-bit code; its number is its APIC ID.
# in: nothing. out: never returns; runs whatever address appears in its PC_WORK, then counts PC_DONE up.
ap_main:
    mov edi, 0xFEE00000
    mov ebx, dword ptr [rdi+0x20]
    shr ebx, 24
    and ebx, CPUS-1
    lea esp, [rbx+1]
    shl esp, 17                     # STACK_SIZE
    add esp, STACKS
    call load_segments
    mov edi, ebx
    call load_tables
    call enable_local_apic
    call this_cpu
    lock bts dword ptr [MAILBOX+MB_ONLINE], ebx
.Lidle:
    pause
    mov rax, qword ptr [r12+PC_WORK]
    test rax, rax
    jz .Lidle
    push r12
    sub rsp, 8
    call rax
    cli
    call this_cpu
    imul r9d, r13d, SNAP_SIZE
    add r9, CPU_SNAPSHOTS
    call snapshot_processor
    call snapshot_local_apic
    mov eax, dword ptr [MAILBOX+MB_RUN_ID]
    shl rax, 32
    or rax, 1
    mov qword ptr [r9+SNAP_VALID], rax
    add rsp, 8
    pop r12
    mov qword ptr [r12+PC_WORK], 0
    inc qword ptr [r12+PC_DONE]
    jmp .Lidle

# trampoline: what a SIPI starts: real mode at TRAMPOLINE, CS:IP = TRAMPOLINE>>4 : 0.
.code16
trampoline:
    cli
    cld
    mov ax, cs
    mov ds, ax
    o32 lgdt [trampoline_gdt-trampoline]
    mov eax, cr0
    and eax, 0x9FFFFFFF             # caches on
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xEA                # far jump with a 32-bit offset
    .long ap_protected
    .word SEL_CODE32
trampoline_gdt:
    .word GDT_SIZE-1
    .long GDT
trampoline_end:

.code32
# ap_protected: 32-bit protected mode on the way to long mode; the stack is the number of the processor's own.
ap_protected:
    mov ax, SEL_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, dword ptr [0xFEE00020]
    shr eax, 24
    and eax, CPUS-1
    lea esp, [eax+1]
    shl esp, 17                     # STACK_SIZE
    add esp, STACKS
    call enter_long_mode
    jmp SEL_CODE:ap_main
