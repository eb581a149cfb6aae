        .include "common.inc"

        .set    HPET, 0xFED00000
        .set    COUNTER, 0xF0
        .set    STATUS, 0x20
        .set    PIN, 20

        .macro  hpet register, value
        mov     dword ptr [rbx + \register], \value
        .endm

# Timers 0 and 1, both level-triggered, interrupt through input 20 of the IO APIC. Each interrupt clears the status bit of
# one timer, the first that is set.
test:   mov     dword ptr [handlers + 0x51 * 4], offset came
        mov     eax, 0xFEE000F0                 # spurious-interrupt vector register: enabled
        mov     dword ptr [rax], 0x1FF
        mov     ebx, 0xFEC00000                 # IO APIC: input 20 is level-triggered, vector 51h, to APIC 0
        mov     dword ptr [rbx], 0x10 + 2 * PIN + 1
        mov     dword ptr [rbx + 0x10], 0
        mov     dword ptr [rbx], 0x10 + 2 * PIN
        mov     dword ptr [rbx + 0x10], 0x8051
        mov     ebx, offset HPET
        hpet    0x10, 0                         # stopped
        hpet    COUNTER, 0
        hpet    COUNTER + 4, 0
        hpet    0x100, (PIN << 9 | 6)           # Tn_INT_ROUTE, Tn_INT_ENB, Tn_INT_TYPE: level
        hpet    0x104, 0
        hpet    0x108, 1000
        hpet    0x10C, 0
        hpet    0x120, (PIN << 9 | 6)
        hpet    0x124, 0
        hpet    0x128, 1000
        hpet    0x12C, 0
        hpet    0x10, 1
1:      mov     eax, dword ptr [rbx + STATUS]   # until both bits are set
        and     eax, 3
        cmp     eax, 3
        jne     1b
        sti
2:      cmp     dword ptr [rbx + COUNTER], 10000000     # 100 ms
        jb      2b
        jmp     deviates                        # the second interrupt did not come
came:   mov     eax, dword ptr [rbx + STATUS]
        neg     eax
        and     eax, dword ptr [rbx + STATUS]   # the lowest bit that is set
        jz      deviates
        mov     dword ptr [rbx + STATUS], eax
        mov     edx, 0xFEE000B0                 # EOI
        mov     dword ptr [rdx], 0
        inc     dword ptr [count]
        cmp     dword ptr [count], 2
        je      expected
        iretq

        .bss
        .balign 4
count:  .skip   4
