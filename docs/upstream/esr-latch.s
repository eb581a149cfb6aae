        .include "common.inc"

        .set    ESR, 0xFEE00280

test:   mov     ebx, offset ESR
        mov     dword ptr [rbx], 0              # twice: what was there is gone
        mov     dword ptr [rbx], 0
        mov     eax, 0xFEE003F0                 # no register has this offset: an error
        mov     eax, dword ptr [rax]
        cmp     dword ptr [rbx], 0              # no write has latched it yet
        jne     deviates
        mov     dword ptr [rbx], 0
        test    dword ptr [rbx], 0x80           # Illegal Register Address
        jz      deviates
        mov     dword ptr [rbx], 0              # no error since the last write
        cmp     dword ptr [rbx], 0
        jne     deviates
        jmp     expected
