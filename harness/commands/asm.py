"""`trapgate asm`: assemble a text and print a listing."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Mode", "asm_command"]


class Mode(StrEnum):
    """A processor mode, by its width in bits."""

    real = "16"
    protected = "32"
    long = "64"


def _number(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number. Expected: 4096 or 0x1000") from None
    if not 0 <= value < 1 << 64:
        raise typer.BadParameter(f"{text} is not a 64-bit address")
    return value


def asm_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The text to assemble; - is the standard input.")],
    mode: Annotated[Mode, typer.Option("--mode", help="Processor mode to start in, in bits.")] = Mode.long,
    address: Annotated[
        str, typer.Option("--address", metavar="ADDR", help="The address of the code, as 4096 or 0x1000.")
    ] = "0",
    only_hex: Annotated[bool, typer.Option("--hex", help="Print nothing but the bytes, in hexadecimal.")] = False,
) -> None:
    """Assemble Intel syntax and print a listing: address, bytes, the instruction decoded again, and the source."""
    from harness.assembly import AssemblyError, assemble, source_from_text  # loads Keystone: not for --help

    base = _number(address)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}", err=True)
        raise typer.Exit(1) from None
    name = "<stdin>" if file == "-" else file
    try:
        done = assemble(source_from_text(text, name), address=base, mode=int(mode.value))  # type: ignore[arg-type]
    except AssemblyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if only_hex:
        typer.echo(done.code.hex())
        return
    digits = max(4, len(f"{done.address + len(done.code):x}"))
    for line in done.lines:
        if line.kind == "label":
            typer.echo(f"{line.address:0{digits}x}  {line.text}")
            continue
        for start in range(0, max(1, len(line.data)), 8):
            row = line.data[start : start + 8].hex(" ")
            if start:
                typer.echo(f"{line.address + start:0{digits}x}  {row}")
            else:
                shown = f"{line.address:0{digits}x}  {row:<24}  {line.decoded():<40}  {line.text}"
                typer.echo(shown.rstrip())
