"""Entries of the 4-level and 5-level paging structures.

Source: Intel 64 and IA-32 SDM vol. 3A, "Paging": "4-Level Paging and 5-Level Paging" (formats of the entries).
ADDRESS fields hold the physical address without its low bits; `address` gives it whole.
"""

from __future__ import annotations

from harness.hardware.register import Field, FieldError, Register

__all__ = ["GIB", "KIB4", "MIB2", "PageEntry1G", "PageEntry2M", "PageEntry4K", "TableEntry", "indices", "is_canonical"]

KIB4 = 1 << 12
MIB2 = 1 << 21
GIB = 1 << 30


class TableEntry(Register, width=64):
    """A PML5E, PML4E, PDPTE or PDE that references the next table."""

    P = Field(0)
    RW = Field(1)
    US = Field(2)
    PWT = Field(3)
    PCD = Field(4)
    A = Field(5)
    PS = Field(7)  # 0: references a table
    ADDRESS = Field(51, 12)
    XD = Field(63)

    @property
    def address(self) -> int:
        """Physical address of the next table."""
        return self.ADDRESS << 12


class PageEntry4K(Register, width=64):
    """A PTE that maps a 4-KiB page."""

    P = Field(0)
    RW = Field(1)
    US = Field(2)
    PWT = Field(3)
    PCD = Field(4)
    A = Field(5)
    D = Field(6)
    PAT = Field(7)
    G = Field(8)
    ADDRESS = Field(51, 12)
    PK = Field(62, 59)
    XD = Field(63)

    @property
    def address(self) -> int:
        """Physical address of the page."""
        return self.ADDRESS << 12


class PageEntry2M(Register, width=64):
    """A PDE that maps a 2-MiB page (bits 20:13 are reserved)."""

    P = Field(0)
    RW = Field(1)
    US = Field(2)
    PWT = Field(3)
    PCD = Field(4)
    A = Field(5)
    D = Field(6)
    PS = Field(7)  # 1: maps a page
    G = Field(8)
    PAT = Field(12)
    ADDRESS = Field(51, 21)
    PK = Field(62, 59)
    XD = Field(63)

    @property
    def address(self) -> int:
        """Physical address of the page."""
        return self.ADDRESS << 21


class PageEntry1G(Register, width=64):
    """A PDPTE that maps a 1-GiB page (bits 29:13 are reserved)."""

    P = Field(0)
    RW = Field(1)
    US = Field(2)
    PWT = Field(3)
    PCD = Field(4)
    A = Field(5)
    D = Field(6)
    PS = Field(7)  # 1: maps a page
    G = Field(8)
    PAT = Field(12)
    ADDRESS = Field(51, 30)
    PK = Field(62, 59)
    XD = Field(63)

    @property
    def address(self) -> int:
        """Physical address of the page."""
        return self.ADDRESS << 30


def is_canonical(address: int, bits: int = 48) -> bool:
    """Whether the 64-bit linear address has all bits above `bits` - 1 equal to that bit (48, or 57 with CR4.LA57)."""
    top = address >> (bits - 1)
    return top in (0, (1 << (65 - bits)) - 1)


def indices(address: int) -> tuple[int, int, int, int]:
    """Index into PML4, page-directory-pointer table, page directory and page table for a 48-bit linear address.

    Raises `FieldError` for a non-canonical one.
    """
    if not is_canonical(address):
        raise FieldError(f"linear address {address:#x} is not canonical")
    return (address >> 39 & 511, address >> 30 & 511, address >> 21 & 511, address >> 12 & 511)
