        .include "common.inc"

test:   mov     dword ptr [handlers + 0x51 * 4], offset came
        mov     eax, 0xFEE000F0                 # spurious-interrupt vector register: enabled
        mov     dword ptr [rax], 0x1FF
        mov     eax, 0xFEE00300                 # interrupt command: self, fixed, 51h
        sti
        mov     dword ptr [rax], 0x44051
1:      jmp     1b
came:   bt      dword ptr [rsp + 16], 16        # RF in the pushed RFLAGS: clear between two instructions
        jc      deviates
        jmp     expected
