        .include "common.inc"

test:   mov     dword ptr [handlers + 13 * 4], offset expected
        mov     rax, cr4
        bts     rax, 15                         # reserved
        mov     cr4, rax                        # #GP(0); TCG executes it again and again
        jmp     deviates
