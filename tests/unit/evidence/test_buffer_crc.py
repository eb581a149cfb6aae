"""The CRC of a buffer: sensitive to every byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.abi import BUFFER_BLOCK
from harness.evidence.seals import buffer_crc
from harness.kernel.program import Buffer


@given(st.binary(min_size=1, max_size=4 * BUFFER_BLOCK), st.data())
def test_a_changed_byte_changes_it(whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole)
    before = buffer_crc(bytes(content))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert buffer_crc(bytes(content)) != before


def test_the_place_of_a_block_counts() -> None:
    block = b"\1" + bytes(BUFFER_BLOCK - 1)
    first, second = block + bytes(BUFFER_BLOCK), bytes(BUFFER_BLOCK) + block
    assert buffer_crc(first) != buffer_crc(second)
    assert buffer_crc(bytes(8 * BUFFER_BLOCK)) == 0


def test_volatile_pieces_are_not_sealed() -> None:
    assert Buffer("b", 0x1000, 20).sealed == ((0x1000, 20),)
    assert Buffer("b", 0x1000, 20, ((4, 2), (18, 2))).sealed == ((0x1000, 4), (0x1006, 12))
    assert Buffer("b", 0x1000, 4, ((0, 4),)).sealed == ()
