"""When what is made here counts as the same as what GNU as makes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, cast

from harness.assembly import Assembled, AssemblyError, AssemblyProblem, Origin, SourceLine, assemble
from harness.assembly.round_trip import decode

__all__ = ["MORE_NAMES", "assembled_each", "assert_same_image", "gnu_text", "same_instruction"]

# Names of the manuals or other assemblers that GNU as does not accept, in Intel syntax.
MORE_NAMES = re.compile(r"(icebp|retn|sysret|sysretl|sysretd|sysexit|sysexitd)\b")
# REX.W that the manual makes superfluous: GNU as leaves it out, the statement's register is named all the same.
_WIDE_SELECTOR = re.compile(r"(mov|str|sldt) r\w+(, [c-gs]s)?")


def assembled_each(corpus: list[str], mode: int) -> list[bytes | AssemblyProblem]:
    """What each statement becomes, or why it is refused: all as one unit, then again without the refused ones."""
    width = cast(Literal[16, 32, 64], mode)
    lines = [SourceLine(statement, Origin("corpus", index)) for index, statement in enumerate(corpus)]
    results: dict[int, bytes | AssemblyProblem] = {}
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


_BRANCH = re.compile(r"\s*(?:[\w.]+:\s*)*(j\w+|call|loop\w*|\.\w+)\b")
_HEAD = re.compile(r"(\s*(?:[\w.]+:\s*)*\w+\s+)(.*)")
_WIDE = re.compile(r"\b((?:str|sldt) )r(\w\w)\b|\b(mov )r(\w\w)(?=, *[c-gs]s\b)")
_WORD = re.compile(r"(?<![\w.])\w+")


def gnu_text(source: Sequence[SourceLine], labels: Collection[str], constants: Mapping[str, int], address: int) -> str:
    """The same source as GNU as spells it: OFFSET before a label that is meant as a value, its own name for O32.

    Labels that are local to a block get names of their own, because GNU as has them in the whole file.
    """
    body: list[str] = []
    for line in source:
        text = re.sub(r"(#|;|//)(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$).*", "", line.text)
        text = re.sub(r"\bo32 lgdt\b", "data32 lgdt", text)
        text = re.sub(r"\.org +(.*)", rf".org (\1) - {address:#x}", text)  # GNU as counts from the section's start
        text = re.sub(r"(?<![\w.])\.L(\w+)", rf".Lblock{line.block}_\1", text)
        text = _WIDE.sub(_with_rex, text)
        match = _HEAD.match(text)
        if match and not _BRANCH.match(text):
            head, operands = match.groups()
            parts = re.split(r",(?![^\[]*\])", operands)
            text = head + ",".join(f" offset {part.strip()}" if _is_label(part, labels) else part for part in parts)
        body.append(text)
    used = set(_WORD.findall("\n".join(body)))
    return "\n".join([*(f".set {name}, {value:#x}" for name, value in constants.items() if name in used), *body])


def _with_rex(match: re.Match[str]) -> str:
    """REX.W written out, for GNU as leaves it out where it makes no difference; and so does the register's size."""
    head, number = match.group(1) or match.group(3), match.group(2) or match.group(4)
    return f"rex.w {head}{f'e{number}' if number.isalpha() else f'r{number}d'}"


def _is_label(operand: str, labels: Collection[str]) -> bool:
    return "[" not in operand and any(word in labels for word in _WORD.findall(operand))


def assert_same_image(done: Assembled, reference: bytes) -> None:
    """Each line has the bytes that GNU as gave it, or another encoding of the same instruction."""
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
