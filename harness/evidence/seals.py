"""CRCs that the guest calculated over its evidence while it ran (guest/runtime/seal.asm), checked against its memory.

The console has the CRC of the mailbox, the mailbox that of the CRCs at `SEALS`, and each of those covers one snapshot
or one buffer. The first two are checked in every run, the others when the judgement reads what they cover.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from harness import abi
from harness.evidence.failures import WitnessDisagreement
from harness.kernel.program import Buffer

__all__ = ["Seals", "buffer_crc"]

_COLUMNS = 64  # bytes to which a whole block is folded
_NOTHING = bytes(_COLUMNS)


def buffer_crc(content: bytes) -> int:
    """The CRC-32 of a buffer as the guest calculates it (`seal_buffers` in guest/runtime/seal.asm)."""
    whole = len(content) // abi.BUFFER_BLOCK * abi.BUFFER_BLOCK
    fold = int.from_bytes(content[:whole], "little")
    for width in (256, 128, _COLUMNS):  # all blocks at once: carries from the next block stay above the columns
        fold ^= fold >> 8 * width
    folded = fold.to_bytes(whole, "little")
    crc = 0
    for at in range(0, whole, abi.BUFFER_BLOCK):
        columns = folded[at : at + _COLUMNS]
        if columns != _NOTHING:
            crc = zlib.crc32(columns, crc ^ at)
    return zlib.crc32(content[whole:], crc ^ whole) if whole < len(content) else crc


class Seals:
    """The CRCs of one run that has ended."""

    def __init__(self, ram: memoryview, mailbox_crc: int) -> None:
        """Check the mailbox against the console's CRC, and the seals against the mailbox.

        Raises WitnessDisagreement.
        """
        self._ram = ram
        start = abi.MAILBOX
        mailbox = bytes(ram[start : start + abi.MAILBOX_STRUCT.size])
        _compare("the mailbox", mailbox[abi.MAILBOX_SEALED : abi.MAILBOX_SEALED_END], mailbox_crc)
        ranges = abi.MAILBOX_STRUCT.read(mailbox, "RANGES")
        self._seals = bytes(ram[abi.SEALS : abi.SEALS + 4 * (abi.SEALS_RANGES + ranges)])
        self._checked: set[int] = set()
        _compare("the CRCs of snapshots and buffers", self._seals, abi.MAILBOX_STRUCT.read(mailbox, "SEALS_CRC"))

    def check_snapshot(self, address: int, content: bytes, what: str) -> None:
        """Check the snapshot at an address. Raises WitnessDisagreement."""
        if address < abi.CPU_SNAPSHOTS:
            index = (address - abi.SNAPSHOTS) // abi.SNAPSHOT.size
        else:
            index = abi.SNAPSHOTS_MAX + (address - abi.CPU_SNAPSHOTS) // abi.SNAPSHOT.size
        _compare(f"the snapshot at {what}", content[: abi.SNAPSHOT_SEALED], self._seal(index))

    def check_buffers(self, buffers: Iterable[Buffer], start: int, end: int) -> None:
        """Check the sealed ranges of the program's buffers that overlap these addresses. Raises WitnessDisagreement."""
        ranges = ((buffer.name, at, size) for buffer in buffers for at, size in buffer.sealed)
        for index, (name, at, size) in enumerate(ranges, abi.SEALS_RANGES):
            if start < at + size and at < end and index not in self._checked:
                _differ(f"buffer {name!r}", buffer_crc(bytes(self._ram[at : at + size])), self._seal(index))
                self._checked.add(index)

    def _seal(self, index: int) -> int:
        return int.from_bytes(self._seals[4 * index : 4 * index + 4], "little")


def _compare(what: str, content: bytes, sealed: int) -> None:
    _differ(what, zlib.crc32(content), sealed)


def _differ(what: str, crc: int, sealed: int) -> None:
    if crc != sealed:
        raise WitnessDisagreement(
            f"witnesses disagree about {what}: its CRC-32 is {crc:08x} in memory, the guest calculated {sealed:08x} "
            "at the end of the run. Expected: equal. Something wrote to it later: let the program wait until every "
            "device is done"
        )
