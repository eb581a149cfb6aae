"""The guest runtime and the ROM, assembled: the fixed part of every image."""

from __future__ import annotations

from functools import cache
from importlib import resources

from harness import abi
from harness.assembly import Assembled, Origin, SourceLine, assemble, source_from_text

__all__ = ["ROM_BASE", "ROM_SIZE", "assembled_rom", "assembled_runtime", "runtime_source"]

ROM_SIZE = 0x1_0000
ROM_BASE = 0x1_0000_0000 - ROM_SIZE
RESET_VECTOR = 0xFFFF_FFF0  # SDM vol. 3A, "First Instruction Executed"

# entry.asm comes first: a multiboot header lies in the first 8 KiB of the file.
_FILES = (
    "entry.asm",
    "start.asm",
    "controllers.asm",
    "interrupts.asm",
    "time.asm",
    "snapshot.asm",
    "finish.asm",
    "serial.asm",
    "seal.asm",
    "smp.asm",
    "pci.asm",
)


def _file(name: str, block: int) -> list[SourceLine]:
    text = resources.files("guest").joinpath("runtime", name).read_text(encoding="utf-8")
    return source_from_text(text, f"guest/runtime/{name}", block=block)


def _stubs(block: int) -> list[SourceLine]:
    """256 entry points, 16 bytes apart: push the vector, go to the common part."""
    lines = [".code64", ".balign 16", "stubs:"]
    for vector in range(256):
        lines += [".balign 16", f"stub_{vector:02x}:", f"push {vector}", "jmp interrupt_common"]
    return [SourceLine(line, Origin("guest/runtime/stubs (generated)", 1 + i), block) for i, line in enumerate(lines)]


def _crc_table(block: int) -> list[SourceLine]:
    """The tables of the reflected CRC-32 (ISO 3309), polynomial EDB88320h: what zlib's crc32 uses.

    Entry i of table n is the CRC register after byte i and n zero bytes, so that four bytes take one step.
    """

    def entry(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0xEDB8_8320 if byte & 1 else 0)
        return byte

    tables = [[entry(byte) for byte in range(256)]]
    for _ in range(3):
        tables.append([value >> 8 ^ tables[0][value & 0xFF] for value in tables[-1]])
    values = [f"{value:#x}" for table in tables for value in table]
    lines = [".balign 4", "crc_table:"]
    lines += [".long " + ", ".join(values[row : row + 8]) for row in range(0, len(values), 8)]
    return [SourceLine(line, Origin("guest/runtime/crc (generated)", 1 + i), block) for i, line in enumerate(lines)]


@cache
def runtime_source() -> tuple[SourceLine, ...]:
    """The runtime's whole source, in the order of its bytes."""
    lines: list[SourceLine] = []
    for block, name in enumerate(_FILES):
        lines += _file(name, block)
    lines += _stubs(len(_FILES))
    lines += _crc_table(len(_FILES) + 1)
    return tuple(lines)


@cache
def assembled_runtime() -> Assembled:
    """The runtime at its run address. Raises `AssemblyError`, and `ValueError` if it outgrew its place."""
    done = assemble(runtime_source(), address=abi.RUNTIME, mode=32, constants=abi.constants())
    if abi.RUNTIME + len(done.code) > abi.PARAMETERS:
        raise ValueError(f"the runtime is {len(done.code)} bytes long; {abi.PARAMETERS - abi.RUNTIME} fit")
    return done


@cache
def assembled_rom() -> Assembled:
    """The 64 KiB ROM that ends at 4 GiB."""
    constants = abi.constants() | {"ROM": ROM_BASE, "RESET_VECTOR": RESET_VECTOR}
    done = assemble(_file("rom.asm", 0), address=ROM_BASE, mode=32, constants=constants)
    if len(done.code) != ROM_SIZE:
        raise ValueError(f"the ROM is {len(done.code)} bytes long, not {ROM_SIZE}")
    return done
