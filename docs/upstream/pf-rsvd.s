        .include "common.inc"

test:   mov     dword ptr [handlers + 14 * 4], offset fault
        mov     eax, offset page_directory      # the entry of 2 MiB at 600000h: bit 51 is above any MAXPHYADDR of TCG
        bts     qword ptr [rax + 3 * 8], 51
        mov     rax, cr3
        mov     cr3, rax
        mov     al, byte ptr [0x600000]
        jmp     deviates
fault:  cmp     dword ptr [rsp], 9              # P = 1, RSVD = 1
        jne     deviates
        jmp     expected
