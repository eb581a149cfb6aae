"""Whatever is written: no crash, no hang, and nothing accepted that GNU as reads otherwise."""

from __future__ import annotations

import random
import re
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.assembly import AssemblyError, AssemblyProblem, assemble, source_from_text
from harness.assembly.mnemonics import KNOWN
from harness.assembly.registers import REGISTERS

from .agreement import MORE_NAMES, assembled_each, same_instruction
from .corpus import statements
from .gnu import gnu_statements

_WORDS = sorted({*KNOWN, *REGISTERS})
_WORDS += [".byte", ".word", ".long", ".quad", ".ascii", ".asciz", ".zero", ".fill", ".balign", ".org", ".set", ".rept"]
_WORDS += [".endr", ".code16", ".code32", ".code64", "byte ptr", "dword ptr", "qword ptr", "far ptr", "offset", "short"]
_WORDS += ["1:", "1b", "1f", "a:", "a", ".La:", ".La", "lock", "rep", "repne", "o32", "[", "]", "(", ")", ",", ":", "+"]
_WORDS += ["-", "*", "/", "<<", ">>", "&", "|", "^", "~", ".", "$", "=", "0", "1", "8", "0x7f", "0x80", "0xffffffff"]
_WORDS += [
    "0xffffffffffffffff",
    "-1",
    "'a'",
    '"text"',
    '"',
    "'",
    "\\",
    "#",
    ";",
    "//",
    "/*",
    "%",
    "@",
    "{",
    "0x",
    "0b1",
]
_WORDS += ["fs:", "cs:", "st(1)", "st", "rip", "[rip+a]", "[rax+rcx*4+8]", "1.5", "é", "\t", "\0", "\ud800"]

_LINES = st.lists(st.lists(st.sampled_from(_WORDS), max_size=7).map(" ".join), max_size=6).map("\n".join)


def _accepts_or_refuses(text: str, mode: Literal[16, 32, 64], address: int = 0x1000) -> None:
    try:
        done = assemble(source_from_text(text, "fuzz"), address=address, mode=mode)
    except AssemblyError as refused:
        problems = refused.problems
    else:
        assert b"".join(line.data for line in done.lines) == done.code
        for line in done.lines:
            line.decoded()
        return
    assert problems and all(problem.reason for problem in problems)


@settings(max_examples=400)
@given(_LINES, st.sampled_from([16, 32, 64]))
@example(".rept 3\n" * 30, 64)
@example("(" * 5000, 64)
@example("mov eax, " + "-" * 5000 + "1", 64)
@example("mov eax, " + "1+" * 5000 + "1", 64)
@example("a = b\n" + "".join(f"n{i} = n{i + 1}\n" for i in range(3000)), 64)
@example(".rept 99999999999\nnop\n.endr", 64)
@example(".zero 0x7fffffffffffffff", 64)
@example("mov eax, 1 << 63 << 63", 64)
@example("mov eax, " + "9" * 6000, 64)
@example("x" * 30000, 64)
@example("mov ah, r8b", 64)
def test_words(text: str, mode: Literal[16, 32, 64]) -> None:
    _accepts_or_refuses(text, mode)


@settings(max_examples=200)
@given(st.text(max_size=60), st.sampled_from([16, 32, 64]))
def test_any_text(text: str, mode: Literal[16, 32, 64]) -> None:
    _accepts_or_refuses(text, mode)


@settings(max_examples=100)
@given(_LINES, st.integers(0, (1 << 64) - 1))
def test_any_address(text: str, address: int) -> None:
    _accepts_or_refuses(text, 64, address)


def _mutants(mode: int, count: int, seed: int = 4711) -> list[str]:
    chance = random.Random(seed + mode)
    cut = [re.findall(r"[\w.]+|\s+|.", statement) for statement in chance.sample(statements(mode, 0), 3000)]
    pieces = [piece for statement in cut for piece in statement if piece.strip()]
    made: list[str] = []
    while len(made) < count:
        parts = list(chance.choice(cut))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            place = chance.randrange(len(parts))
            piece = parts[place]
            at = chance.randrange(len(piece) + 1)
            parts[place : place + 1] = chance.choice(
                (
                    [chance.choice(pieces)],
                    [chance.choice(pieces), piece],
                    [] if len(parts) > 1 else [piece],
                    [piece[:at], chance.choice("0x1f-+*[]()%,: abcdq~|&<>'\""), piece[at:]],
                    [piece[:at], piece[at + 1 :]],
                    [piece, piece],
                )
            )
        text = "".join(parts)
        if re.match(r"\s*([\w.]+\s*[:=]|(j\w+|call|loop\w*|xbegin)\s[^\[]*$)", text):
            continue  # labels and relative targets are for whole units
        made.append(text)
    return list(dict.fromkeys(made))


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_what_is_accepted_of_edited_statements_is_what_gnu_reads(mode: int) -> None:
    mutants = _mutants(mode, 6000)
    accepted = [
        (text, made)
        for text, made in zip(mutants, assembled_each(mutants, mode), strict=True)
        if not isinstance(made, AssemblyProblem) and not re.search(r"(?<![\w.])\.(?![\w.])|\$", text)
    ]
    assert 200 < len(accepted) < len(mutants)
    theirs = gnu_statements(mode, [re.sub(r"(#|;|//).*", "", text) for text, _ in accepted])
    for (text, ours), reference in zip(accepted, theirs, strict=True):
        if reference is None:
            assert MORE_NAMES.match(text.strip()), text
        else:
            assert same_instruction(mode, re.sub(r"\s*,\s*", ", ", " ".join(text.split())), ours, reference), text
