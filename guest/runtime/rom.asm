# ROM: the shortest way from the reset vector to the image. 64 KiB that end at 4 GiB.
#
# The host put the image into the staging area, which is never executed; the ROM copies it to its run address with guest
# stores, so that QEMU's translator sees the code change (it does not see what the host writes behind its back).
# Staging: magic, entry, number of segments, how often to boot it (BOOTS_…); then for each segment: destination, length
# (both multiples of 16), offset, 0.

.code32

# rom_protected: flat 32-bit code in the ROM. in: nothing. out: jumps to the staged entry with EAX = BOOT_ROM.
rom_protected:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov ebx, STAGING
    cmp dword ptr [ebx], MAGIC_STAGING
    jne .Lnothing
    cmp dword ptr [ebx+12], BOOTS_NO_MORE
    je .Lno_more
    cmp dword ptr [ebx+12], BOOTS_ONCE
    jne .Lboot
    mov dword ptr [ebx+12], BOOTS_NO_MORE
.Lboot:
    lea ebp, [ebx+16]
.Lsegment:
    mov eax, dword ptr [ebx+8]
    shl eax, 4
    lea eax, [ebx+eax+16]
    cmp ebp, eax
    jae .Lall
    mov edi, dword ptr [ebp]        # a segment that is there already is left alone: writing it would throw away all
    mov ecx, dword ptr [ebp+4]      # that QEMU has translated of it
    mov esi, dword ptr [ebp+8]
    add esi, ebx
    xor eax, eax                    # gathers what differs
    test ecx, ecx
    jz .Lplaced
.Lcompare:
    mov edx, dword ptr [esi]
    xor edx, dword ptr [edi]
    or eax, edx
    mov edx, dword ptr [esi+4]
    xor edx, dword ptr [edi+4]
    or eax, edx
    mov edx, dword ptr [esi+8]
    xor edx, dword ptr [edi+8]
    or eax, edx
    mov edx, dword ptr [esi+12]
    xor edx, dword ptr [edi+12]
    or eax, edx
    add esi, 16
    add edi, 16
    sub ecx, 16
    jnz .Lcompare
    test eax, eax
    jz .Lplaced
    mov edi, dword ptr [ebp]
    mov ecx, dword ptr [ebp+4]
    mov esi, dword ptr [ebp+8]
    add esi, ebx
    shr ecx, 2
    rep movsd
.Lplaced:
    add ebp, 16
    jmp .Lsegment
.Lall:
    mov ecx, dword ptr [ebx+4]
    xor ebx, ebx
    mov eax, BOOT_ROM
    jmp ecx
.Lno_more:                          # the guest has reset the machine: memory stays as it was then
    mov edx, PVPANIC_PORT
    mov al, 1
    out dx, al
.Lnothing:                          # nothing staged: the host sees a processor that halted here
    hlt
    jmp .Lnothing

.balign 8
rom_gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF        # 08: 32-bit code
    .quad 0x00CF93000000FFFF        # 10: data
rom_gdt_pointer:
    .word 23
    .long rom_gdt

# rom_real: from 16-bit real mode with CS base FFFF0000h to rom_protected.
.org RESET_VECTOR-0x40             # within reach of a 16-bit jump from the reset vector
.code16
rom_real:
    cli
    cld
    .byte 0x2E                      # CS: the GDT pointer is in the ROM
    o32 lgdt [rom_gdt_pointer-ROM]
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xEA                # far jump with a 32-bit offset
    .long rom_protected
    .word 0x08

# The reset vector. SDM vol. 3A, "First Instruction Executed".
.org RESET_VECTOR
reset_vector:
    jmp rom_real
.org RESET_VECTOR+15
    .byte 0
