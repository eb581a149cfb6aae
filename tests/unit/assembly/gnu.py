"""GNU as as an independent reference: what it makes of single statements, and of whole units."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

__all__ = ["gnu_image", "gnu_statements"]

_ERROR = re.compile(r":(\d+): Error: ")


def _run(folder: Path, text: str, mode: int) -> subprocess.CompletedProcess[str]:
    (folder / "x.s").write_text(text)
    width = "--64" if mode == 64 else "--32"
    # -mmnemonic=intel: FSUB and FSUBR as the manuals name them, not as AT&T's assembler swapped them
    command = ["as", width, "-mmnemonic=intel", "-O0", "-o", str(folder / "x.o"), str(folder / "x.s")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def gnu_statements(mode: int, statements: Sequence[str]) -> list[bytes | None]:
    """For each statement the bytes that GNU as makes of it, or None where it refuses."""
    refused: set[int] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(20):
            lines = [".intel_syntax noprefix", f".code{mode}", ".text"]
            first = len(lines) + 1
            for index, statement in enumerate(statements):
                lines.append(f"s{index}: {'' if index in refused else statement}")
            lines.append(f"s{len(statements)}:")
            done = _run(folder, "\n".join(lines) + "\n", mode)
            new = {int(line) - first for line in _ERROR.findall(done.stderr)} - refused
            if not new:
                break
            refused |= new
        assert done.returncode == 0, done.stderr[-2000:]
        with (folder / "x.o").open("rb") as file:
            elf = ELFFile(file)
            section, table = elf.get_section_by_name(".text"), elf.get_section_by_name(".symtab")
            assert section is not None and isinstance(table, SymbolTableSection)
            text = section.data()
            where = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    results: list[bytes | None] = []
    for index in range(len(statements)):
        data = text[where[f"s{index}"] : where[f"s{index + 1}"]]
        results.append(None if index in refused else bytes(data))
    return results


def gnu_image(text: str, mode: int, address: int, symbols: Mapping[str, int] | None = None) -> bytes:
    """The bytes of a whole unit, assembled and linked at `address`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        head = [".intel_syntax noprefix", f".code{mode}", ".text", ".globl _start", "_start:"]
        done = _run(folder, "\n".join([*head, text]) + "\n", 64)
        assert done.returncode == 0, done.stderr[-4000:]
        command = ["ld", "-nostdlib", "--oformat", "binary", f"-Ttext={address:#x}", "-o", str(folder / "x.bin")]
        command += [f"--defsym={symbol}={value:#x}" for symbol, value in (symbols or {}).items()]
        done = subprocess.run([*command, str(folder / "x.o")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return (folder / "x.bin").read_bytes()
