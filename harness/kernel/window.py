"""Memory that a device may write, between guard pages that show whether it wrote anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.kernel.builder import Kernel
from harness.kernel.program import Buffer

__all__ = ["GUARD", "PAGE", "ReadsMemory", "Window"]

PAGE = 4096
GUARD = 0xC5  # what guard bytes hold, and the window itself until it is written


class ReadsMemory(Protocol):
    """What gives the bytes of a buffer after the guest ran: `run`."""

    def memory(self, where: Buffer, /) -> bytes:
        """A copy of the buffer."""


@dataclass(frozen=True)
class Window:
    """`size` bytes at `address`, inside a buffer of guard bytes that begins and ends a page or more away from them."""

    buffer: Buffer
    offset: int
    size: int

    @classmethod
    def make(cls, k: Kernel, name: str, size: int, *, offset: int = 0, content: bytes | None = None) -> Window:
        """Fill guard pages and the window between them in the guest.

        `offset`: bytes from a page boundary at which the window begins. `content`: what it holds at first, repeated to
        its size (guard bytes without it).
        """
        lead = PAGE + offset
        whole = (lead + size + PAGE - 1 & -PAGE) + PAGE
        buffer = k.buffer(name, whole, align=PAGE, fill=GUARD)
        window = cls(buffer, lead, size)
        if content is not None:
            window.put(k, content)
        return window

    @property
    def address(self) -> int:
        """Physical address of the window's first byte."""
        return self.buffer.address + self.offset

    def put(self, k: Kernel, content: bytes, at: int = 0) -> None:
        """Copy bytes into the window at `at`, repeated up to its end where they are fewer."""
        room = self.size - at
        if not 0 < len(content) <= room:
            raise k.program.error(f"{self.buffer.name}: {len(content)} bytes do not fit into {room}")
        label = k.program.add_data(content)
        lines = [f"mov edi, {self.address + at:#x}"]
        for start in range(0, room, len(content)):
            length = min(len(content), room - start)
            lines += [f"lea rsi, [rip+{label}]", f"mov ecx, {length:#x}", "rep movsb"]
        k.program.step(f"fill {self.buffer.name}", *lines)

    def read(self, run: ReadsMemory) -> bytes:
        """The window's bytes after the run. Raises AssertionError where a guard byte around them was overwritten."""
        memory = run.memory(self.buffer)
        strays = self.strays(memory)
        if strays:
            raise AssertionError(
                f"{self.buffer.name}: {len(strays)} bytes outside the window's {self.size} were overwritten, the first "
                f"at offset {strays[0]} of the window"
            )
        return self.inside(memory)

    def untouched(self, run: ReadsMemory) -> bool:
        """Whether the window and the guard pages around it hold guard bytes only: no byte was written."""
        return run.memory(self.buffer) == bytes([GUARD]) * self.buffer.size

    def inside(self, memory: bytes) -> bytes:
        """The window's bytes, out of the buffer's (`run.memory(window.buffer)`)."""
        return memory[self.offset : self.offset + self.size]

    def strays(self, memory: bytes) -> list[int]:
        """Offsets, relative to the window, of guard bytes that were overwritten. Empty: no byte outside was written."""
        end = self.offset + self.size
        return [
            position - self.offset
            for position, byte in enumerate(memory)
            if byte != GUARD and not self.offset <= position < end
        ]
