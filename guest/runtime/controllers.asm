# Controllers: 8259 remapped and masked, local APIC on, IO APIC masked, timers quiet, whatever ran before.

.code64

# silence_8259: both chips initialised (base 20h and 28h, cascade on IR2), all inputs masked, all edge-triggered.
# clobbers: AL. 8259A datasheet, "Initialization Command Words".
silence_8259:
    mov al, 0x11                    # ICW1: edge, cascade, ICW4 follows
    out 0x20, al
    out 0xA0, al
    mov al, 0x20                    # ICW2: vector base
    out 0x21, al
    mov al, 0x28
    out 0xA1, al
    mov al, 4                       # ICW3: slave on IR2
    out 0x21, al
    mov al, 2
    out 0xA1, al
    mov al, 1                       # ICW4: 8086 mode
    out 0x21, al
    out 0xA1, al
    mov al, 0xFF                    # OCW1: all masked
    out 0x21, al
    out 0xA1, al
    xor eax, eax                    # ELCR: all edge
    mov edx, 0x4D0
    out dx, al
    inc edx
    out dx, al
    ret

# enable_local_apic: xAPIC mode at its default base, software-enabled, LINT1 = NMI, all else masked, nothing in service.
# Logical ID: bit n of the flat model for the processor whose APIC ID is n.
# clobbers: RAX, RCX, RDX, RDI. SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
enable_local_apic:
    mov ecx, 0x1B                   # IA32_APIC_BASE
    rdmsr
    test eax, 0x400                 # x2APIC: only by way of disabled back to xAPIC
    jz .Lxapic
    and eax, 0x100
    or eax, 0xFEE00000
    xor edx, edx
    wrmsr
.Lxapic:
    and eax, 0x100                  # keep BSP
    or eax, 0xFEE00800
    xor edx, edx
    wrmsr
    mov edi, 0xFEE00000
    mov dword ptr [rdi+0xF0], 0x100+SPURIOUS_VECTOR
    mov dword ptr [rdi+0x80], 0     # TPR
    mov dword ptr [rdi+0x320], 0x10000
    mov dword ptr [rdi+0x380], 0    # timer stopped
    mov dword ptr [rdi+0x3E0], 0xB  # divide by 1
    mov dword ptr [rdi+0x330], 0x10000
    mov dword ptr [rdi+0x340], 0x10000
    mov dword ptr [rdi+0x350], 0x10700
    mov dword ptr [rdi+0x360], 0x400
    mov dword ptr [rdi+0x370], 0x10000
    mov dword ptr [rdi+0xE0], 0xFFFFFFFF
    mov ecx, dword ptr [rdi+0x20]
    shr ecx, 24
    mov eax, 0x01000000
    shl eax, cl
    mov dword ptr [rdi+0xD0], eax
    mov dword ptr [rdi+0x280], 0    # ESR: written to be cleared
    mov dword ptr [rdi+0x280], 0
    mov ecx, 256                    # acknowledge what firmware may have left in service
.Lservice:
    mov eax, dword ptr [rdi+0x100]
    or eax, dword ptr [rdi+0x110]
    or eax, dword ptr [rdi+0x120]
    or eax, dword ptr [rdi+0x130]
    or eax, dword ptr [rdi+0x140]
    or eax, dword ptr [rdi+0x150]
    or eax, dword ptr [rdi+0x160]
    or eax, dword ptr [rdi+0x170]
    jz .Lidle
    mov dword ptr [rdi+0xB0], 0     # EOI
    dec ecx
    jnz .Lservice
.Lidle:
    ret

# mask_io_apic: every redirection entry masked, all other fields zero.
# clobbers: RAX, RCX, RDX, RDI. 82093AA datasheet, "I/O Redirection Table Registers".
mask_io_apic:
    mov edi, 0xFEC00000
    mov dword ptr [rdi], 1          # version register
    mov ecx, dword ptr [rdi+0x10]
    shr ecx, 16
    and ecx, 0xFF                   # maximum redirection entry
    mov edx, 0x10
.Lentry:
    mov dword ptr [rdi], edx
    mov dword ptr [rdi+0x10], 0x10000
    inc edx
    mov dword ptr [rdi], edx
    mov dword ptr [rdi+0x10], 0
    inc edx
    dec ecx
    jns .Lentry
    ret

# postpone_8254: channel 0 counts 55 ms in mode 0: no edge comes before, and whatever it was doing has reached the 8259.
# clobbers: RAX. 8254 datasheet, "Mode 0: Interrupt on Terminal Count".
postpone_8254:
    mov al, 0x30
    out 0x43, al
    xor eax, eax
    out 0x40, al
    out 0x40, al
    ret

# silence_8254: OUT of channel 0 goes high once, now, and never moves again: mode 0 at its terminal count.
# Not mode 1, which needs a gate edge on the chip but counts at once in QEMU and raises OUT when it is through.
# One that is there already stays as it is. In real time QEMU moves the line some time after OUT: the edge is waited for at
# the 8259, or it would come after a later ICW1. (Where IRR already has one that was not taken, this one is not seen.)
# KVM's own 8254, known by its IO APIC's version, reaches the IO APIC still later than the 8259, by a thread of its own. There
# mode 5 is silent, as on the chip, where only a gate edge starts it; and a load in that mode waits for the thread.
# clobbers: RAX, RCX. 8254 datasheet, "Mode 0: Interrupt on Terminal Count", "Mode 5: Hardware Triggered Strobe".
silence_8254:
    mov ecx, 0xFEC00000             # IO APIC: its index stays as it was
    push rdx
    mov edx, dword ptr [rcx]
    mov dword ptr [rcx], 1          # version register
    mov al, byte ptr [rcx+0x10]
    mov dword ptr [rcx], edx
    pop rdx
    cmp al, 0x11
    jne .Lmode0
    mov al, 0x3A
    out 0x43, al
    mov al, 1
    out 0x40, al
    xor eax, eax
    out 0x40, al
    ret
.Lmode0:
    mov al, 0xE2                    # read-back: status of channel 0
    out 0x43, al
    in al, 0x40
    and al, 0xCE
    cmp al, 0x80                    # OUT high, count loaded, mode 0
    je .Lrest
    mov al, 0x30
    out 0x43, al
    mov al, 1
    out 0x40, al
    xor eax, eax
    out 0x40, al
    mov ecx, 0x10000                # some microseconds at most; no chip reads as FFh
.Lterminal:
    mov al, 0xE2                    # read-back: status of channel 0
    out 0x43, al
    in al, 0x40
    test al, al
    js .Lsilent                     # OUT is high
    dec ecx
    jnz .Lterminal
.Lsilent:
    mov al, 0x0A                    # OCW3: read IRR
    out 0x20, al
    mov ecx, 0x2000000
.Ledge:
    test ecx, 0xFFF                 # not at every turn: port accesses in a row keep QEMU's own thread from its timers
    jnz .Lturn
    in al, 0x20
    test al, 1
    jnz .Lrest
.Lturn:
    dec ecx
    jnz .Ledge
.Lrest:
    ret

# silence_timers: 8254 channel 0 at rest, channels 1 and 2 in mode 0 without a count (a reset leaves them as they were), speaker
# off, HPET halted with all comparators off, RTC interrupts off and acknowledged, COM1's interrupts off.
# clobbers: RAX, RCX, RDX, RDI.
silence_timers:
    call silence_8254
    mov al, 0x70
    out 0x43, al
    mov al, 0xB0
    out 0x43, al
    in al, 0x61
    and al, 0xFC
    out 0x61, al
    call hpet_present
    jz .Lrtc
    mov qword ptr [rdi+0x10], 0     # halt, no legacy replacement
    mov rcx, qword ptr [rdi]
    shr ecx, 8
    and ecx, 0x1F                   # number of the last comparator
    mov edx, 0x100
.Lcomparator:
    mov qword ptr [rdi+rdx], 0
    mov qword ptr [rdi+rdx+0x10], 0 # FSB route, which a reset of QEMU leaves
    add edx, 0x20
    dec ecx
    jns .Lcomparator
    mov qword ptr [rdi+0x20], -1    # interrupt status: write 1 to clear
    mov qword ptr [rdi+0xF0], 0
.Lrtc:
    mov al, 0x0B
    out 0x70, al
    in al, 0x71
    and al, 7                       # keep data mode, hour format, daylight saving; SET and all enables off
    mov ah, al
    mov al, 0x0B
    out 0x70, al
    mov al, ah
    out 0x71, al
    mov al, 0x0A
    out 0x70, al
    mov al, 0x26                    # 32.768 kHz time base, 1024 Hz
    out 0x71, al
    mov al, 0x0C                    # reading register C clears its flags
    out 0x70, al
    in al, 0x71
    mov edx, 0x3F9                  # COM1 interrupt enable
    xor eax, eax
    out dx, al
    mov edx, 0x3FA                  # FIFOs on and empty
    mov al, 7
    out dx, al
    mov edx, 0x3FB                  # 8 bits, no parity, one stop bit
    mov al, 3
    out dx, al
    ret

# hpet_present: ZF clear if an HPET answers. out: RDI = its base. clobbers: EAX.
# IA-PC HPET 1.0a, "General Capabilities and ID Register": VENDOR_ID is valid in every HPET.
hpet_present:
    mov edi, 0xFED00000
    mov eax, dword ptr [rdi]
    shr eax, 16
    cmp eax, 0xFFFF
    je .Labsent
    test eax, eax
    ret
.Labsent:
    xor eax, eax
    ret
