# Entry: from a loader's 32-bit protected mode to long mode.
#
# Boot paths meet here: the ROM (EAX = BOOT_ROM), a multiboot loader (EAX = 2BADB002h, EBX = information structure)
# and a PVH loader. Paging is off, segments are flat, nothing else is taken for granted.
# Multiboot Specification 0.6.96, "OS image format" and "Machine state".

.code32

multiboot_header:
    .long 0x1BADB002                # magic
    .long 0x00010003                # page-aligned modules, memory map, address fields valid
    .long 0xE4514FFB                # checksum: the three sum to zero
    .long multiboot_header          # header_addr
    .long RUNTIME                   # load_addr
    .long 0                         # load_end_addr: the whole file
    .long 0                         # bss_end_addr: none, the runtime clears its own data
    .long entry32                   # entry_addr

# entry_pvh: where a PVH loader enters (EBX = start information). in, out: as entry32.
# Xen's "x86/HVM direct boot ABI": EAX is undefined, so the path names itself here.
entry_pvh:
    mov eax, BOOT_PVH

# entry32: prepare memory, enter long mode.
# in: EAX boot magic, EBX loader information. out: never returns. Goes to entry64 on processor 0's stack.
entry32:
    cli
    cld
    mov esp, STACKS+STACK_SIZE
    mov ebp, eax
    in al, 0x92                     # A20 by the fast gate; bit 0 would reset the machine
    or al, 2
    and al, 0xFE
    out 0x92, al
    mov edi, DATA
    mov ecx, DATA_ZEROED_END-DATA
    call zero
    mov dword ptr [MAILBOX+MB_BOOT_MAGIC], ebp
    mov dword ptr [MAILBOX+MB_BOOT_INFO], ebx
    mov eax, dword ptr [PARAMETERS+PARAM_RUN_ID]
    mov dword ptr [MAILBOX+MB_RUN_ID], eax
    call build_page_tables
    mov esi, gdt_template
    mov edi, GDT
    mov ecx, (gdt_template_end-gdt_template)/4
    rep movsd
    lgdt [gdt_pointer]
    call enter_long_mode
    jmp SEL_CODE:entry64

# zero: ECX bytes from EDI on, a multiple of 32. An emulator takes as long for each turn of a string instruction as for
# one of this loop. in: EDI, ECX. out: EDI behind them. clobbers: EAX, ECX.
zero:
    xor eax, eax
.Lzero:
    mov dword ptr [edi], eax
    mov dword ptr [edi+4], eax
    mov dword ptr [edi+8], eax
    mov dword ptr [edi+12], eax
    mov dword ptr [edi+16], eax
    mov dword ptr [edi+20], eax
    mov dword ptr [edi+24], eax
    mov dword ptr [edi+28], eax
    add edi, 32
    sub ecx, 32
    jnz .Lzero
    ret

# enter_long_mode: paging and long mode on; the caller's next far jump makes it 64-bit.
# in: page tables built, GDT loaded. out: compatibility mode. clobbers: EAX, ECX, EDX.
# SDM vol. 3A, "Initializing IA-32e Mode".
enter_long_mode:
    mov eax, 0x620                  # CR4: PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, PAGE_TABLES
    mov cr3, eax
    mov ecx, 0xC0000080             # IA32_EFER
    rdmsr
    or eax, 0x900                   # LME, NXE
    wrmsr
    mov eax, 0x80010033             # CR0: PG, WP, NE, ET, MP, PE; caches on
    mov cr0, eax
    ret

# build_page_tables: 4 GiB one to one, thrice: at 0 (supervisor), at USER_ALIAS (user) and at HIGH_ALIAS (supervisor).
# The page window and the stacks have 4 KiB pages, all else 2 MiB pages; the pages below stacks are not present. The
# fourth GiB, where the devices are, is uncached.
# in: nothing. out: tables at PAGE_TABLES. clobbers: EAX, ECX, EDX, EDI.
build_page_tables:
    mov edi, PAGE_TABLES
    mov ecx, 0x2000                 # PML4 and page-directory-pointer table
    call zero
    mov eax, PAGE_TABLES+0x1003     # present, writable
    mov dword ptr [PAGE_TABLES], eax
    mov dword ptr [PAGE_TABLES+256*8], eax
    or eax, 4                       # user: the supervisor copies above refuse it at this level alone
    mov dword ptr [PAGE_TABLES+8], eax
    mov eax, PAGE_TABLES+0x2007
    mov edi, PAGE_TABLES+0x1000
    mov ecx, 4
.Lpdpt:
    mov dword ptr [edi], eax
    add eax, 0x1000
    add edi, 8
    dec ecx
    jnz .Lpdpt
    mov eax, 0x87                   # present, writable, user, 2 MiB
    mov edi, PAGE_TABLES+0x2000
    mov ecx, 3*512
    mov edx, 0x200000
    call map_run
    mov eax, 0xC000009F             # and PWT, PCD
    mov ecx, 512
    call map_run
    mov dword ptr [PAGE_TABLES+0x2000+(STACKS>>21)*8], PAGE_TABLES+0x7007
    mov eax, (STACKS&0xFFE00000)+7
    mov edi, PAGE_TABLES+0x7000
    mov ecx, 512
    mov edx, 0x1000
    call map_run
    mov edi, PAGE_TABLES+0x7000+((STACKS>>12)&511)*8
    mov ecx, CPUS*2
.Lguard:                            # two for each processor, 64 KiB apart
    mov dword ptr [edi], 0
    add edi, 16*8
    dec ecx
    jnz .Lguard
    mov dword ptr [PAGE_TABLES+0x2000+(PAGE_WINDOW>>21)*8], PAGE_TABLES+0x6007
    mov eax, PAGE_WINDOW+7
    mov edi, PAGE_TABLES+0x6000
    mov ecx, 512

# map_run: ECX entries of a paging structure from EDI on, a multiple of 4: the first is EAX, each next one EDX more.
# in: EAX, ECX, EDX, EDI. out: EDI behind them. clobbers: EAX, ECX.
map_run:
    mov dword ptr [edi], eax
    mov dword ptr [edi+4], 0
    add eax, edx
    mov dword ptr [edi+8], eax
    mov dword ptr [edi+12], 0
    add eax, edx
    mov dword ptr [edi+16], eax
    mov dword ptr [edi+20], 0
    add eax, edx
    mov dword ptr [edi+24], eax
    mov dword ptr [edi+28], 0
    add eax, edx
    add edi, 32
    sub ecx, 4
    jnz map_run
    ret

.balign 8
gdt_template:                       # selectors: SEL_… in harness/abi.py
    .quad 0
    .quad 0x00AF9B000000FFFF        # 08: 64-bit code, DPL 0
    .quad 0x00CF93000000FFFF        # 10: data, DPL 0
    .quad 0x00CF9B000000FFFF        # 18: 32-bit code, DPL 0
    .quad 0x000093000000FFFF        # 20: 16-bit data
    .quad 0x00CFFB000000FFFF        # 28: 32-bit code, DPL 3
    .quad 0x00CFF3000000FFFF        # 30: data, DPL 3
    .quad 0x00AFFB000000FFFF        # 38: 64-bit code, DPL 3
gdt_template_end:

    .word 0
gdt_pointer:                        # base of 32 bits from 16- and 32-bit code, of 64 bits from 64-bit code
    .word GDT_SIZE-1
    .quad GDT
.balign 8
    .zero 6
idt_pointer:
    .word 0xFFF
    .quad IDT
