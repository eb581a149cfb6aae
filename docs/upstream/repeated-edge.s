        .include "common.inc"

        .macro  cmos register, value
        mov     al, \register
        out     0x70, al
        mov     al, \value
        out     0x71, al
        .endm

# The periodic interrupt of the RTC arrives at input 8 of the IO APIC. Register C is not read, so that IRQF and with it the
# line stay high: one edge.
test:   mov     dword ptr [handlers + 0x51 * 4], offset came
        mov     eax, 0xFEE000F0                 # spurious-interrupt vector register: enabled
        mov     dword ptr [rax], 0x1FF
        mov     ebx, 0xFEC00000                 # IO APIC: input 8 is edge-triggered, vector 51h, to APIC 0
        mov     dword ptr [rbx], 0x21
        mov     dword ptr [rbx + 0x10], 0
        mov     dword ptr [rbx], 0x20
        mov     dword ptr [rbx + 0x10], 0x51
        cmos    0x0A, 0x26                      # divider on, 1024 Hz
        cmos    0x0B, 0x02                      # 24 hours, no interrupt
        mov     al, 0x0C
        out     0x70, al
        in      al, 0x71                        # whatever was there is acknowledged
        cmos    0x0B, 0x42                      # PIE
        sti
1:      cmp     dword ptr [count], 0
        je      1b
        in      al, 0x61                        # counter 2 of the 8254 measures 50 ms
        and     al, 0xFC
        or      al, 1
        out     0x61, al
        mov     al, 0xB0                        # mode 0: OUT rises when the count is over
        out     0x43, al
        mov     al, 0x0C                        # 59,660 clocks
        out     0x42, al
        mov     al, 0xE9
        out     0x42, al
2:      in      al, 0x61
        test    al, 0x20
        jz      2b
        cmp     dword ptr [count], 1
        jne     deviates
        jmp     expected
came:   inc     dword ptr [count]
        push    rdx
        mov     edx, 0xFEE000B0                 # EOI
        mov     dword ptr [rdx], 0
        pop     rdx
        iretq

        .bss
        .balign 4
count:  .skip   4
