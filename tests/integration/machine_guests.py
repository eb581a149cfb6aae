"""Small guests for the tests of harness.qemu: ROMs of 64 KiB, written out here so that they depend on no runtime."""

from __future__ import annotations

from typing import Literal

from harness.assembly import assemble, source_from_text

ROM_BYTES = 0x10000
LONG_MODE_AT = 0xF1000
PML4, PDPT, IDT, PD = 0x10000, 0x11000, 0x12000, 0x14000
HANDLER_VECTOR = 0x61


def code(text: str, address: int, mode: Literal[16, 32, 64]) -> bytes:
    return assemble(source_from_text(text, "guest"), address=address, mode=mode).code


def rom(real_mode: str, more: dict[int, bytes] | None = None) -> bytes:
    """A ROM whose real-mode code is at F000:0000; `more` by offset."""
    image = bytearray(b"\xf4" * ROM_BYTES)
    pieces = {0: code(real_mode, 0, 16), 0xFFF0: bytes([0xEA, 0x00, 0x00, 0x00, 0xF0])} | (more or {})
    for offset, data in pieces.items():
        image[offset : offset + len(data)] = data
    return bytes(image)


SIGNAL = """
    mov dx, 0x505
    mov al, 1
    out dx, al
"""
HALT = """
stop_here:
    cli
    hlt
    jmp stop_here
"""

SIGNALLER = rom(SIGNAL + HALT)
SILENT = rom(HALT)
RESETS_BY_CF9 = rom("mov dx, 0xcf9\n mov al, 6\n out dx, al\n" + HALT)
# The limit of 0 leaves no room for any gate: the exception, its #GP and the #DF all fault.
TRIPLE_FAULTS = rom("lidt cs:[idtr]\n int3\n" + HALT + ".balign 8\nidtr: .byte 0,0,0,0,0,0\n")
EXITS_WITH_7 = rom("mov dx, 0xf4\n mov al, 3\n out dx, al\n" + HALT)
# Copies the byte at 0:8000h to 0:8001h, adds one to the dword at 0:8004h, reports it, and signals.
COPIES = rom(
    "xor ax, ax\n mov ds, ax\n mov al, byte ptr [0x8000]\n mov byte ptr [0x8001], al\n inc dword ptr [0x8004]\n"
    + SIGNAL
    + HALT
)
# Counts its boots in CMOS-free memory at 0:8000h and resets itself until there were three.
BOOTS_THREE_TIMES = rom(
    "xor ax, ax\n mov ds, ax\n inc byte ptr [0x8000]\n cmp byte ptr [0x8000], 3\n je done\n"
    "mov dx, 0xcf9\n mov al, 6\n out dx, al\n hlt\ndone:\n" + SIGNAL + HALT
)
# Signals, and when resumed signals again, each time with the step in BX.
TWO_CHECKPOINTS = rom("mov bx, 1\n" + SIGNAL + "mov bx, 2\n" + SIGNAL + HALT)

_ATA = """
    mov dx, 0x1f6
    mov al, 0xe0
    out dx, al
    mov dx, 0x1f2
    mov al, 1
    out dx, al
    mov dx, 0x1f3
    mov al, {sector}
    out dx, al
    xor al, al
    mov dx, 0x1f4
    out dx, al
    mov dx, 0x1f5
    out dx, al
    mov dx, 0x1f7
    mov al, {command}
    out dx, al
wait{sector}:
    in al, dx
    and al, 0x88
    cmp al, 8
    jne wait{sector}
    mov dx, 0x1f0
    mov cx, 256
"""
# ATA PIO on the primary master: sector 0 to memory at 0:9000h, and from there to sector 1.
COPIES_A_SECTOR = rom(
    "cld\n xor ax, ax\n mov ds, ax\n mov es, ax\n mov di, 0x9000\n mov si, 0x9000\n"
    + _ATA.format(sector=0, command=0x20)
    + "rep insw\n"
    + _ATA.format(sector=1, command=0x30)
    + "rep outsw\n mov dx, 0x1f7\nbusy:\n in al, dx\n test al, 0x80\n jnz busy\n"
    + SIGNAL
    + HALT
)
# Gives the ICH9's power management its ports (bus 0, device 31, function 0, PMBASE 40h, ACPI_CNTL 44h), then S5.
POWERS_OFF = rom(
    "mov dx, 0xcf8\n mov eax, 0x8000f840\n out dx, eax\n mov dx, 0xcfc\n mov eax, 0x601\n out dx, eax\n"
    "mov dx, 0xcf8\n mov eax, 0x8000f844\n out dx, eax\n mov dx, 0xcfc\n mov al, 0x80\n out dx, al\n"
    "mov dx, 0x604\n mov ax, 0x2000\n out dx, ax\n" + HALT
)

_SEND = """
    mov dx, 0x3fd
{label}:
    in al, dx
    test al, 0x20
    jz {label}
    mov dx, 0x3f8
    mov al, {value}
    out dx, al
"""


def talk(text: bytes) -> str:
    return "".join(_SEND.format(label=f"wait{i}", value=byte) for i, byte in enumerate(text))


SAYS_HELLO = rom(talk(b"hello, world\n") + SIGNAL + HALT)
FLOODS = rom("again:\n" + _SEND.format(label="wait0", value=ord("x")) + "    jmp again\n")
# Unpolled: bytes as fast as the port takes them.
FLOODS_FAST = rom("mov dx, 0x3f8\n mov al, 0x79\nagain:\n out dx, al\n jmp again\n")
# Sends each byte back with one added; signals at 'Q'.
ECHOES = rom(
    "again:\n mov dx, 0x3fd\nready:\n in al, dx\n test al, 1\n jz ready\n mov dx, 0x3f8\n in al, dx\n mov bl, al\n"
    "mov dx, 0x3fd\nempty:\n in al, dx\n test al, 0x20\n jz empty\n mov dx, 0x3f8\n mov al, bl\n inc al\n out dx, al\n"
    "cmp bl, 0x51\n jne again\n" + SIGNAL + HALT
)

# Through 32-bit protected mode: a software KVM does not take the direct way from real to long mode.
_TO_PROTECTED_MODE = """
    cli
    lgdtd cs:[gdtr]
    mov eax, 0x11
    mov cr0, eax
    .byte 0x66, 0xea  # jmp far 18h:f0800h
    .long 0xf0800
    .short 0x18
.balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff  # accessed: the ROM cannot be written
gdtr:
    .short 31
    .long gdt + 0xf0000
"""
_TO_LONG_MODE = """
    mov eax, 0xa0
    mov cr4, eax
    mov eax, 0x10000
    mov cr3, eax
    mov ecx, 0xc0000080
    mov eax, 0x100
    xor edx, edx
    wrmsr
    mov eax, 0x80000011
    mov cr0, eax
    .byte 0xea  # jmp far 8:f1000h
    .long 0xf1000
    .short 8
"""
# Leaves every controller in a state that no reset value equals, takes one interrupt, and signals in its handler.
_BUSY = """
    mov eax, 0x10
    mov ss, eax
    mov ds, eax
    mov rsp, 0x20000
    mov r14, 0x20800
    mov word ptr [r14], 0xfff
    mov qword ptr [r14+2], 0x12000
    lidt [r14]
    mov rbx, 0xfee00000
    mov dword ptr [rbx+0xf0], 0x1ff
    mov dword ptr [rbx+0x3e0], 0xb
    mov dword ptr [rbx+0x320], 0x20041
    mov dword ptr [rbx+0x350], 0x8700
    mov dword ptr [rbx+0x360], 0x400
    mov dword ptr [rbx+0x370], 0xfe
    mov dword ptr [rbx+0xd0], 0x02000000
    mov r8, 0xfec00000
    mov dword ptr [r8], 0x18
    mov dword ptr [r8+0x10], 0x8051
    mov dword ptr [r8], 0x1a
    mov dword ptr [r8+0x10], 0x1a955
    mov dword ptr [r8], 0x1b
    mov dword ptr [r8+0x10], 0x7f000000
    mov al, 0x11
    out 0x20, al
    out 0xa0, al
    mov al, 0x20
    out 0x21, al
    mov al, 0x28
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, 0xfb
    out 0x21, al
    mov al, 0xa5
    out 0xa1, al
    mov al, 0x0b
    out 0x20, al
    mov dx, 0x4d1
    mov al, 0x0c
    out dx, al
    mov dx, 0x3fc
    mov al, 8
    out dx, al
    mov dx, 0x3f9
    mov al, 2
    out dx, al
    mov dword ptr [rbx+0x300], 0x44041
    mov dword ptr [rbx+0x300], 0x44061
    mov rax, 0x1111111111111111
    mov rcx, 0x3333333333333333
    mov rsi, 0x5555555555555555
    mov rdi, 0x6666666666666666
    mov rbp, 0x7777777777777777
    mov r8, 0x8888888888888888
    mov r9, 0x9999999999999999
    mov r10, 0xaaaaaaaaaaaaaaaa
    mov r11, 0xbbbbbbbbbbbbbbbb
    mov r12, 0xcccccccccccccccc
    mov r13, 0xdddddddddddddddd
    mov r14, 0xeeeeeeeeeeeeeeee
    mov r15, 0xffffffffffffffff
    sti
    nop
spin:
    pause
    jmp spin
"""
_HANDLER_AT = LONG_MODE_AT + 0x800
BUSY = rom(
    _TO_PROTECTED_MODE,
    {
        0x800: code(_TO_LONG_MODE, 0xF0800, 32),
        0x1000: code(_BUSY, LONG_MODE_AT, 64),
        0x1800: code(SIGNAL + HALT, _HANDLER_AT, 64),
    },
)


def _gate(handler: int) -> bytes:
    low = handler & 0xFFFF | 8 << 16 | 0x8E00 << 32 | (handler >> 16 & 0xFFFF) << 48
    return low.to_bytes(8, "little") + (handler >> 32).to_bytes(8, "little")


def long_mode_tables() -> list[tuple[int, bytes]]:
    """What BUSY needs in memory: 4 GiB identity-mapped by pages of 2 MiB, and one gate."""
    return [
        (PML4, (PDPT | 3).to_bytes(8, "little")),
        (PDPT, b"".join((PD + 0x1000 * n | 3).to_bytes(8, "little") for n in range(4))),
        (PD, b"".join((n << 21 | 0x83).to_bytes(8, "little") for n in range(2048))),
        (IDT + 16 * HANDLER_VECTOR, _gate(_HANDLER_AT)),
    ]
