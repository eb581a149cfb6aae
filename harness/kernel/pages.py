"""`k.pages`: the page window, whose 4-KiB pages a probe maps as it likes."""

from __future__ import annotations

from harness import abi
from harness.hardware.paging import PageEntry4K
from harness.kernel.program import Program

__all__ = ["PageWindow"]

_TABLE = abi.PAGE_TABLES + 0x6000  # the page table of the window's 2 MiB


class PageWindow:
    """512 pages of 4 KiB from `PAGE_WINDOW` on, each mapped to itself at first: present, writable, user.

    The same entries serve the user alias (`user_address`). SDM vol. 3A, "4-Level Paging and 5-Level Paging".
    """

    def __init__(self, program: Program) -> None:
        self._program = program

    def address(self, page: int) -> int:
        """Supervisor address of a page's first byte; its physical address too while it is mapped to itself."""
        if not 0 <= page < 512:
            raise self._program.error(f"page {page}: the window has 0 to 511")
        return abi.PAGE_WINDOW + 0x1000 * page

    def user_address(self, page: int) -> int:
        """User-accessible address of a page's first byte."""
        return abi.USER_ALIAS + self.address(page)

    def entry_address(self, page: int) -> int:
        """Where the page's page-table entry is."""
        self.address(page)
        return _TABLE + 8 * page

    def entry(self, page: int, fields: dict[str, int] | None = None, /, *, flush: bool = True, **more: int) -> None:
        """Write a page's entry: present, writable, user, mapped to itself, but for the fields of `PageEntry4K` given.

        INVLPG of both addresses follows unless `flush=False`.
        """
        whole = {"P": 1, "RW": 1, "US": 1, "ADDRESS": self.address(page) >> 12, **(fields or {}), **more}
        self.raw_entry(page, int(PageEntry4K.of(**whole)), flush=flush)

    def raw_entry(self, page: int, value: int, *, flush: bool = True) -> None:
        """Write a page's entry as a number, reserved bits and all."""
        lines = [f"movabs rax, {value:#x}", f"mov qword ptr [{self.entry_address(page):#x}], rax"]
        if flush:
            lines += self._invalidate(page)
        self._program.step(f"page {page} = {value:#x}", *lines)

    def flush(self, page: int) -> None:
        """INVLPG of both addresses."""
        self._program.step(f"invlpg page {page}", *self._invalidate(page))

    def _invalidate(self, page: int) -> list[str]:
        return [
            f"mov eax, {self.address(page):#x}",
            "invlpg [rax]",
            f"movabs rax, {self.user_address(page):#x}",
            "invlpg [rax]",
        ]
