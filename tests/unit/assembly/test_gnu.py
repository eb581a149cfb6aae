"""GNU as must agree: on every statement of a large corpus, and on the guest runtime as it is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from harness import abi
from harness.assembly import Assembled, AssemblyError, Problem, SourceLine, assemble, source_from_text
from harness.assembly.check import decode

from .agreement import MORE_NAMES, assembled_each, same_instruction
from .corpus import statements
from .gnu import gnu_image, gnu_statements

RUNTIME = sorted((Path(__file__).parents[3] / "guest" / "runtime").glob("*.asm"))

# GNU as truncates or reinterprets in silence what these reasons refuse; everything else it accepts must be accepted.
_STRICTER = re.compile(
    r"does not fit|exists only in 64-bit mode|does not exist in|cannot be part of an address"
    r"|the size of the memory operand is unknown|not clear about its size|is written without operands"
    r"|movzx does not take|movsx does not take|movsxd does not take|could be a near .* or a far"
    r"|(call|jmp) does not take these operands in 64-bit mode"
    r"|(shl|sal|shr|sar|rol|ror|rcl|rcr) does not take"
    r"|(clflush|clflushopt|clwb|invlpg|prefetch\w*) does not take|movd does not take|ljmp|lcall"
)


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_corpus(mode: int) -> None:
    corpus = statements(mode)
    complaints: list[str] = []
    counts: Counter[str] = Counter()
    for statement, theirs, ours in zip(corpus, gnu_statements(mode, corpus), assembled_each(corpus, mode), strict=True):
        if isinstance(ours, Problem):
            counts["refused by both" if theirs is None else "refused here only"] += 1
            if theirs is not None and not _STRICTER.search(ours.reason):
                complaints.append(f"{statement}: GNU as makes {theirs.hex(' ')}, here: {ours.reason}")
        elif theirs is None:
            counts["accepted here only"] += 1
            if not MORE_NAMES.match(statement):
                complaints.append(f"{statement}: GNU as refuses, here {ours.hex(' ')}")
        else:
            counts["the same bytes" if ours == theirs else "the same instruction"] += 1
            if not same_instruction(mode, statement, ours, theirs):
                complaints.append(f"{statement}: GNU as makes {theirs.hex(' ')}, here {ours.hex(' ')}")
    assert not complaints, f"{len(complaints)} of {len(corpus)}:\n" + "\n".join(complaints[:40])
    assert counts["the same bytes"] > 10_000, counts
    assert counts["the same instruction"] < 200, counts


# -- whole units ------------------------------------------------------------------------------------------------------


def _outside(source: list[SourceLine], address: int, constants: dict[str, int]) -> dict[str, int]:
    """Addresses for the symbols that a file expects from others: near enough for a call, too far for a short jump."""
    try:
        assemble(source, address=address, mode=32, constants=constants)
    except AssemblyError as error:
        names = {
            match for problem in error.problems for match in re.findall(r"undefined symbol '(\w+)'", problem.reason)
        }
        return {name: address + 0x8000 + 16 * index for index, name in enumerate(sorted(names))}
    return {}


def _gnu_text(source: list[SourceLine], labels: set[str], constants: dict[str, int], address: int) -> str:
    """The same source as GNU as spells it: OFFSET before a label that is meant as a value, its own name for O32."""
    lines = [f".set {name}, {value:#x}" for name, value in constants.items()]
    word = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, labels or {"\0"})) + r")(?![\w.])")
    branch = re.compile(r"\s*(?:\w+:\s*)?(j\w+|call|loop\w*|\.\w+)\b")
    for line in source:
        text = re.sub(r"(#|;|//)(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$).*", "", line.text)
        text = re.sub(r"\bo32 lgdt\b", "data32 lgdt", text)
        text = re.sub(r"\.org +(.*)", rf".org (\1) - {address:#x}", text)  # GNU as counts from the section's start
        if not branch.match(text) and word.search(text):
            match = re.match(r"(\s*(?:[\w.]+:\s*)*\w+\s+)(.*)", text)
            if match:
                head, operands = match.groups()
                parts = re.split(r",(?![^\[]*\])", operands)
                parts = [part if "[" in part or not word.search(part) else f" offset {part.strip()}" for part in parts]
                text = head + ",".join(parts)
        lines.append(text)
    return "\n".join(lines)


def _compare(done: Assembled, reference: bytes) -> None:
    assert len(done.code) == len(reference)
    for line in done.lines:
        start = line.address - done.address
        theirs = reference[start : start + len(line.data)]
        if line.kind == "directive" or line.data == theirs:  # a filling is free
            continue
        assert line.kind == "instruction", line
        mine, other = decode(line.mode, line.data, line.address), decode(line.mode, theirs, line.address)
        assert mine is not None and mine == other, (
            f"{line.origin}: {line.text}: {line.data.hex(' ')}, GNU as {theirs.hex(' ')}"
        )


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: path.name)
def test_runtime(path: Path) -> None:
    constants = dict(abi.constants())
    address = abi.RUNTIME
    if path.name == "rom.asm":
        address = 0xFFFF_0000
        constants |= {"ROM": address, "RESET_VECTOR": 0xFFFF_FFF0}
    source = source_from_text(path.read_text(), path.name)
    symbols = _outside(source, address, constants)
    done = assemble(source, address=address, mode=32, constants=constants, symbols=symbols)
    labels = set(done.symbols) | set(symbols)
    _compare(done, gnu_image(_gnu_text(source, labels, constants, address), 32, address, symbols))


def test_there_is_a_runtime() -> None:
    assert len(RUNTIME) >= 5
