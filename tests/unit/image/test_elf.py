"""The ELF that images become, read back by pyelftools."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection, SymbolTableSection

from harness import abi
from harness.hardware.platform import PLATFORMS
from harness.image.elf import elf
from harness.image.image import Image, Parameters
from harness.kernel.builder import Kernel
from harness.kernel.program import Program


@pytest.fixture(scope="module")
def image() -> Image:
    program = Program("a probe")
    k = Kernel(program, PLATFORMS["q35"])
    with k.handler(0x40):
        k.asm("in_handler: nop")
    k.lapic.self_ipi(0x40)
    return Image(program.finish())


@pytest.fixture(scope="module")
def multiboot(image: Image) -> ELFFile:
    return ELFFile(io.BytesIO(elf(image, Parameters(tsc_khz=5, run_id=7, cpus=3))))


def content(file: ELFFile) -> bytes:
    file.stream.seek(0)
    return file.stream.read()


def symbols(file: ELFFile) -> dict[str, int]:
    section = file.get_section_by_name(".symtab")
    assert isinstance(section, SymbolTableSection)
    return {symbol.name: symbol["st_value"] for symbol in section.iter_symbols()}


def test_symbols_name_code_and_regions(image: Image, multiboot: ELFFile) -> None:
    found = symbols(multiboot)
    assert found["mailbox"] == abi.MAILBOX
    assert found["recorder"] == abi.RECORDER
    assert found["program"] == image.program.symbols["program"]
    assert found["in_handler"] == image.program.symbols["in_handler"]
    assert found["entry32"] == image.runtime.symbols["entry32"]


def test_one_segment_holds_runtime_parameters_and_program(image: Image, multiboot: ELFFile) -> None:
    (segment,) = multiboot.iter_segments()
    data = segment.data()
    assert segment["p_paddr"] == abi.RUNTIME
    assert data.endswith(image.program.code)
    at = abi.PARAMETERS - abi.RUNTIME
    assert data[at : at + 32] == Parameters(tsc_khz=5, run_id=7, cpus=3).encode()


def test_multiboot_header_lies_in_the_first_8_kib_and_sums_to_zero(multiboot: ELFFile) -> None:
    data = content(multiboot)[:8192]
    at = data.find(0x1BADB002.to_bytes(4, "little"))
    assert at >= 0
    assert at % 4 == 0
    words = memoryview(data)[at : at + 32].cast("I")
    assert sum(words[:3]) & 0xFFFF_FFFF == 0
    header_address, load_address, load_end, _, entry = words[3:8]
    (segment,) = multiboot.iter_segments()
    assert at - (header_address - load_address) == segment["p_offset"], "where a loader finds load_addr in the file"
    assert load_end == load_address + segment["p_filesz"]
    assert entry == multiboot["e_entry"]


def test_a_pvh_image_has_the_note_and_no_multiboot_header(image: Image) -> None:
    file = ELFFile(io.BytesIO(elf(image, Parameters(), "pvh")))
    section = file.get_section_by_name(".note.Xen")
    assert isinstance(section, NoteSection)
    (note,) = section.iter_notes()
    assert note["n_name"] == "Xen"
    assert str(note["n_type"]) == "18"
    entry = int.from_bytes(note["n_descdata"], "little")
    assert entry == image.runtime.symbols["entry_pvh"] == file["e_entry"]
    assert 0x1BADB002.to_bytes(4, "little") not in content(file)[:8192]


def test_every_instruction_has_its_line(image: Image, multiboot: ELFFile) -> None:
    dwarf = multiboot.get_dwarf_info()
    for unit, assembled in zip(dwarf.iter_CUs(), (image.runtime, image.program), strict=True):
        low, size = (unit.get_top_DIE().attributes[name].value for name in ("DW_AT_low_pc", "DW_AT_high_pc"))
        assert (low, size) == (assembled.address, len(assembled.code))
        program = dwarf.line_program_for_CU(unit)
        assert program is not None
        names = [entry.name.decode() for entry in program["file_entry"]]
        assert unit.get_top_DIE().attributes["DW_AT_name"].value.decode() in names
        states = [entry.state for entry in program.get_entries() if entry.state is not None]
        assert [state.address for state in states] == sorted(state.address for state in states)
        place: dict[int, tuple[str, int]] = {}
        for state, following in pairwise(states):
            if not state.end_sequence:
                where = (names[state.file - 1], state.line)
                place |= dict.fromkeys(range(state.address, following.address), where)
        assert states[-1].end_sequence
        for line in assembled.lines:
            for address in range(line.address, line.address + len(line.data)):
                wanted = (line.origin.file, line.origin.line) if line.kind == "instruction" else None
                assert place.get(address) == wanted, line


def test_staging_describes_itself(image: Image) -> None:
    ((address, data),) = image.staged(Parameters(run_id=9))
    assert address == abi.STAGING
    words = memoryview(data)[: 16 + 16 * 3].cast("I")
    assert words[0] == abi.MAGIC_STAGING
    assert words[1] == image.runtime.symbols["entry32"]
    assert words[2] == 3
    for number, (destination, content) in enumerate(image.segments(Parameters(run_id=9))):
        target, length, offset, _ = words[4 + 4 * number : 8 + 4 * number]
        assert target == destination
        assert length % 16 == 0
        assert data[offset : offset + length].startswith(content)


def test_symbolise(image: Image) -> None:
    start = image.program.symbols["program"]
    assert image.symbolise(start).startswith("program (")
    assert image.symbolise(image.program.symbols["in_handler"]).startswith("in_handler (")
    assert image.symbolise(abi.USER_ALIAS + start).endswith("user alias")
    assert image.symbolise(abi.HIGH_ALIAS + start).endswith("high alias")
    assert image.symbolise(0x1234) == "0x1234"
    assert image.symbolise(abi.PARAMETERS) == hex(abi.PARAMETERS)
