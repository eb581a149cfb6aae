        .include "common.inc"

test:   mov     dword ptr [handlers + 13 * 4], offset expected
        push    USER_DATA
        push    offset user_stack_top
        push    2
        push    USER_CODE
        push    offset user
        iretq
user:   wbinvd                                  # privileged: #GP(0) in ring 3
        ud2                                     # it was executed
