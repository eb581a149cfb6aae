"""The round trip: whatever is wrong with the bytes is found."""

from __future__ import annotations

import random

import pytest

from harness.assembly import AssemblyProblem
from harness.assembly.encode import EncodingKey, encode
from harness.assembly.mnemonics import KNOWN, RELATIVE
from harness.assembly.no_operands import NO_OPERANDS, no_operand_bytes
from harness.assembly.registers import REGISTERS
from harness.assembly.round_trip import decode, mismatch
from harness.assembly.settled import Encoded, Settled, SettledValue
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction, parse_line

from .agreement import assembled_each
from .corpus import statements


def _encodings(mode: int, count: int) -> list[tuple[str, Encoded]]:
    corpus = statements(mode, 0)
    random.Random(mode).shuffle(corpus)
    wanted: dict[EncodingKey, Instruction] = {}
    for text in corpus[: 3 * count]:
        body = parse_line(text).body
        if isinstance(body, Instruction) and not body.names:
            wanted[EncodingKey(mode, text, ())] = body
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
            if mismatch(encoded.settled, wrong) is None:
                same = _text(mode, wrong) == right
                commutes = encoded.settled.mnemonic in ("xchg", "test") or text.startswith(
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
            if mismatch(encoded.settled, other.data) is None:
                assert _text(mode, other.data) == _text(mode, encoded.data), f"{text} / {other_text}"


def test_a_prefix_too_many_is_seen() -> None:
    for _, encoded in _encodings(64, 200):
        for prefix in (0xF0, 0x66, 0x67, 0x64, 0x2E):
            extra = bytes([prefix]) + encoded.data
            if prefix not in encoded.data[:4]:
                assert mismatch(encoded.settled, extra) is not None, extra.hex(" ")


def test_truncated_and_extended_bytes_are_seen() -> None:
    for _, encoded in _encodings(64, 200):
        assert mismatch(encoded.settled, encoded.data + b"\x90") is not None
        if len(encoded.data) > 1:
            assert mismatch(encoded.settled, encoded.data[:-1]) is not None


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_a_relative_target_counts_from_the_address(mode: int) -> None:
    address = 0x7C00
    for n in range(2, 100, 7):
        settled = Settled(mode, (), "jmp", (SettledValue(address + n, mode),))
        data = b"\xeb" + bytes([n - 2])
        assert mismatch(settled, data, address) is None
        assert mismatch(settled, data, address + 1) is not None


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_instructions_without_operands_decode_to_one_instruction(mode: int) -> None:
    """Those of the table, which have no round trip of their own. Test_gnu.test_corpus compares their bytes."""
    decoded = 0
    for mnemonic in NO_OPERANDS:
        try:
            data = no_operand_bytes(mnemonic, (), mode)
        except Refusal:
            continue
        if mnemonic == "serialize":  # Capstone 5 does not support it
            assert data == b"\x0f\x01\xe8"
            continue
        if data[0] == 0x9B:  # FINIT is FWAIT and FNINIT
            data = data[1:] or data
        found = decode(mode, data, 0)
        assert found is not None and found[0] == len(data), mnemonic
        decoded += 1
    assert decoded > 140


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_every_wrong_form_is_refused_without_a_crash(mode: int) -> None:
    """Operands drawn blindly for every mnemonic, in every number: Keystone must not end the process."""
    chance = random.Random(mode)
    general = [name for name in REGISTERS if "(" not in name]
    memory = {64: "[rax+r9*2+0x40]", 32: "[eax+ecx*2+0x40]", 16: "[bx+si+0x40]"}[mode]
    pool = [*general, *general, memory, "0x12", "-1", "0x12345678"]
    pool += [f"{size} ptr {memory}" for size in ("byte", "word", "dword", "fword", "qword", "tbyte", "xmmword")]
    corpus = [
        f"{mnemonic} {', '.join(chance.choices(pool, k=count))}"
        for mnemonic in sorted(KNOWN - RELATIVE)
        for count in (1, 2, 2, 3, 4)
    ]
    results = assembled_each(corpus, mode)
    assert sum(isinstance(result, AssemblyProblem) for result in results) > len(corpus) // 2
