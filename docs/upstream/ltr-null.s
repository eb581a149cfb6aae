        .include "common.inc"

test:   mov     dword ptr [handlers + 13 * 4], offset expected
        xor     eax, eax
        ltr     ax                              # a null selector: #GP(0)
        jmp     deviates
