        .include "common.inc"

        .macro  outb port, value
        mov     al, \value
        .if     \port > 0xFF
        mov     edx, \port
        out     dx, al
        .else
        out     \port, al
        .endif
        .endm

# Counter 0 of the 8254 in mode 0 holds IRQ 0 high once its count is over.
test:   outb    0x4D0, 0                        # ELCR: all edges
        outb    0x20, 0x19                      # ICW1 with LTIM, single, ICW4 follows
        outb    0x20, 0x19
        outb    0x21, 0x20                      # ICW2
        outb    0x21, 1                         # ICW4
        outb    0x21, 0xFE                      # only IRQ 0
        outb    0x43, 0x30                      # counter 0, mode 0: OUT low until the count is over, then high
        outb    0x40, 16
        outb    0x40, 0
1:      outb    0x20, 0x0A                      # read the IRR until the edge is there
        in      al, 0x20
        test    al, 1
        jz      1b
        outb    0x20, 0x0C                      # poll: the edge is acknowledged
        in      al, 0x20
        cmp     al, 0x80
        jne     deviates
        outb    0x20, 0x20                      # EOI; the line is still high, and no edge follows
        outb    0x20, 0x0A                      # read the IRR
        in      al, 0x20
        test    al, 1
        jnz     deviates
        jmp     expected
