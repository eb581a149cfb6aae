"""Images as files that a person boots by hand: an ELF, the ROM's staging area, a listing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.assembly import ListingLine
from harness.image.elf import elf
from harness.image.image import Image, Parameters

__all__ = ["ImageFiles", "listing", "write_image", "write_rom"]

ROM_NAME = "trapgate-rom.bin"


@dataclass(frozen=True)
class ImageFiles:
    """The files of one image."""

    elf: Path
    pvh: Path
    staging: Path
    listing: Path


def write_rom(folder: Path, image: Image) -> Path:
    """The 64 KiB ROM, which boots whatever is staged. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ROM_NAME
    path.write_bytes(image.rom)
    return path


def write_image(folder: Path, name: str, image: Image, *, cpus: int = 1) -> ImageFiles:
    """Write `NAME.elf` (multiboot, for GDB too), `NAME.pvh.elf`, `NAME.staging.bin` and `NAME.lst`. Raises `OSError`.

    The parameters state that there is no host: it would resume checkpoints and give the rate of the time-stamp counter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = Parameters(cpus=cpus, hosted=False)
    files = ImageFiles(*(folder / f"{name}{suffix}" for suffix in (".elf", ".pvh.elf", ".staging.bin", ".lst")))
    files.elf.write_bytes(elf(image, parameters))
    files.pvh.write_bytes(elf(image, parameters, "pvh"))
    ((_, staged),) = image.staged(parameters)
    files.staging.write_bytes(staged)
    files.listing.write_text(listing(image.program.lines), encoding="utf-8")
    return files


def listing(lines: tuple[ListingLine, ...]) -> str:
    """Address, bytes, decoded instruction, source and its place; a new heading for each line of the probe."""
    rows: list[str] = []
    place = ""
    for line in lines:
        if str(line.origin) != place:
            place = str(line.origin)
            rows.append(f"# {place}")
        if line.kind == "label":
            rows.append(f"{line.address:08x}  {line.text}")
            continue
        decoded = line.decoded() or line.text
        source = f"  ; {line.text}" if decoded != line.text else ""
        data = [line.data[at : at + 12] for at in range(0, len(line.data), 12)] or [b""]
        rows.append(f"{line.address:08x}  {data[0].hex(' '):<36}  {decoded}{source}")
        rows += [f"{line.address + 12 * (n + 1):08x}  {more.hex(' ')}" for n, more in enumerate(data[1:])]
    return "\n".join(rows) + "\n"
