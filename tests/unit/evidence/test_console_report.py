"""The console's report: what is whole is read, what is damaged is refused."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evidence.console_report import ReportError, parse_report


def report(body: str, status: int = 3) -> bytes:
    text = f"@run 10000 a_probe\n{body}@end {status:x} 1 f4240 abcd 1234 ".encode()
    return text + f"{zlib.crc32(text):x}\n".encode()


GOOD = report("@value seen 18700\n@value never -\n@count 0 40 1\n@irq 0 0 40 2 0 - 100 8 202 50 10 0 99 0\n")


def test_a_whole_report() -> None:
    found = parse_report(b"hello\n" + GOOD)
    assert found.run_id == 0x10000
    assert found.values == {"seen": 0x18700, "never": None}
    assert found.counts == {(0, 0x40): 1}
    assert found.records[0]["vector"] == 0x40
    assert found.records[0]["error"] is None
    assert (found.status, found.head, found.tsc_khz) == (3, 1, 1_000_000)
    assert (found.record_crc, found.mailbox_crc) == (0xABCD, 0x1234)
    assert found.other == ["hello"]


def test_the_last_report_counts() -> None:
    assert parse_report(report("@value seen 1\n") + report("@value seen 2\n")).values == {"seen": 2}


@given(st.integers(0, len(GOOD) - 2))
def test_a_truncated_report_is_refused(length: int) -> None:
    with pytest.raises(ReportError):
        parse_report(GOOD[:length])


@given(st.integers(0, len(GOOD) - 2), st.integers(1, 255))
def test_a_changed_byte_is_never_read_as_something_else(position: int, change: int) -> None:
    damaged = bytearray(GOOD)
    damaged[position] ^= change
    try:
        found = parse_report(bytes(damaged))
    except ReportError:
        return
    # The checksum's own digits may change case without changing their value.
    assert found == parse_report(GOOD)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(ReportError):
        parse_report(noise)
