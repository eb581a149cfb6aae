"""The witness: whatever is wrong with the bytes, it must say so."""

from __future__ import annotations

import random

import pytest

from harness.assembly.check import decode, disagreement
from harness.assembly.concrete import Encoded
from harness.assembly.encode import Key, encode
from harness.assembly.statement import Instruction, parse_line

from .corpus import statements


def _encodings(mode: int, count: int) -> list[tuple[str, Encoded]]:
    corpus = statements(mode, 0)
    random.Random(mode).shuffle(corpus)
    wanted: dict[Key, Instruction] = {}
    for text in corpus[: 3 * count]:
        body = parse_line(text).body
        if isinstance(body, Instruction) and not body.names:
            wanted[Key(mode, text, ())] = body
    outcomes = encode(wanted)
    made = [(key.text, outcome) for key in wanted if isinstance(outcome := outcomes[key], Encoded)]
    return made[:count]


def _text(mode: int, data: bytes) -> tuple[str, str] | None:
    decoded = decode(mode, data, 0)
    return decoded[1:] if decoded is not None and decoded[0] == len(data) else None


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_every_changed_bit_is_seen(mode: int) -> None:
    """Flip each bit of many instructions: accepted only where the decoder shows the very same instruction."""
    tried = 0
    for text, encoded in _encodings(mode, 250):
        right = _text(mode, encoded.data)
        for bit in range(8 * len(encoded.data)):
            changed = bytearray(encoded.data)
            changed[bit // 8] ^= 1 << bit % 8
            wrong = bytes(changed)
            tried += 1
            if disagreement(encoded.concrete, wrong, 0) is None:
                same = _text(mode, wrong) == right
                commutes = encoded.concrete.mnemonic in ("xchg", "test") or text.startswith(
                    ("jmp", "call", "lar", "lsl")
                )
                assert same or commutes, f"{text}: {encoded.data.hex(' ')} became {wrong.hex(' ')}"
    assert tried > 5000


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_a_neighbour_is_never_mistaken(mode: int) -> None:
    """Each instruction against the bytes of others: accepted only where they are the same instruction."""
    made = _encodings(mode, 400)
    chance = random.Random(99)
    for text, encoded in made:
        for other_text, other in chance.sample(made, 12):
            if disagreement(encoded.concrete, other.data, 0) is None:
                assert _text(mode, other.data) == _text(mode, encoded.data), f"{text} / {other_text}"


def test_a_prefix_too_many_is_seen() -> None:
    for _, encoded in _encodings(64, 200):
        for prefix in (0xF0, 0x66, 0x67, 0x64, 0x2E):
            extra = bytes([prefix]) + encoded.data
            if prefix not in encoded.data[:4] and not (prefix == 0x66 and not encoded.concrete.size):
                assert disagreement(encoded.concrete, extra, 0) is not None, extra.hex(" ")


def test_truncated_and_extended_bytes_are_seen() -> None:
    for _, encoded in _encodings(64, 200):
        assert disagreement(encoded.concrete, encoded.data + b"\x90", 0) is not None
        if len(encoded.data) > 1:
            assert disagreement(encoded.concrete, encoded.data[:-1], 0) is not None
