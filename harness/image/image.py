"""One guest, ready to boot: runtime, program, symbols, lines; and the pieces of RAM that the ROM path needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from harness import abi
from harness.abi import Boots
from harness.assembly import Assembled, ListingLine
from harness.kernel.runtime import assembled_rom, assembled_runtime

__all__ = ["Image", "Parameters"]

_ALIGN = 16


@dataclass(frozen=True)
class Parameters:
    """What the host passes to the runtime: see `PARAMETERS_STRUCT` in `harness/abi.py`. All zero is valid."""

    tsc_khz: int = 0  # ticks of the time-stamp counter in a millisecond; 0: the guest calibrates
    run_id: int = 0
    cpus: int = 1
    hosted: bool = True  # a host acts at checkpoints
    paced: bool = False  # virtual time must not run ahead of the host's

    def encode(self) -> bytes:
        """The structure's bytes."""
        data = bytearray(abi.PARAMETERS_STRUCT.size)
        for name, value in (
            ("TSC_KHZ", self.tsc_khz),
            ("RUN_ID", self.run_id),
            ("CPUS", self.cpus),
            ("HOSTED", int(self.hosted)),
            ("PACED", int(self.paced)),
        ):
            offset, width = abi.PARAMETERS_STRUCT.fields[name]
            data[offset : offset + width] = value.to_bytes(width, "little")
        return bytes(data)


class _Labels:
    """The labels of a unit, by address."""

    def __init__(self, symbols: Mapping[str, int]) -> None:
        ordered = sorted((address, name) for name, address in symbols.items())
        self._addresses = [address for address, _ in ordered]
        self._names = [name for _, name in ordered]

    def before(self, address: int) -> str | None:
        """The last label at or before an address, and the distance from it."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        offset = address - self._addresses[index]
        return f"{self._names[index]}+{offset:#x}" if offset else self._names[index]


@cache
def _runtime_labels() -> _Labels:
    return _Labels(assembled_runtime().symbols)


@dataclass(frozen=True)
class Image:
    """Runtime and program at their run addresses."""

    program: Assembled

    @property
    def runtime(self) -> Assembled:
        """The part that all images share."""
        return assembled_runtime()

    @property
    def rom(self) -> bytes:
        """The 64 KiB ROM that boots this image from the staging area."""
        return assembled_rom().code

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Every label of runtime and program, and the regions of the layout, with their guest-physical addresses."""
        return {**abi.symbols(), **self.runtime.symbols, **self.program.symbols}

    def segments(self, parameters: Parameters) -> list[tuple[int, bytes]]:
        """What must be in RAM when the image is entered at `entry32`: (address, bytes)."""
        return [
            (abi.RUNTIME, self.runtime.code),
            (abi.PARAMETERS, parameters.encode()),
            (abi.PROGRAM, self.program.code),
        ]

    def staged(
        self, parameters: Parameters, *, boots: Boots = Boots.ALWAYS, ram: memoryview | None = None
    ) -> list[tuple[int, bytes]]:
        """The staging area's content: the header that `guest/runtime/rom.asm` describes, then the segments.

        Segments that are in `ram` already are left out.
        """
        segments = self.segments(parameters)
        if ram is not None:
            segments = [(at, code) for at, code in segments if bytes(ram[at : at + len(code)]) != code]
        head = 16 + 16 * len(segments)
        header = [abi.MAGIC_STAGING, self.runtime.symbols["entry32"], len(segments), boots]
        body = bytearray()
        for address, code in segments:
            padded = code + bytes(-len(code) % _ALIGN)
            header += [address, len(padded), head + len(body), 0]
            body += padded
        return [(abi.STAGING, b"".join(word.to_bytes(4, "little") for word in header) + bytes(body))]

    @property
    def lines(self) -> tuple[ListingLine, ...]:
        """The program's listing."""
        return self.program.lines

    @cached_property
    def _labels(self) -> _Labels:
        return _Labels(self.program.symbols)

    def symbolise(self, address: int) -> str:
        """`program+0x12 (guest/probes/…py:41)`; aliases are named, an address outside the image is a plain number."""
        for base, suffix in ((abi.USER_ALIAS, " user alias"), (abi.HIGH_ALIAS, " high alias")):
            if base <= address < base + (1 << 32):
                return self.symbolise(address - base) + suffix
        if abi.RUNTIME <= address < abi.RUNTIME + len(self.runtime.code):
            labels = _runtime_labels()
        elif abi.PROGRAM <= address < abi.PROGRAM + len(self.program.code):
            labels = self._labels
        else:
            return f"{address:#x}"
        name = labels.before(address)
        if name is None:
            return f"{address:#x}"
        line = self.line_at(address)
        return f"{name} ({line.origin})" if line is not None else name

    def covers(self, address: int) -> bool:
        """Whether an address belongs to the code of runtime or program, directly or through an alias."""
        for base in (abi.USER_ALIAS, abi.HIGH_ALIAS):
            if base <= address < base + (1 << 32):
                address -= base
        return abi.RUNTIME <= address < abi.RUNTIME + len(
            self.runtime.code
        ) or abi.PROGRAM <= address < abi.PROGRAM + len(self.program.code)

    def software_interrupt(self, after: int, vector: int) -> int | None:
        """The address of the program's INT of this vector that ends at an address, or `None`."""
        end = after - abi.PROGRAM
        code = self.program.code
        if 2 <= end <= len(code) and code[end - 2 : end] == bytes([0xCD, vector & 0xFF]) and vector >= 0:
            return after - 2
        return after - 1 if vector == 3 and 1 <= end <= len(code) and code[end - 1] == 0xCC else None

    def waits(self, address: int) -> bool:
        """Whether an address belongs to a routine of the runtime that lets the program wait."""
        symbols = self.runtime.symbols
        return symbols["deadline"] <= address < symbols["snapshot"]

    def line_at(self, address: int) -> ListingLine | None:
        """The statement at an address of runtime or program."""
        unit = self.program if address >= abi.PROGRAM else self.runtime
        return unit.line_at(address)
