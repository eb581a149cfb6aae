# PCI: gives BARs addresses where no firmware did, routes INTx, switches q35's ECAM on. Bus 0 only: the harness plugs nothing
# behind bridges. PCI Local Bus Specification 3.0, "Configuration Space Decoding", "Base Addresses".

.code64

# pci_init: run by a program that uses PCI, before anything else of it. Without a host bridge it does nothing.
# clobbers: RAX, RCX, RDX, RSI, RDI, R8-R11.
pci_init:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov eax, 0x80000000             # bus 0, device 0, function 0
    call pci_read
    cmp eax, -1
    je .Linitialized
    cmp eax, 0x29C08086             # MCH of q35
    jne .Lno_ecam
    mov eax, 0x80000064
    xor ecx, ecx
    call pci_write
    mov eax, 0x80000060             # PCIEXBAR: base, 256 MiB, enable
    mov ecx, ECAM_BASE+1
    call pci_write
.Lno_ecam:
    mov eax, 0x80000800             # PIIX3, device 1: PIRQA-D to IRQ 10, 10, 11, 11
    call pci_read
    cmp eax, 0x70008086
    jne .Lno_piix
    mov eax, 0x80000860
    mov ecx, 0x0B0B0A0A
    call pci_write
.Lno_piix:
    mov r14d, PCI_MEMORY            # next free memory address
    mov r15d, PCI_IO                # next free port
    mov ebx, 0x80000000             # function being examined
.Lfunction:
    mov eax, ebx
    call pci_read
    cmp eax, -1
    je .Labsent
    call pci_assign
    test ebx, 0x700
    jnz .Lnext
    lea eax, [rbx+0x0C]             # header type: bit 7 is set where there are more functions
    call pci_read
    test eax, 0x800000
    jnz .Lnext
.Labsent:
    test ebx, 0x700
    jnz .Lnext
    add ebx, 0x700                  # function 0 alone: go on with the next device
.Lnext:
    add ebx, 0x100
    cmp ebx, 0x80010000
    jb .Lfunction
.Linitialized:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

# pci_assign: give each unassigned BAR of one function an address, naturally aligned. Decoding stays as it was.
# in: EBX function, R14D and R15D next free address. out: R14D, R15D. clobbers: RAX, RCX, RDX, RSI, RDI, RBP, R12, R13.
pci_assign:
    lea eax, [rbx+0x0C]
    call pci_read
    test eax, 0x7F0000              # type 0 headers only
    jnz .Lassigned
    lea r12d, [rbx+0x10]
    lea r13d, [rbx+0x28]
.Lbar:
    mov eax, r12d
    call pci_read
    mov ebp, eax                    # content
    mov eax, r12d
    mov ecx, -1
    call pci_write
    mov eax, r12d
    call pci_read
    mov esi, eax                    # writable bits and type
    mov eax, r12d
    mov ecx, ebp
    call pci_write
    test esi, esi
    jz .Lnext_bar
    test esi, 1
    jnz .Lport
    mov edi, esi
    and edi, -16
    test ebp, -16
    jnz .Lmemory_done               # firmware was here
    mov ecx, edi
    neg ecx                         # size
    lea eax, [r14+rcx-1]
    and eax, edi
    lea r14d, [rax+rcx]
    mov ecx, eax
    mov eax, r12d
    call pci_write
.Lmemory_done:
    and esi, 6
    cmp esi, 4                      # 64-bit: the upper half stays zero
    jne .Lnext_bar
    add r12d, 4
    jmp .Lnext_bar
.Lport:
    mov edi, esi
    and edi, -4
    or edi, 0xFFFF0000
    test ebp, 0xFFFC
    jnz .Lnext_bar
    mov ecx, edi
    neg ecx
    lea eax, [r15+rcx-1]
    and eax, edi
    lea r15d, [rax+rcx]
    mov ecx, eax
    mov eax, r12d
    call pci_write
.Lnext_bar:
    add r12d, 4
    cmp r12d, r13d
    jb .Lbar
.Lassigned:
    ret

# pci_read: dword of configuration space. in: EAX address for port CF8h. out: EAX. clobbers: RDX.
pci_read:
    mov edx, 0xCF8
    out dx, eax
    mov edx, 0xCFC
    in eax, dx
    ret

# pci_write: dword of configuration space. in: EAX address for port CF8h, ECX. clobbers: RAX, RDX.
pci_write:
    mov edx, 0xCF8
    out dx, eax
    mov edx, 0xCFC
    mov eax, ecx
    out dx, eax
    ret

# pci_capability: find a capability. in: EDI function, ESI capability ID. out: EAX its address for port CF8h, or 0.
# clobbers: RCX, RDX.
pci_capability:
    mov ecx, 0xFF
# pci_matching_capability: the first whose first dword, masked with ECX, is ESI. in: EDI, ESI, ECX. out: EAX. clobbers: RDX.
pci_matching_capability:
    push rbx
    lea eax, [rdi+4]
    call pci_read
    test eax, 0x100000              # status: capabilities list
    jz .Lno_capability
    lea eax, [rdi+0x34]
    call pci_read
    mov ebx, 48                     # as many as fit: a loop in the list must not be one here
.Lcapability:
    and eax, 0xFC
    jz .Lno_capability
    add eax, edi
    push rax
    call pci_read
    mov edx, eax
    and edx, ecx
    cmp edx, esi
    je .Lcapability_found
    shr eax, 8
    add rsp, 8
    dec ebx
    jnz .Lcapability
.Lno_capability:
    xor eax, eax
    pop rbx
    ret
.Lcapability_found:
    pop rax
    pop rbx
    ret
