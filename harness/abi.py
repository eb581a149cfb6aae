"""The layout that guest and host share, declared once.

It feeds the assembler's constants (`constants()`), the ELF symbols of the image (`symbols()`) and the host's decoder.
Addresses are guest-physical; below 1 GiB the guest maps them one to one. Offsets and sizes are in bytes.

=====================  ==========================================================================
0x0000_8000            application-processor trampoline (SIPI vector 08h)
0x0010_0000            runtime: code and tables
0x0010_f000            parameters: what the host passes to the runtime
0x0011_0000            program: what the probe wrote
0x0020_0000            data that the runtime zeroes: mailbox, counts, values, IDT, GDT, TSS, snapshots
0x0030_0000            recorder: `RECORDS` entries, then a ring of the last `TAIL`
0x003c_0000            times of the entries: EOI and IRETQ
0x0040_0000            page tables
0x0050_0000            stacks, 128 KiB for each processor, with guard pages
0x0080_0000            page window: 2 MiB mapped with 4 KiB pages
0x00c0_0000            buffers
0x0200_0000            staging: where the host puts the image for the ROM to copy; never executed
=====================  ==========================================================================
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Final

from harness.structure import Struct

__all__ = [
    "BOOT_MULTIBOOT",
    "BOOT_PVH",
    "BOOT_ROM",
    "BUFFERS",
    "BUFFERS_END",
    "BUFFER_BLOCK",
    "CANARY",
    "CPUS",
    "HIGH_ALIAS",
    "MAILBOX",
    "MAILBOX_SEALED",
    "MAILBOX_SEALED_END",
    "NO_ERROR_CODE",
    "PAGE_WINDOW",
    "PARAMETERS",
    "PARAMETERS_STRUCT",
    "PROGRAM",
    "PROGRAM_END",
    "PROGRAM_HEADER",
    "RECORD",
    "RECORDER",
    "RECORDS",
    "RUNTIME",
    "SEALS",
    "SEALS_RANGES",
    "SNAPSHOT",
    "SNAPSHOTS",
    "SNAPSHOTS_MAX",
    "SNAPSHOT_SEALED",
    "STAGING",
    "TAIL",
    "TIME",
    "TIMES",
    "TRAMPOLINE",
    "USER_ALIAS",
    "USER_EXIT_VECTOR",
    "VALUES",
    "VALUES_MAX",
    "Flag",
    "MailboxStatus",
    "Struct",
    "canary",
    "constants",
    "symbols",
]

# --- memory map ---
TRAMPOLINE: Final = 0x8000
RUNTIME: Final = 0x10_0000
PARAMETERS: Final = 0x10_F000  # a data page between the two: neither shares one with code
PROGRAM: Final = 0x11_0000
PROGRAM_END: Final = 0x20_0000
DATA: Final = 0x20_0000
DATA_ZEROED_END: Final = 0x20_8000
MAILBOX: Final = 0x20_0000
VALUES: Final = 0x20_1000
VALUES_MAX: Final = 512
COUNTS: Final = 0x20_2000  # [cpu][vector], 32 bit each
HANDLERS: Final = 0x20_4000  # [vector], 64 bit: address of the probe's handler, or 0
PER_CPU: Final = 0x20_5000  # 256 bytes for each processor
GDT: Final = 0x20_6000
TSS: Final = 0x20_6800  # 128 bytes for each processor
NO_EOI: Final = 0x20_6C00  # [vector], 8 bit: 1 where the probe sends EOI itself
IDT: Final = 0x20_8000
SNAPSHOTS: Final = 0x21_0000
SNAPSHOT_SIZE: Final = 0x400
SNAPSHOTS_MAX: Final = 32  # slot 0 is the end of the run
CPU_SNAPSHOTS: Final = 0x21_8000  # local APIC of each other processor after its last routine
PANIC: Final = 0x21_A000
SEALS: Final = (
    0x21_C000  # CRC-32 of each snapshot, of each other processor's snapshot, of each sealed range of a buffer
)
SEALS_RANGES: Final = 40  # index of the first range's
RECORDER: Final = 0x30_0000
RECORDS: Final = 8192
TAIL: Final = 64
TIMES: Final = 0x3C_0000  # of the first RECORDS entries; outside the seals: other processors may still return
PAGE_TABLES: Final = 0x40_0000  # PML4, PDPT, 4 PDs, the page window's PT, the stacks' PT
STACKS: Final = 0x50_0000
STACK_SIZE: Final = 0x2_0000  # of each processor, from below: guard, RSP0 and IST 1-7, guard, the main stack
STACK_INNER: Final = 0x6000  # top of RSP0's stack; IST n ends n pages above
STACK_GUARDS: Final = (0x0, 0x1_0000)  # pages that are not present
STACK_RED: Final = 0x1_1000  # the main stack's last page: the recorder ends a run whose interrupts nest down to it
PAGE_WINDOW: Final = 0x80_0000
PAGE_WINDOW_SIZE: Final = 0x20_0000
BUFFERS: Final = 0xC0_0000
BUFFERS_END: Final = 0x1C0_0000
STAGING: Final = 0x200_0000
CPUS: Final = 8

# The same physical memory again: user-accessible (U/S = 1 at every level), and in the upper canonical half.
USER_ALIAS: Final = 0x80_0000_0000
HIGH_ALIAS: Final = 0xFFFF_8000_0000_0000

# --- selectors ---
SEL_CODE: Final = 0x08
SEL_DATA: Final = 0x10
SEL_CODE32: Final = 0x18
SEL_DATA16: Final = 0x20
SEL_USER_CODE32: Final = 0x28
SEL_USER_DATA: Final = 0x30
SEL_USER_CODE: Final = 0x38
SEL_TSS: Final = 0x40  # 16 bytes for each processor
SEL_SPARE: Final = 0xC0  # 16 slots of 8 bytes that a probe may fill
GDT_SIZE: Final = 0x140

USER_EXIT_VECTOR: Final = 0xFE  # DPL-3 gate through which ring-3 code returns; installed only where a probe uses ring 3
SPURIOUS_VECTOR: Final = 0xFF

CANARY: Final = 0xC0DE_CA9A_1111_0000
NO_ERROR_CODE: Final = 0xFFFF_FFFF_FFFF_FFFF
BOOT_ROM: Final = 0x4D4F_5254  # "TROM" in EAX
BOOT_MULTIBOOT: Final = 0x2BAD_B002
BOOT_PVH: Final = 0x4856_5054  # "TPVH"
MAGIC_STAGING: Final = 0x3150_4147  # first dword of the staging area
PVPANIC_PORT: Final = 0x505
ECAM_BASE: Final = 0xB000_0000  # on q35: include/hw/pci-host/q35.h
PCI_MEMORY: Final = 0xC000_0000  # where BARs go that no firmware placed
PCI_IO: Final = 0xC000
STORM_LIMIT: Final = 5000


def canary(index: int) -> int:
    """What value slot `index` holds until the guest writes it."""
    return CANARY + index


class MailboxStatus(IntEnum):
    """`MAILBOX.STATUS`: why the guest stopped."""

    BOOTING = 0
    RUNNING = 1
    CHECKPOINT = 2
    DONE = 3
    UNEXPECTED_EXCEPTION = 4
    TIMEOUT = 5
    STORM = 6
    NO_CPU = 7  # an application processor did not start
    STACK_OVERFLOW = 8  # interrupts nested until the stack was used up


class Boots(IntEnum):
    """Last dword of the staging area's header: how often the ROM boots what is staged."""

    ALWAYS = 0
    ONCE = 1
    NO_MORE = 2  # the ROM writes it over ONCE; at the next reset it signals to the host, and halts


class Flag(IntEnum):
    """Bits of a record's flags byte."""

    ERROR_CODE = 1
    IN_SERVICE = 2
    MARK = 4  # not an interrupt: the program marked a moment
    HANDLED = 8  # the probe has a handler for the vector
    IF_ON = 16  # RFLAGS.IF was 1 in the stub: the gate did not clear it


STAGING_BOOTS: Final = STAGING + 12

# Written by the host before the boot; all zero is valid.
PARAMETERS_STRUCT: Final = Struct(
    "PARAM",
    32,
    TSC_KHZ=(0, 8),  # 0: the guest calibrates against the 8254
    RUN_ID=(8, 4),  # base of the commit words: distinguishes this run's records from an earlier run's
    CPUS=(12, 4),
    HOSTED=(16, 4),  # 1: a host acts at checkpoints and resumes the guest
    PACED=(20, 4),  # 1: a device does part of its work in the host's time: virtual time must not run ahead of it
)

MAILBOX_STRUCT: Final = Struct(
    "MB",
    128,
    STATUS=(0, 4),
    SERIAL_CRC=(4, 4),
    RESUMED=(8, 4),  # written by the host: number of checkpoints that it resumed
    ONLINE=(12, 4),  # bit n: processor n runs the runtime
    # From here to SEALED_END nothing changes once the report has begun: the console prints the CRC-32 of these bytes.
    HEAD=(16, 4),  # records reserved so far
    CHECKPOINT=(20, 4),  # number of the checkpoint, from 1
    TSC_KHZ=(24, 8),
    TSC_START=(32, 8),
    STORM=(40, 4),  # vector + 1 of an interrupt storm
    WAIT_VECTOR=(44, 4),
    WAIT_COUNT=(48, 4),
    WAIT_LINE=(52, 4),  # which wait of the program timed out
    BOOT_MAGIC=(56, 4),
    RECORD_CRC=(60, 4),
    CHECKPOINTS=(64, 4),  # how many were passed
    RUN_ID=(68, 4),
    WAIT_CPU=(72, 4),
    SEALS_CRC=(76, 4),  # of the CRCs at SEALS
    BOOT_INFO=(80, 4),
    RANGES=(84, 4),  # how many ranges of buffers are sealed
)
MAILBOX_SEALED: Final = 16
MAILBOX_SEALED_END: Final = 88

RECORD: Final = Struct(
    "REC",
    88,
    COMMIT=(0, 4),  # run id + sequence number + 1, written last
    SEQ=(4, 4),
    VECTOR=(8, 1),
    FLAGS=(9, 1),
    CPU=(10, 1),
    DEPTH=(12, 4),  # handlers active on this processor before this one
    ERROR=(16, 8),
    RIP=(24, 8),
    CS=(32, 8),
    RFLAGS=(40, 8),
    RSP=(48, 8),
    SS=(56, 8),
    CR2=(64, 8),
    TSC=(72, 8),
    WAIT=(80, 8),  # where the wait that this processor was in returns to, or 0
)

# Times of one entry: TSC, or 0 where the moment has not come.
TIME: Final = Struct(
    "TIME",
    16,
    EOI=(0, 8),  # the runtime's EOI; that of a probe is not recorded
    IRETQ=(8, 8),  # before the stub's IRETQ
)

# What the common stub leaves on the stack; RDI points to it in a handler.
FRAME: Final = Struct(
    "FRAME",
    176,
    R15=(0, 8),
    R14=(8, 8),
    R13=(16, 8),
    R12=(24, 8),
    R11=(32, 8),
    R10=(40, 8),
    R9=(48, 8),
    R8=(56, 8),
    RBP=(64, 8),
    RDI=(72, 8),
    RSI=(80, 8),
    RDX=(88, 8),
    RCX=(96, 8),
    RBX=(104, 8),
    RAX=(112, 8),
    VECTOR=(120, 4),
    ENTRY=(124, 4),  # number of the recorder's entry
    ERROR=(128, 8),
    RIP=(136, 8),
    CS=(144, 8),
    RFLAGS=(152, 8),
    RSP=(160, 8),
    SS=(168, 8),
)

PANIC_STRUCT: Final = Struct(
    "PANIC", 224, FRAME=(0, 1), CR0=(176, 8), CR2=(184, 8), CR3=(192, 8), CR4=(200, 8), CPU=(208, 8)
)

PERCPU: Final = Struct(
    "PC",
    256,
    DEPTH=(0, 4),
    REPEAT=(4, 4),
    LAST_VECTOR=(8, 8),
    LAST_RIP=(16, 8),
    ARMED_LABEL=(24, 8),
    ARMED_RSP=(32, 8),
    ARMED_RFLAGS=(40, 8),
    ARMED_VECTOR=(48, 8),  # vector + 1, or 0 for any
    WORK=(56, 8),
    DONE=(64, 8),  # routines finished
    USER_RSP=(72, 8),
    USER_RETURN=(80, 8),
    WAIT=(88, 8),  # where the wait that the processor is in returns to, or 0
    OWNED=(96, 1),  # 32 bytes: bit n: the in-service bit of vector n is a delivery that was already recorded
)

PROGRAM_HEADER: Final = Struct(
    "PROG",
    64,
    ENTRY=(0, 8),
    VALUE_NAMES=(8, 8),  # table of pointers to NUL-terminated names
    VALUE_COUNT=(16, 8),
    NAME=(24, 8),
    RANGES=(32, 8),  # table of the buffers' sealed ranges: (address, size in bytes), 64 bit each
    RANGE_COUNT=(40, 8),
)

BUFFER_BLOCK: Final = 512  # bytes of a buffer that its CRC takes together

SNAPSHOT: Final = Struct(
    "SNAP",
    SNAPSHOT_SIZE,
    LAPIC=(0x000, 4),  # 64 dwords, register at offset 16*i
    IOAPIC=(0x100, 4),  # ID, version, then two dwords for each of 24 pins
    IOREGSEL=(0x1D0, 4),
    APIC_MODE=(0x1D4, 4),  # 0 disabled, 1 xAPIC, 2 x2APIC
    PIC=(0x1E0, 1),  # master IRR, ISR, IMR, slave IRR, ISR, IMR, ELCR1, ELCR2
    HPET=(0x200, 8),  # capabilities, configuration, interrupt status, main counter, 3 × (config, comparator, FSB)
    PIT=(0x270, 4),  # 3 × (status | count << 16)
    CR0=(0x280, 8),
    CR2=(0x288, 8),
    CR3=(0x290, 8),
    CR4=(0x298, 8),
    CR8=(0x2A0, 8),
    EFER=(0x2A8, 8),
    RFLAGS=(0x2B0, 8),
    IDTR_LIMIT=(0x2C6, 2),
    IDTR_BASE=(0x2C8, 8),
    GDTR_LIMIT=(0x2D6, 2),
    GDTR_BASE=(0x2D8, 8),
    TR=(0x2E0, 8),
    APIC_BASE=(0x2E8, 8),
    TSC=(0x2F0, 8),
    VALID=(0x2F8, 8),  # checkpoint number + 1 once complete
)
SNAPSHOT_SEALED: Final = 0x300  # bytes of a snapshot that its CRC covers

_STRUCTS: Final = (
    PARAMETERS_STRUCT,
    MAILBOX_STRUCT,
    RECORD,
    TIME,
    FRAME,
    PANIC_STRUCT,
    PERCPU,
    PROGRAM_HEADER,
    SNAPSHOT,
)

_REGIONS: Final = """
    BUFFERS COUNTS CPU_SNAPSHOTS GDT HANDLERS IDT MAILBOX NO_EOI PAGE_TABLES PAGE_WINDOW PANIC PARAMETERS PER_CPU
    PROGRAM RECORDER RUNTIME SEALS SNAPSHOTS STACKS STAGING TIMES TRAMPOLINE TSS VALUES
""".split()  # noqa: SIM905
_NUMBERS: Final = """
    BOOT_PVH BOOT_ROM BUFFER_BLOCK CANARY CPUS DATA DATA_ZEROED_END ECAM_BASE GDT_SIZE HIGH_ALIAS MAGIC_STAGING
    MAILBOX_SEALED MAILBOX_SEALED_END NO_ERROR_CODE PCI_IO PCI_MEMORY PVPANIC_PORT RECORDS SEALS_RANGES SEL_CODE
    SEL_CODE32 SEL_DATA SEL_DATA16 SEL_SPARE SEL_TSS SEL_USER_CODE SEL_USER_CODE32 SEL_USER_DATA SNAPSHOTS_MAX
    SNAPSHOT_SEALED SPURIOUS_VECTOR STACK_INNER STACK_RED STACK_SIZE STORM_LIMIT TAIL USER_ALIAS USER_EXIT_VECTOR
    VALUES_MAX
""".split()  # noqa: SIM905


def symbols() -> dict[str, int]:
    """Regions as the image's ELF symbols: lower-case name → guest-physical address."""
    return {name.lower(): globals()[name] for name in _REGIONS}


def constants() -> dict[str, int]:
    """Everything above as assembler constants."""
    return dict(_constants())


@cache
def _constants() -> dict[str, int]:
    found = {name: int(globals()[name]) for name in (*_REGIONS, *_NUMBERS)}
    for struct_ in _STRUCTS:
        found |= struct_.constants()
    found |= {f"STATUS_{s.name}": int(s) for s in MailboxStatus}
    found |= {f"FLAG_{f.name}": int(f) for f in Flag}
    found |= {f"BOOTS_{b.name}": int(b) for b in Boots}
    return found
