"""COM1's output as a file in memory that QEMU writes and the harness reads, without a QMP command."""

from __future__ import annotations

import mmap
import os

from harness.qemu.memory_file import map_sealed

__all__ = ["Printout"]


class Printout:
    """What the guest sends to COM1, up to `SIZE` bytes; QEMU drops the rest.

    QEMU and we share one open file, and so its position: where QEMU writes next, and how much it has written. QEMU
    takes a file that is open already as an fd set (QEMU's manual, `-add-fd`).
    """

    SIZE = 16 << 20
    """Bytes: more than a guest sends in ten seconds. Memory is taken as it is written."""

    def __init__(self) -> None:
        self._file = os.memfd_create("trapgate-com1", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # An fd set must be open for just what the character device wants: writing.
        self.descriptor = os.open(f"/proc/self/fd/{self._file}", os.O_WRONLY | os.O_CLOEXEC)
        self._map: mmap.mmap | None = None

    def arguments(self, name: str) -> tuple[str, ...]:
        """QEMU's arguments for the character device of that name."""
        return ("-add-fd", f"fd={self.descriptor},set=1", "-chardev", f"file,id={name},path=/dev/fdset/1")

    def opened(self) -> None:
        """Set the size, after QEMU has opened and truncated the file."""
        self._map = map_sealed(self._file, self.SIZE)

    @property
    def length(self) -> int:
        """How many bytes QEMU has written since `rewind`."""
        return os.lseek(self.descriptor, 0, os.SEEK_CUR)

    def read(self, start: int, end: int) -> bytes:
        """Those bytes."""
        return b"" if self._map is None else self._map[start:end]

    def rewind(self) -> None:
        """Return to the beginning; the guest must be stopped."""
        if self._map is not None and self.length > 1 << 20:
            self._map.madvise(mmap.MADV_REMOVE)  # after a flood: release the memory
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def close(self) -> None:
        """Close the descriptors and the mapping."""
        if self._map is not None:
            self._map.close()
        self._map = None
        os.close(self._file)
        os.close(self.descriptor)
