        .include "common.inc"

test:   mov     dword ptr [handlers + 13 * 4], offset expected
        mov     rax, cr4
        btr     rax, 5                          # PAE, which long mode needs: #GP(0)
        mov     cr4, rax
        jmp     deviates
