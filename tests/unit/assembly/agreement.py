"""When what is made here counts as the same as what GNU as makes."""

from __future__ import annotations

import re
from typing import Literal, cast

from harness.assembly import AssemblyError, Origin, Problem, SourceLine, assemble
from harness.assembly.check import decode

__all__ = ["MORE_NAMES", "assembled_each", "same_instruction"]

# Names that the manuals or other assemblers know and GNU as does not, in Intel syntax.
MORE_NAMES = re.compile(r"(icebp|retn|sysret|sysretl|sysretd|sysexit|sysexitd)\b")
# REX.W that the manual makes superfluous: GNU as leaves it out, the statement's register is named all the same.
_WIDE_SELECTOR = re.compile(r"(mov|str|sldt) r\w+(, [c-gs]s)?")


def assembled_each(corpus: list[str], mode: int) -> list[bytes | Problem]:
    """What each statement becomes, or why it is refused: all as one unit, then again without the refused ones."""
    width = cast(Literal[16, 32, 64], mode)
    lines = [SourceLine(statement, Origin("corpus", index)) for index, statement in enumerate(corpus)]
    results: dict[int, bytes | Problem] = {}
    done = None
    while done is None:  # a label can go with a refused line
        try:
            done = assemble([line for line in lines if line.origin.line not in results], address=0, mode=width)
        except AssemblyError as error:
            results |= {problem.origin.line: problem for problem in error.problems}
    for line in done.lines:
        assert line.origin.line not in results
        results[line.origin.line] = line.data
    return [results.get(index, b"") for index in range(len(corpus))]


def same_instruction(mode: int, statement: str, ours: bytes, theirs: bytes) -> bool:
    if ours == theirs:
        return True
    mine, other = decode(mode, ours, 0), decode(mode, theirs, 0)
    if mine is None or other is None or mine[0] != len(ours) or other[0] != len(theirs):
        return False
    if _WIDE_SELECTOR.fullmatch(statement) and mode == 64:
        return ours.replace(b"\x48", b"", 1) == theirs or ours[1:] == theirs[1:]
    return mine[1:] == other[1:]
