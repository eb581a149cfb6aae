"""What a probe wrote: steps in order, values, buffers, data; and its assembly."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from harness import abi
from harness.assembly import Assembled, Names, Origin, SourceLine, assemble
from harness.hardware.block import Value
from harness.kernel.blocks import ProgramBlock
from harness.kernel.constants import register_constants
from harness.kernel.runtime import assembled_runtime

__all__ = [
    "PROGRAM_EXIT",
    "Buffer",
    "FaultBlock",
    "Program",
    "ProgramError",
    "Requirement",
    "Step",
    "TargetLacks",
    "WaitPoint",
    "common_names",
    "probe_frame",
]

T = TypeVar("T", bound=int)

PROGRAM_EXIT = "program_exit"
"""The label of the program's end, where `ret` is."""

_HARNESS = str(Path(__file__).resolve().parents[1])
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


class ProgramError(Exception):
    """A guest program that cannot be built: the message has the line of the probe, and what to do."""


class TargetLacks(Exception):  # noqa: N818
    """The target has not got what the probe is about: its verdict is `unsupported`, with this reason."""


@dataclass(frozen=True)
class Step:
    """One thing that the probe makes the guest do: the unit that `trapgate vacuity` removes."""

    index: int
    what: str
    origin: Origin
    trigger: bool
    waits: bool = False  # all that it does is to let time pass


@dataclass(frozen=True)
class Buffer:
    """Guest memory of a known physical address and size, in bytes; `run.memory(buffer)` reads it.

    `volatile`: pieces (offset, size) that a device may change at any time, so that the guest cannot seal them.
    """

    name: str
    address: int
    size: int
    volatile: tuple[tuple[int, int], ...] = ()

    @property
    def sealed(self) -> tuple[tuple[int, int], ...]:
        """The ranges (address, size) that the guest seals at its end: all but the volatile ones."""
        bounds = [0, *(bound for at, size in sorted(self.volatile) for bound in (at, at + size)), self.size]
        pairs = zip(bounds[::2], bounds[1::2], strict=True)
        return tuple((self.address + start, end - start) for start, end in pairs if end > start)


@dataclass(frozen=True)
class WaitPoint:
    """A place where the program waits, so that a time-out can name its cause.

    `address`: of the quadword that it waits for, whose bits in `mask` count; 0 for a wait for anything else.
    """

    what: str
    origin: Origin
    address: int = 0
    mask: int = 0


@dataclass(frozen=True)
class Requirement:
    """What the program ends early without: `value` is 0 then, and `feature` names it."""

    value: Value[Any]
    feature: str


@dataclass(frozen=True)
class FaultBlock:
    """A block in which an exception must come; the guest sets the byte at `flag` where it reaches the block's end."""

    vector: int | None
    origin: Origin
    flag: str


def probe_frame() -> FrameType:
    """The innermost frame outside the harness: the probe's line that a call came from."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_HARNESS, contextlib.__file__)):
        frame = frame.f_back
    if frame is None:
        raise ProgramError("the guest-program builder was called from nowhere outside the harness")
    return frame


@cache
def _short(path: str) -> str:
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path


@dataclass
class Program:
    """The guest program while it is being written; `finish` turns it into bytes."""

    name: str
    omit: frozenset[int] = frozenset()
    steps: list[Step] = field(default_factory=list)
    values: list[Value[Any]] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    checkpoints: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    waits: list[WaitPoint] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)  # "pci": what the program's start must prepare
    blocks: list[ProgramBlock] = field(default_factory=list)
    fault_blocks: list[FaultBlock] = field(default_factory=list)
    required: list[Requirement] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)  # vectors that are recorded and need nothing else
    handlers: dict[int, Origin] = field(default_factory=dict)  # by vector: the line of the handler
    host_paced: bool = False  # virtual time must not run ahead of the host's
    quiet_ms: float = math.inf  # the shortest time, milliseconds, in which nothing late or doubled may come

    def __post_init__(self) -> None:
        self._main: list[SourceLine] = []
        self._section = self._main
        self._elsewhere: list[list[SourceLine]] = []
        self._in_trigger = 0
        self._serial = 0
        self._blocks = 0
        self._next_buffer = abi.BUFFERS
        self._data: dict[str, bytes] = {}

    # --- where ---

    def origin(self) -> Origin:
        """The probe's line that is being executed."""
        frame = probe_frame()
        return Origin(_short(frame.f_code.co_filename), frame.f_lineno)

    def error(self, text: str) -> ProgramError:
        """An error that names the probe's line."""
        return ProgramError(f"{self.origin()}: {text}")

    # --- code ---

    def unique(self, stem: str) -> str:
        """A label that nothing else in the program has."""
        self._serial += 1
        return f"{stem}_{self._serial}"

    def next_block(self) -> int:
        """A fresh scope for local labels. Scope 0 is that of generated code."""
        self._blocks += 1
        return self._blocks

    def add_checkpoint(self, name: str) -> int:
        """Register a checkpoint; numbers count from 1."""
        if name in self.checkpoints:
            raise self.error(f"there is a checkpoint {name!r} already")
        if len(self.checkpoints) + 1 >= abi.SNAPSHOTS_MAX:
            raise self.error(f"a program has at most {abi.SNAPSHOTS_MAX - 1} checkpoints")
        self.checkpoints.append(name)
        return len(self.checkpoints)

    def add_mark(self, name: str) -> int:
        """Register a mark, or find it; numbers count from 0."""
        if name not in self.marks:
            if len(self.marks) > 255:
                raise self.error("a program has at most 256 marks")
            self.marks.append(name)
        return self.marks.index(name)

    def step(self, what: str, *lines: str, waits: bool = False) -> None:
        """Add one step made of generated lines; `waits`: all that it does is to let time pass.

        Clobbers of generated code: RAX, RCX, RDX, RSI, RDI, flags.
        """
        origin = self.origin()
        self.step_lines(what, [SourceLine(line, origin, 0) for line in lines], origin, waits=waits)

    def step_lines(self, what: str, lines: Sequence[SourceLine], origin: Origin, *, waits: bool = False) -> None:
        """Add one step made of lines that know their own places."""
        index = len(self.steps)
        self.steps.append(Step(index, what, origin, self._in_trigger > 0, waits))
        if index not in self.omit:
            self._section.extend(lines)

    def plain(self, *lines: str) -> None:
        """Lines that hold the program together: never a step, never removed."""
        origin = self.origin()
        self._section.extend(SourceLine(line, origin, 0) for line in lines)

    @contextlib.contextmanager
    def elsewhere(self, label: str) -> Iterator[None]:
        """What is added inside becomes a routine of its own, out of the program's line."""
        outer = self._section
        section: list[SourceLine] = []
        self._elsewhere.append(section)
        self._section = section
        try:
            self.plain(f"{label}:")
            yield
            self.plain("ret")
        finally:
            self._section = outer

    @contextlib.contextmanager
    def triggering(self) -> Iterator[None]:
        """Mark what is added inside as the cause of what the probe judges."""
        self._in_trigger += 1
        try:
            yield
        finally:
            self._in_trigger -= 1

    # --- memory ---

    def add_value(self, name: str, type_: type[T]) -> Value[T]:
        """A fresh slot. Raises `ProgramError` for a name that is taken or no identifier."""
        if not _NAME.match(name):
            raise self.error(f"value name {name!r} must be an identifier: k.asm uses it as a constant")
        if any(value.name == name for value in self.values):
            raise self.error(f"there is a value {name!r} already")
        if len(self.values) >= abi.VALUES_MAX:
            raise self.error(f"a program has at most {abi.VALUES_MAX} values")
        value = Value(name, len(self.values), type_)
        self.values.append(value)
        return value

    def value_of(self, given: Value[T] | str) -> Value[Any]:
        """The value itself, or a fresh one of this name."""
        return self.add_value(given, int) if isinstance(given, str) else given

    def in_main(self) -> bool:
        """Whether steps are added to the program's own line, not to a handler or a routine of another processor."""
        return self._section is self._main

    def fresh_value_name(self, wanted: str) -> str:
        """`wanted` as an identifier, numbered if it is taken."""
        stem = re.sub(r"\W+", "_", wanted).strip("_")
        taken = {value.name for value in self.values}
        if stem not in taken:
            return stem
        number = 2
        while f"{stem}_{number}" in taken:
            number += 1
        return f"{stem}_{number}"

    def add_buffer(self, name: str, size: int, align: int, volatile: tuple[tuple[int, int], ...] = ()) -> Buffer:
        """Guest memory in the buffer area; a page of distance to its neighbours keeps overruns apart."""
        if not _NAME.match(name):
            raise self.error(f"buffer name {name!r} must be an identifier: k.asm uses it as a constant")
        if name in self.buffers:
            raise self.error(f"there is a buffer {name!r} already")
        if align < 1 or align & (align - 1):
            raise self.error(f"buffer {name!r}: align={align} is no power of two")
        address = (self._next_buffer + align - 1) & ~(align - 1)
        if size < 1 or address + size > abi.BUFFERS_END:
            left = abi.BUFFERS_END - self._next_buffer
            raise self.error(f"buffer {name!r}: {size} bytes do not fit; {left} are left")
        self._next_buffer = (address + size + 0xFFF & ~0xFFF) + 0x1000
        buffer = Buffer(name, address, size, volatile)
        self.buffers[name] = buffer
        return buffer

    def add_data(self, data: bytes) -> str:
        """Constant bytes in the image. Returns their label."""
        label = self.unique("data")
        self._data[label] = data
        return label

    # --- the end ---

    def statements(self) -> Iterator[str]:
        """The text of every statement that the steps added, without what `source` generates around them."""
        for section in (self._main, *self._elsewhere):
            for line in section:
                yield line.text

    def constants(self) -> Mapping[str, int]:
        """This program's values and buffers, which k.asm may name beside the layout and the register maps."""
        own = {value.name: abi.VALUES + 8 * value.index for value in self.values}
        own |= {buffer.name: buffer.address for buffer in self.buffers.values()}
        clash = sorted(name for name in own if name in common_names())
        if clash:
            raise self.error(f"{', '.join(clash)}: the name belongs to a constant or a routine of the harness")
        return own

    def source(self) -> list[SourceLine]:
        """The whole program as assembly: header, program, routines, data."""
        here = Origin("program header (generated)", 1)

        def plain(lines: Iterable[str]) -> list[SourceLine]:
            return [SourceLine(line, here, 0) for line in lines]

        start = ["program:"]
        if "pci" in self.uses:
            start.append("call pci_init")
        names = [f"value_name_{value.index}" for value in self.values]
        ranges = [each for buffer in self.buffers.values() for each in buffer.sealed]
        header = [".quad program, value_names", f".quad {len(names)}, probe_name"]
        lines = plain([*header, f".quad sealed_ranges, {len(ranges)}", ".zero 16", *start])
        lines += self._main
        lines += plain([f"{PROGRAM_EXIT}:", "ret"])
        for section in self._elsewhere:
            lines += section
        lines += plain([".balign 8", "value_names:"])
        lines += plain(f".quad {name}" for name in names)
        lines += plain(["sealed_ranges:", *(f".quad {address:#x}, {size:#x}" for address, size in ranges)])
        lines += plain(f'{name}: .asciz "{value.name}"' for name, value in zip(names, self.values, strict=True))
        lines += plain([f'probe_name: .asciz "{_printable(self.name)}"'])
        for label, data in self._data.items():
            lines += plain([".balign 16", f"{label}:"])
            rows = (data[i : i + 16] for i in range(0, len(data), 16))
            lines += plain(".byte " + ", ".join(f"{byte:#x}" for byte in row) for row in rows)
        return lines

    def finish(self) -> Assembled:
        """Assemble it at its run address.

        Raises `ProgramError` for a block that was never entered or left, `AssemblyError` with the probe's own lines.
        """
        for block in self.blocks:
            if not block.entered:
                raise ProgramError(
                    f"{block.origin}: {block.name}(…) opens a block, but the block was never entered, so it has no "
                    f"effect. To fix: write `with k.{block.name}(…):` and indent the steps of the block"
                )
            if not block.left:
                raise ProgramError(
                    f"{block.origin}: {block.name}(…) opens a block that is still open at the yield. "
                    "Expected: the yield outside of every block. To fix: end the block before the yield"
                )
        done = assemble(
            self.source(),
            address=abi.PROGRAM,
            mode=64,
            constants=self.constants(),
            common=common_names(),
        )
        if abi.PROGRAM + len(done.code) > abi.PROGRAM_END:
            raise ProgramError(f"{self.name}: the program is {len(done.code)} bytes long; 960 KiB fit")
        return done


@cache
def common_names() -> Names:
    """What every program may name: the layout, the register maps, the runtime's labels."""
    return Names(abi.constants() | register_constants(), assembled_runtime().symbols)


def _printable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\ ' else "_" for c in text)
