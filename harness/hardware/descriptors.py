"""Segment descriptors, gates, selectors and the 64-bit TSS.

Source: Intel 64 and IA-32 SDM vol. 3A, "Segment Descriptors", "Code- and Data-Segment Descriptor Types", "System
Descriptor Types", "64-Bit Mode IDT" and "64-Bit Task State Segment" (chapters "Protected-Mode Memory Management",
"Interrupt and Exception Handling", "Task Management"). A 16-byte descriptor is one 128-bit register, little-endian.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from harness.hardware.register import Field, Register

__all__ = [
    "TSS_IO_MAP_BASE_OFFSET",
    "TSS_SIZE",
    "Gate",
    "SegmentDescriptor",
    "SegmentType",
    "Selector",
    "SystemType",
    "TssDescriptor",
    "tss_ist_offset",
    "tss_rsp_offset",
]

TSS_SIZE = 104  # bytes, without an I/O permission bit map
TSS_IO_MAP_BASE_OFFSET = 102


class SegmentType(IntEnum):
    """Type field of a code or data segment descriptor (S = 1)."""

    DATA_READ_ONLY = 0
    DATA_READ_ONLY_ACCESSED = 1
    DATA_READ_WRITE = 2
    DATA_READ_WRITE_ACCESSED = 3
    DATA_READ_ONLY_EXPAND_DOWN = 4
    DATA_READ_ONLY_EXPAND_DOWN_ACCESSED = 5
    DATA_READ_WRITE_EXPAND_DOWN = 6
    DATA_READ_WRITE_EXPAND_DOWN_ACCESSED = 7
    CODE_EXECUTE_ONLY = 8
    CODE_EXECUTE_ONLY_ACCESSED = 9
    CODE_EXECUTE_READ = 10
    CODE_EXECUTE_READ_ACCESSED = 11
    CODE_EXECUTE_ONLY_CONFORMING = 12
    CODE_EXECUTE_ONLY_CONFORMING_ACCESSED = 13
    CODE_EXECUTE_READ_CONFORMING = 14
    CODE_EXECUTE_READ_CONFORMING_ACCESSED = 15


class SystemType(IntEnum):
    """Type field of a system descriptor (S = 0) in IA-32e mode; the others are reserved there."""

    LDT = 2
    TSS_AVAILABLE = 9
    TSS_BUSY = 11
    CALL_GATE = 12
    INTERRUPT_GATE = 14
    TRAP_GATE = 15


class Selector(Register, width=16):
    """A segment selector."""

    RPL = Field(1, 0)
    TI = Field(2)  # 1: LDT
    INDEX = Field(15, 3)


class SegmentDescriptor(Register, width=64):
    """A code or data segment descriptor. 00AF9B000000FFFFh is flat 64-bit ring-0 code."""

    LIMIT_15_0 = Field(15, 0)
    BASE_23_0 = Field(39, 16)
    TYPE = Field(43, 40, SegmentType)
    S = Field(44)  # 1: code or data
    DPL = Field(46, 45)
    P = Field(47)
    LIMIT_19_16 = Field(51, 48)
    AVL = Field(52)
    L = Field(53)  # 64-bit code
    D = Field(54)  # D/B: 32-bit code or stack
    G = Field(55)  # the limit counts 4 KiB units
    BASE_31_24 = Field(63, 56)

    @property
    def base(self) -> int:
        """Linear base address."""
        return self.BASE_31_24 << 24 | self.BASE_23_0

    @property
    def limit(self) -> int:
        """The last valid offset in bytes, granularity applied."""
        limit = self.LIMIT_19_16 << 16 | self.LIMIT_15_0
        return limit << 12 | 0xFFF if self.G else limit


class TssDescriptor(Register, width=128):
    """A TSS (or LDT) descriptor in 64-bit mode."""

    LIMIT_15_0 = Field(15, 0)
    BASE_23_0 = Field(39, 16)
    TYPE = Field(43, 40, SystemType)
    S = Field(44)  # must be 0
    DPL = Field(46, 45)
    P = Field(47)
    LIMIT_19_16 = Field(51, 48)
    AVL = Field(52)
    G = Field(55)
    BASE_63_24 = Field(95, 56)

    @classmethod
    def to(cls, base: int, limit: int = TSS_SIZE - 1, /, **fields: int) -> Self:
        """A present, available TSS at linear address `base` with byte limit `limit` (0 to FFFFFh)."""
        return cls.of(
            **{
                "TYPE": SystemType.TSS_AVAILABLE,
                "P": 1,
                "LIMIT_15_0": limit & 0xFFFF,
                "LIMIT_19_16": limit >> 16,
                "BASE_23_0": base & 0xFF_FFFF,
                "BASE_63_24": base >> 24,
                **fields,
            }
        )

    @property
    def base(self) -> int:
        """Linear base address."""
        return self.BASE_63_24 << 24 | self.BASE_23_0


class Gate(Register, width=128):
    """A 64-bit gate descriptor of the IDT (bits 127:96 are reserved)."""

    OFFSET_15_0 = Field(15, 0)
    SELECTOR = Field(31, 16)
    IST = Field(34, 32)  # 0: no stack switch by IST
    TYPE = Field(43, 40, SystemType)
    S = Field(44)  # must be 0
    DPL = Field(46, 45)
    P = Field(47)
    OFFSET_31_16 = Field(63, 48)
    OFFSET_63_32 = Field(95, 64)

    @classmethod
    def to(cls, offset: int, selector: int, /, **fields: int) -> Self:
        """A present interrupt gate to `selector`:`offset`; `fields` override (TYPE, DPL, IST, P …)."""
        return cls.of(
            **{
                "TYPE": SystemType.INTERRUPT_GATE,
                "P": 1,
                "SELECTOR": selector,
                "OFFSET_15_0": offset & 0xFFFF,
                "OFFSET_31_16": offset >> 16 & 0xFFFF,
                "OFFSET_63_32": offset >> 32,
                **fields,
            }
        )

    @property
    def offset(self) -> int:
        """The handler's linear address."""
        return self.OFFSET_63_32 << 32 | self.OFFSET_31_16 << 16 | self.OFFSET_15_0


def tss_rsp_offset(level: int) -> int:
    """Byte offset of RSP0, RSP1 or RSP2 in a 64-bit TSS; raises `ValueError` for another level."""
    if not 0 <= level <= 2:
        raise ValueError(f"a 64-bit TSS has RSP0 to RSP2, not RSP{level}")
    return 4 + 8 * level


def tss_ist_offset(ist: int) -> int:
    """Byte offset of IST1 to IST7 in a 64-bit TSS; raises `ValueError` for another number."""
    if not 1 <= ist <= 7:
        raise ValueError(f"a 64-bit TSS has IST1 to IST7, not IST{ist}")
    return 36 + 8 * (ist - 1)
