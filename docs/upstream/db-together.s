        .include "common.inc"

test:   mov     dword ptr [handlers + 1 * 4], offset debug
        mov     eax, offset target
        mov     dr0, rax
        mov     eax, 0xFFFF0FF0                 # DR6: no condition
        mov     dr6, rax
        mov     eax, 0xD0001                    # DR7: L0, a write of 4 bytes
        mov     dr7, rax
        pushfq
        or      dword ptr [rsp], 1 << 8         # TF: a trap after the instruction behind POPFQ
        popfq
        mov     dword ptr [target], ebx
        nop
        cmp     dword ptr [count], 1            # one exception for both conditions
        jne     deviates
        jmp     expected
debug:  inc     dword ptr [count]
        mov     rax, dr6
        and     eax, 0x400F
        cmp     eax, 0x4001                     # BS and B0
        jne     deviates
        and     dword ptr [rsp + 16], ~(1 << 8) # no further step
        iretq

        .bss
        .balign 4
target: .skip   4
count:  .skip   4
