"""GNU as must agree: on every statement of a large corpus, and on the guest runtime as it is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from harness import abi
from harness.assembly import AssemblyError, AssemblyProblem, SourceLine, assemble, source_from_text

from .agreement import MORE_NAMES, assembled_each, assert_same_image, gnu_text, same_instruction
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


@pytest.mark.slow
@pytest.mark.parametrize("mode", [64, 32, 16])
def test_corpus(mode: int) -> None:
    corpus = statements(mode)
    complaints: list[str] = []
    counts: Counter[str] = Counter()
    for statement, theirs, ours in zip(corpus, gnu_statements(mode, corpus), assembled_each(corpus, mode), strict=True):
        if isinstance(ours, AssemblyProblem):
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
    assert_same_image(done, gnu_image(gnu_text(source, labels, constants, address), 32, address, symbols))


def test_there_is_a_runtime() -> None:
    assert len(RUNTIME) >= 5
