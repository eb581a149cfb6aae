"""`k.pit.speaker`: channel 2 of the 8254, whose gate and output are bits of port 61h."""

from __future__ import annotations

from typing import Any

from harness import abi
from harness.hardware.block import Value
from harness.kernel.program import Program

__all__ = ["SpeakerChannel"]

_PORT = 0x61
_OUT = 0x20  # TMR2_OUT_STS
_POLLS = 0x10_0000
_TURNS = 1  # of the time-stamp counter's low half: 4 to 8 thousand million ticks


class SpeakerChannel:
    """Channel 2: the only one whose gate software can move and whose output it can watch without an interrupt."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def gate(self, level: int) -> None:
        """Drive the gate input; the speaker stays off."""
        self._program.step(
            f"gate of channel 2 {'high' if level else 'low'}",
            f"in al, {_PORT:#x}",
            "and al, 0xFC",
            f"or al, {int(bool(level))}",
            f"out {_PORT:#x}, al",
        )

    def trigger(self) -> None:
        """A rising edge of the gate: low, then high."""
        self.gate(0)
        self.gate(1)

    def out(self, into: Value[int] | str) -> Value[int]:
        """The level of OUT, 0 or 1, into a value, or into a new one of this name. Returns the value."""
        value = self._program.value_of(into)
        lines = [f"in al, {_PORT:#x}", "shr al, 5", "and eax, 1"]
        self._program.step(f"{value.name} = OUT 2", *lines, f"mov qword ptr [{_slot(value)}], rax")
        return value

    def low_samples(self, into: Value[int] | str, samples: int) -> Value[int]:
        """How many of `samples` readings of OUT, as fast as possible, found it low: into a value, or a new one."""
        value = self._program.value_of(into)
        label = self._program.unique("sample")
        self._program.step(
            f"{value.name} = low samples of OUT 2",
            f"mov ecx, {samples}",
            "xor edx, edx",
            f"{label}:",
            f"in al, {_PORT:#x}",
            "shr al, 5",
            "and eax, 1",
            "xor eax, 1",
            "add edx, eax",
            "dec ecx",
            f"jnz {label}",
            f"mov qword ptr [{_slot(value)}], rdx",
        )
        return value

    def wait_out(self, level: int, into: Value[int] | str) -> Value[int]:
        """Poll until OUT has the level; the time-stamp counter of that moment goes into a value, or a new one.

        Gives up after a million readings or some seconds and leaves the value unwritten. Returns the value.
        """
        when = self._program.value_of(into)
        poll, done, late = (self._program.unique(stem) for stem in ("poll", "seen", "late"))
        self._program.step(
            f"{when.name} = when OUT 2 is {'high' if level else 'low'}",
            "rdtsc",
            "mov edi, edx",
            f"mov ecx, {_POLLS}",
            f"{poll}:",
            f"in al, {_PORT:#x}",
            f"test al, {_OUT:#x}",
            f"{'jnz' if level else 'jz'} {done}",
            "rdtsc",
            "sub edx, edi",
            f"cmp edx, {_TURNS}",
            f"ja {late}",
            "dec ecx",
            f"jnz {poll}",
            f"jmp {late}",
            f"{done}:",
            "rdtsc",
            "shl rdx, 32",
            "or rax, rdx",
            f"mov qword ptr [{_slot(when)}], rax",
            f"{late}:",
        )
        return when


def _slot(value: Value[Any]) -> str:
    return f"{abi.VALUES + 8 * value.index:#x}"
