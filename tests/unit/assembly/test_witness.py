"""The witness asked for many at once says what it says for each, and the quick parser what the parser says."""

from __future__ import annotations

import random

import pytest

from harness.assembly.check import disagreement
from harness.assembly.concrete import Concrete, ConcreteValue, Encoded
from harness.assembly.encode import Key, encode
from harness.assembly.errors import Refusal
from harness.assembly.expression import names_of
from harness.assembly.operands import nodes_of, parse_operands
from harness.assembly.plain import plain_operands
from harness.assembly.statement import Instruction, parse_line
from harness.assembly.tokens import Tokens, tokenize
from harness.assembly.witness import Claim, complaints
from harness.kernel.runtime import runtime_source

from .corpus import statements


def _claims(mode: int, count: int) -> list[Claim]:
    corpus = statements(mode, 0)
    random.Random(mode + 7).shuffle(corpus)
    wanted: dict[Key, Instruction] = {}
    for text in corpus[: 3 * count]:
        body = parse_line(text).body
        if isinstance(body, Instruction) and not body.names:
            wanted[Key(mode, text, ())] = body
    outcomes = encode(wanted)
    made = [outcome for key in wanted if isinstance(outcome := outcomes[key], Encoded)]
    return [Claim(encoded.concrete, encoded.data) for encoded in made if encoded.data[0] != 0x9B][:count]


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_a_run_is_judged_as_its_instructions_are(mode: int) -> None:
    """Whatever bit flips, and however a longer or shorter neighbour shifts the decoder."""
    claims = _claims(mode, 300)
    assert complaints(mode, claims) == [None] * len(claims)
    chance = random.Random(mode)
    seen = {True: 0, False: 0}
    for _ in range(60):
        run = chance.sample(claims, 40)
        for index in chance.sample(range(len(run)), 12):
            data = bytearray(run[index].data)
            bit = chance.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
            run[index] = run[index]._replace(data=bytes(data[: chance.choice((len(data), len(data), 1))]))
        alone = [disagreement(claim.concrete, claim.data, claim.address) for claim in run]
        assert complaints(mode, run) == alone
        for complaint in alone:
            seen[complaint is None] += 1
    assert min(seen.values()) > 300, seen


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_a_relative_target_counts_from_the_address(mode: int) -> None:
    address = 0x7C00
    claims = [
        Claim(Concrete(mode, (), "jmp", (ConcreteValue(address + n, mode),)), b"\xeb" + bytes([n - 2]), address)
        for n in range(2, 100, 7)
    ]
    assert complaints(mode, claims) == [None] * len(claims)
    moved = [claim._replace(address=address + 1) for claim in claims]
    assert None not in complaints(mode, moved)


def test_an_instruction_that_the_decoder_does_not_know_stops_nothing() -> None:
    unknown = Claim(Concrete(64, (), "serialize", ()), b"\x0f\x01\xe8")
    nop, hlt = Claim(Concrete(64, (), "nop", ()), b"\x90"), Claim(Concrete(64, (), "hlt", ()), b"\xf4")
    wrong = Claim(Concrete(64, (), "nop", ()), b"\xf4")
    told = complaints(64, [nop, unknown, hlt, unknown, wrong, nop])
    assert [complaint is None for complaint in told] == [True, True, True, True, False, True]


@pytest.mark.parametrize("mode", [64, 16])
def test_the_quick_way_past_the_parser_gives_what_the_parser_gives(mode: int) -> None:
    lines = [line.text for line in runtime_source()]
    lines += [*statements(mode, 2000), "nop [rax+ptr]", "mov eax, [x+rax]", "mov eax, ., .La", "mov st, st(1)"]
    quick = 0
    for line in lines:
        _, _, rest = line.split("#")[0].strip().partition(" ")
        if not rest.strip() or any(character in rest for character in "\"';:="):
            continue
        found = plain_operands(rest)
        try:
            parsed = parse_operands(Tokens(tokenize(rest)))
        except Refusal:
            assert found is None, line
            continue
        assert found is not None, line
        names = tuple(name for operand in parsed for node in nodes_of(operand) for name in names_of(node))
        assert found == (parsed, names), line
        assert [*map(type, found[0])] == [*map(type, parsed)], line
        quick += 1
    assert quick > 1000
