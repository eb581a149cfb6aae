"""Anonymous files in memory that a process and the QEMU it starts share."""

from __future__ import annotations

import fcntl
import mmap
import os

__all__ = ["MemoryFile", "map_sealed"]


def map_sealed(descriptor: int, size: int) -> mmap.mmap:
    """Give a memory file its size, for good, and map it."""
    os.ftruncate(descriptor, size)
    # A file that shrank under the mapping would cause SIGBUS; one that grew could fill the host's memory.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return mmap.mmap(descriptor, size)


class MemoryFile:
    """An anonymous file in memory, mapped here and inherited by QEMU."""

    def __init__(self, name: str, size: int, content: bytes = b"") -> None:
        self.size = size
        self.descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._map = map_sealed(self.descriptor, size)
        self.view = memoryview(self._map)
        self.view[: len(content)] = content

    @property
    def path(self) -> str:
        """The path under which a process that inherited it can open it."""
        return f"/proc/self/fd/{self.descriptor}"

    def clear(self, start: int = 0, end: int | None = None) -> None:
        """Make bytes zero, for QEMU's mapping too, by giving the pages back. `start` and `end` are page-aligned."""
        stop = self.size if end is None else end
        if start < stop:
            self._map.madvise(mmap.MADV_REMOVE, start, stop - start)

    def close(self) -> None:
        """Close the descriptor. The mapping exists as long as a view of it does."""
        os.close(self.descriptor)
