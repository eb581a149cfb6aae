        .include "common.inc"

test:   mov     dword ptr [handlers + 13 * 4], offset fault
        push    DATA
        push    offset stack_top - 256
        push    2
        push    CODE
        movabs  rax, 0x800000000000
        push    rax
culprit:
        iretq
fault:  cmp     qword ptr [rsp + 8], offset culprit     # the RIP that #GP(0) pushed: that of IRETQ
        jne     deviates
        jmp     expected
