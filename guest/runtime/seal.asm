# Seal: CRC-32 over all that the host reads of the guest's memory, calculated while the guest still runs. A byte that changes
# afterwards is seen. The CRCs of snapshots and buffers are at SEALS, their CRC is in the mailbox, and the mailbox's on the console.

.code64

# seal: fills in MB_RECORD_CRC, SEALS and MB_SEALS_CRC. out: EAX CRC of the mailbox's sealed part.
# clobbers: RCX, RDX, RSI, RDI, R8-R11.
seal:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    call crc_records
    mov dword ptr [MAILBOX+MB_RECORD_CRC], eax
    call seal_snapshots
    call seal_buffers
    mov ecx, dword ptr [MAILBOX+MB_RANGES]
    lea ecx, [rcx*4+SEALS_RANGES*4]
    mov esi, SEALS
    call crc_of
    mov dword ptr [MAILBOX+MB_SEALS_CRC], eax
    mov esi, MAILBOX+MAILBOX_SEALED
    mov ecx, MAILBOX_SEALED_END-MAILBOX_SEALED
    call crc_of
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

# seal_snapshots: those that this run has taken; 0 for the others. clobbers: RAX, RCX, RDX, RSI, RDI, RBX, RBP, R8.
seal_snapshots:
    mov ebx, SNAPSHOTS
    mov ebp, SEALS
.Lslot:                             # the end of the run, then the checkpoints: also those before a reset by the guest
    call seal_snapshot
    add ebx, SNAP_SIZE
    add ebp, 4
    cmp ebx, SNAPSHOTS+SNAPSHOTS_MAX*SNAP_SIZE
    jb .Lslot
    cmp dword ptr [PARAMETERS+PARAM_CPUS], 1
    jbe .Lsealed
    mov ebx, CPU_SNAPSHOTS
    mov ebp, SEALS+SNAPSHOTS_MAX*4
.Lprocessor:
    call seal_snapshot
    add ebx, SNAP_SIZE
    add ebp, 4
    cmp ebx, CPU_SNAPSHOTS+CPUS*SNAP_SIZE
    jb .Lprocessor
.Lsealed:
    ret

# seal_snapshot: in: EBX snapshot, EBP where its CRC goes. clobbers: RAX, RCX, RDX, RSI, RDI, R8.
seal_snapshot:
    xor eax, eax
    mov ecx, dword ptr [rbx+SNAP_VALID+4]
    cmp ecx, dword ptr [MAILBOX+MB_RUN_ID]
    jne .Lstore
    cmp dword ptr [rbx+SNAP_VALID], 0
    je .Lstore
    mov esi, ebx
    mov ecx, SNAPSHOT_SEALED
    call crc_of
.Lstore:
    mov dword ptr [rbp], eax
    ret

# seal_buffers: the CRC of every range of the program's buffers, without those that a device may change at any time.
# A whole block of BUFFER_BLOCK bytes is first folded by XOR to 64 columns. A fold of zero stays out of the CRC. This costs
# an eighth of the CRC of all bytes, and less for bytes that were never written.
# A change within 64 consecutive bytes changes the fold. The block's offset goes into the CRC before the fold does.
# clobbers: RAX, RBX, RBP, RCX, RDX, RSI, RDI, R8-R15.
seal_buffers:
    mov eax, dword ptr [PROGRAM+PROG_RANGE_COUNT]
    mov dword ptr [MAILBOX+MB_RANGES], eax
    mov ebp, SEALS+SEALS_RANGES*4  # where the next CRC goes
    mov rsi, qword ptr [PROGRAM+PROG_RANGES]
    test eax, eax
    jz .Lranges
.Lrange:
    push rax                        # ranges left
    push rsi                        # the table's entry
    mov ebx, dword ptr [rsi+8]      # bytes left
    mov esi, dword ptr [rsi]
    xor ecx, ecx                    # offset
    mov eax, -1
.Lblock:
    push rcx
    cmp ebx, BUFFER_BLOCK
    jb .Lpart
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    lea edx, [rsi+BUFFER_BLOCK]
.Lrow:
    xor r8, qword ptr [rsi]
    xor r9, qword ptr [rsi+8]
    xor r10, qword ptr [rsi+16]
    xor r11, qword ptr [rsi+24]
    xor r12, qword ptr [rsi+32]
    xor r13, qword ptr [rsi+40]
    xor r14, qword ptr [rsi+48]
    xor r15, qword ptr [rsi+56]
    add esi, 64
    cmp esi, edx
    jb .Lrow
    push rsi
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    or r8, r9
    or r10, r11
    or r12, r13
    or r14, r15
    or r8, r10
    or r12, r14
    or r8, r12
    jz .Lunwritten
    xor eax, dword ptr [rsp+72]     # the offset
    mov rsi, rsp
    mov ecx, 64
    call crc_more
.Lunwritten:
    add rsp, 64
    pop rsi
.Lnext:
    pop rcx
    add ecx, BUFFER_BLOCK
    sub ebx, BUFFER_BLOCK
    ja .Lblock
    not eax
    mov dword ptr [rbp], eax
    add ebp, 4
    pop rsi
    add rsi, 16
    pop rax
    dec eax
    jnz .Lrange
.Lranges:
    ret
.Lpart:                             # the last block, unless it is a whole one
    xor eax, ecx
    mov ecx, ebx
    call crc_more
    jmp .Lnext

# crc_records: over all entries that are kept. out: EAX. clobbers: RCX, RDX, RSI, RDI, R8.
crc_records:
    mov eax, dword ptr [MAILBOX+MB_HEAD]
    mov ecx, RECORDS+TAIL
    cmp eax, RECORDS
    jbe .Lall
    lea edx, [rax-RECORDS]          # the tail is full or being filled
    cmp edx, TAIL
    jae .Lfull
    lea ecx, [rdx+RECORDS]
.Lfull:
    mov eax, ecx
.Lall:
    imul ecx, eax, REC_SIZE
    mov esi, RECORDER
# crc_of: CRC-32 of ECX bytes at RSI. out: EAX. clobbers: RCX, RDX, RSI, RDI, R8.
crc_of:
    mov eax, -1
    call crc_more
    not eax
    ret

# crc_more: four bytes at a time, by four tables. in: EAX register, RSI, ECX bytes. out: EAX, RSI behind them.
# clobbers: RCX, RDX, RDI, R8.
crc_more:
    lea rdi, [rip+crc_table]
    sub ecx, 4
    jb .Lrest
.Lword:
    xor eax, dword ptr [rsi]
    movzx edx, al
    mov r8d, dword ptr [rdi+rdx*4+0xC00]
    movzx edx, ah
    xor r8d, dword ptr [rdi+rdx*4+0x800]
    shr eax, 16
    movzx edx, al
    xor r8d, dword ptr [rdi+rdx*4+0x400]
    shr eax, 8
    xor r8d, dword ptr [rdi+rax*4]
    mov eax, r8d
    add rsi, 4
    sub ecx, 4
    jae .Lword
.Lrest:
    add ecx, 4
    jz .Lsummed
.Lbyte:
    movzx edx, byte ptr [rsi]
    xor dl, al
    shr eax, 8
    xor eax, dword ptr [rdi+rdx*4]
    inc rsi
    dec ecx
    jnz .Lbyte
.Lsummed:
    ret
