# Serial: the run's report on COM1, for people and machines. Every report line starts with "@"; numbers are hexadecimal.
#
#   @run RUN-ID PROBE
#   @value NAME NUMBER                    "-" where it was never written
#   @count CPU VECTOR NUMBER
#   @irq SEQ CPU VECTOR FLAGS DEPTH ERROR RIP CS RFLAGS RSP SS CR2 TSC WAIT
#   @end STATUS RECORDS TSC-KHZ RECORDER-CRC MAILBOX-CRC TEXT-CRC     CRC-32; the text's runs from "@run" up to this number
#
# The mailbox holds the CRCs of everything else that the host reads: see seal.asm.

.code64

# report: everything that a judge with nothing but a console needs. in: EDI status. clobbers: RAX, RCX, RDX, RSI, RDI, R8-R11.
report:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov r15d, edi
    mov dword ptr [MAILBOX+MB_SERIAL_CRC], -1
    lea rsi, [rip+text_run]
    call put_text
    mov eax, dword ptr [MAILBOX+MB_RUN_ID]
    call put_number
    mov al, ' '
    call put_char
    mov rsi, qword ptr [PROGRAM+PROG_NAME]
    call put_text
    call put_newline
    call report_values
    call report_counts
    call report_records
    lea rsi, [rip+text_end]
    call put_text
    mov eax, r15d
    call put_number
    mov al, ' '
    call put_char
    mov eax, dword ptr [MAILBOX+MB_HEAD]
    call put_number
    mov al, ' '
    call put_char
    mov rax, qword ptr [MAILBOX+MB_TSC_KHZ]
    call put_number
    mov al, ' '
    call put_char
    call seal
    mov r12d, eax
    mov eax, dword ptr [MAILBOX+MB_RECORD_CRC]
    call put_number
    mov al, ' '
    call put_char
    mov eax, r12d
    call put_number
    mov al, ' '
    call put_char
    mov eax, dword ptr [MAILBOX+MB_SERIAL_CRC]
    not eax
    mov dword ptr [MAILBOX+MB_SERIAL_CRC], eax
    call put_number
    call put_newline
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

# report_values: one line for each value slot of the program. clobbers: RAX, RCX, RDX, RSI, RDI, RBX, R12, R13.
report_values:
    xor ebx, ebx
    mov r12, qword ptr [PROGRAM+PROG_VALUE_COUNT]
    mov r13, qword ptr [PROGRAM+PROG_VALUE_NAMES]
    jmp .Lvalues
.Lvalue:
    lea rsi, [rip+text_value]
    call put_text
    mov rsi, qword ptr [r13+rbx*8]
    call put_text
    mov al, ' '
    call put_char
    mov rcx, CANARY
    add rcx, rbx
    mov rax, qword ptr [VALUES+rbx*8]
    cmp rax, rcx
    jne .Lwritten
    mov al, '-'
    call put_char
    jmp .Lended
.Lwritten:
    call put_number
.Lended:
    call put_newline
    inc ebx
.Lvalues:
    cmp rbx, r12
    jb .Lvalue
    ret

# report_counts: one line for each vector that arrived on a processor. clobbers: RAX, RCX, RDX, RSI, RDI, RBX.
report_counts:
    xor ebx, ebx
.Lsixteen:                          # vectors at a time: most never arrived
    mov rax, qword ptr [COUNTS+rbx*4]
    or rax, qword ptr [COUNTS+rbx*4+8]
    or rax, qword ptr [COUNTS+rbx*4+16]
    or rax, qword ptr [COUNTS+rbx*4+24]
    or rax, qword ptr [COUNTS+rbx*4+32]
    or rax, qword ptr [COUNTS+rbx*4+40]
    or rax, qword ptr [COUNTS+rbx*4+48]
    or rax, qword ptr [COUNTS+rbx*4+56]
    jnz .Lcount
    add ebx, 16
    jmp .Lcounted
.Lcount:
    cmp dword ptr [COUNTS+rbx*4], 0
    je .Lnocount
    call report_count
.Lnocount:
    inc ebx
    test ebx, 15
    jnz .Lcount
.Lcounted:
    cmp ebx, CPUS*256
    jb .Lsixteen
    ret

# report_count: the line of one count. in: EBX = processor * 256 + vector. clobbers: RAX, RCX, RDX, RSI, RDI.
report_count:
    lea rsi, [rip+text_count]
    call put_text
    mov eax, ebx
    shr eax, 8
    call put_number
    mov al, ' '
    call put_char
    movzx eax, bl
    call put_number
    mov al, ' '
    call put_char
    mov eax, dword ptr [COUNTS+rbx*4]
    call put_number
    jmp put_newline

# report_records: the first TAIL entries and, of those after, the last TAIL. clobbers: RAX, RCX, RDX, RSI, RDI, RBX, R12, R13, R14.
report_records:
    mov r12d, dword ptr [MAILBOX+MB_HEAD]
    xor ebx, ebx
.Lrecord:
    cmp ebx, r12d
    jae .Lrecorded
    cmp ebx, TAIL
    jne .Lin_order
    lea eax, [r12-TAIL]             # jump ahead to the last ones
    cmp eax, TAIL
    jbe .Lin_order
    mov ebx, eax
.Lin_order:
    mov eax, ebx
    call record_slot
    mov r13, rdi
    lea rsi, [rip+text_irq]
    call put_text
    mov eax, dword ptr [r13+REC_SEQ]
    call put_number
    movzx eax, byte ptr [r13+REC_CPU]
    call put_field
    movzx eax, byte ptr [r13+REC_VECTOR]
    call put_field
    movzx eax, byte ptr [r13+REC_FLAGS]
    call put_field
    mov eax, dword ptr [r13+REC_DEPTH]
    call put_field
    lea r14, [r13+REC_ERROR]
    mov rax, qword ptr [r14]
    cmp rax, -1
    jne .Lerror
    mov al, ' '
    call put_char
    mov al, '-'
    call put_char
    jmp .Lrest
.Lerror:
    call put_field
.Lrest:
    add r14, 8
    mov rax, qword ptr [r14]
    call put_field
    lea rax, [r13+REC_WAIT]
    cmp r14, rax
    jne .Lrest
    call put_newline
    inc ebx
    jmp .Lrecord
.Lrecorded:
    ret

# put_field: a space and a number. in: RAX. clobbers: RAX, RCX, RDX, RSI, RDI.
put_field:
    push rax
    mov al, ' '
    call put_char
    pop rax
# put_number: RAX in hexadecimal without leading zeros. clobbers: RAX, RCX, RDX, RSI, RDI.
put_number:
    mov rsi, rax
    bsr rcx, rax
    jnz .Ldigits
    xor ecx, ecx
.Ldigits:
    and ecx, 0x3C                   # shift of the first digit
.Ldigit:
    mov rax, rsi
    shr rax, cl
    and eax, 15
    cmp al, 10
    jb .Ldecimal
    add al, 'a'-'0'-10
.Ldecimal:
    add al, '0'
    call put_char
    sub ecx, 4
    jns .Ldigit
    ret

# put_text: NUL-terminated text at RSI. clobbers: RAX, RDX, RSI, RDI.
put_text:
    mov al, byte ptr [rsi]
    test al, al
    jz .Lput
    call put_char
    inc rsi
    jmp put_text
.Lput:
    ret

put_newline:
    mov al, 10
# put_char: AL to COM1 when its transmitter is free, and into the running CRC-32. clobbers: RAX, RDX, RDI.
# 16550A datasheet, "Line Status Register": THRE is bit 5.
put_char:
    push rax
    mov edi, dword ptr [MAILBOX+MB_SERIAL_CRC]
    mov edx, edi
    xor dl, al
    movzx edx, dl
    shr edi, 8
    lea rax, [rip+crc_table]
    xor edi, dword ptr [rax+rdx*4]
    mov dword ptr [MAILBOX+MB_SERIAL_CRC], edi
    mov edx, 0x3FD
.Lbusy:
    in al, dx
    test al, 0x20
    jz .Lbusy
    pop rax
    mov edx, 0x3F8
    out dx, al
    ret

text_run:
    .asciz "@run "
text_value:
    .asciz "@value "
text_count:
    .asciz "@count "
text_irq:
    .asciz "@irq "
text_end:
    .asciz "@end "
