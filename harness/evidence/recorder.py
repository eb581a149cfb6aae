"""The first witness: the recorder, counts and values as the guest left them in memory."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness import abi
from harness.abi import MAILBOX_STRUCT, RECORD, TIME, Flag, MailboxStatus
from harness.evidence.failures import RunFailure
from harness.evidence.interrupts import InterruptRecord, Mark
from harness.hardware.exceptions import EXCEPTIONS
from harness.image.image import Image

__all__ = ["Mailbox", "Recording", "last_place", "read_counts", "read_mailbox", "read_recording"]


@dataclass(frozen=True)
class Mailbox:
    """The guest's mailbox."""

    status: MailboxStatus
    checkpoint: int
    head: int
    tsc_khz: int
    tsc_start: int
    storm: int
    wait_vector: int
    wait_count: int
    wait_number: int
    wait_cpu: int
    record_crc: int
    run_id: int
    boot_magic: int
    boot_info: int
    online: int = 1  # bit n: processor n was started


@dataclass(frozen=True)
class Recording:
    """The recorder decoded. `events` are interrupts and marks in order; `total` also counts those that did not fit."""

    events: tuple[InterruptRecord | Mark, ...]
    total: int
    crc: int
    counts: dict[tuple[int, int], int]  # (processor, vector) → number

    @property
    def overflowed(self) -> bool:
        """Whether entries in the middle were lost; the counts are exact all the same."""
        return self.total > abi.RECORDS


def read_mailbox(ram: memoryview, run_id: int) -> Mailbox:
    """The mailbox; the status of an earlier run is ignored."""
    data = bytes(ram[abi.MAILBOX : abi.MAILBOX + MAILBOX_STRUCT.size])
    field = MAILBOX_STRUCT.read_all(data)
    current = field["RUN_ID"] == run_id
    try:
        status = MailboxStatus(field["STATUS"]) if current else MailboxStatus.BOOTING
    except ValueError:
        raise RunFailure(f"the guest's status word is {field['STATUS']:#x}, which is not a defined value") from None
    return Mailbox(
        status=status,
        checkpoint=field["CHECKPOINT"],
        head=field["HEAD"] if current else 0,
        tsc_khz=field["TSC_KHZ"],
        tsc_start=field["TSC_START"],
        storm=field["STORM"],
        wait_vector=field["WAIT_VECTOR"],
        wait_count=field["WAIT_COUNT"],
        wait_number=field["WAIT_LINE"],
        wait_cpu=field["WAIT_CPU"],
        record_crc=field["RECORD_CRC"],
        run_id=field["RUN_ID"],
        boot_magic=field["BOOT_MAGIC"],
        boot_info=field["BOOT_INFO"],
        online=field["ONLINE"] if current else 0,
    )


def read_recording(ram: memoryview, mailbox: Mailbox, image: Image, marks: Sequence[str]) -> Recording:
    """Decode every entry that was stored. Raises `RunFailure` for an entry that was reserved and never completed."""
    head = mailbox.head
    stored = min(head, abi.RECORDS + abi.TAIL)
    data = bytes(ram[abi.RECORDER : abi.RECORDER + stored * RECORD.size])
    order = list(range(min(head, abi.RECORDS)))
    if head > abi.RECORDS:
        first = max(abi.RECORDS, head - abi.TAIL)
        order += [abi.RECORDS + (seq & (abi.TAIL - 1)) for seq in range(first, head)]
    times = bytes(ram[abi.TIMES : abi.TIMES + min(head, abi.RECORDS) * TIME.size])
    events = [_entry(data, slot * RECORD.size, times, mailbox, image, marks) for slot in order]
    return Recording(tuple(events), head, zlib.crc32(data), read_counts(ram))


def _where(image: Image, rip: int, wait: int, vector: int) -> str:
    """The interrupted place: the INT of a software interrupt; in a wait of the runtime the line that waits."""
    if image.waits(rip):
        line = image.line_at(wait - 1) if abi.PROGRAM < wait <= abi.PROGRAM + len(image.program.code) else None
        if line is not None:
            return f"waiting at {line.origin}"
    return image.symbolise(image.software_interrupt(rip, vector) or rip)


def last_place(ram: memoryview, mailbox: Mailbox, image: Image) -> str:
    """The place that the last complete entry interrupted; empty without one. The last entry may be incomplete."""
    for seq in range(mailbox.head - 1, max(mailbox.head - 3, -1), -1):
        slot = seq if seq < abi.RECORDS else abi.RECORDS + (seq & (abi.TAIL - 1))
        field = RECORD.read_all(ram, abi.RECORDER + slot * RECORD.size)
        if field["COMMIT"] == (mailbox.run_id + seq + 1) & 0xFFFF_FFFF and not field["FLAGS"] & Flag.MARK:
            return _where(image, field["RIP"], field["WAIT"], -1)
    return ""


_NEVER = bytes(1024)


def read_counts(ram: memoryview) -> dict[tuple[int, int], int]:
    """(Processor, vector) → number of arrivals, of those that arrived."""
    counts: dict[tuple[int, int], int] = {}
    for cpu in range(abi.CPUS):
        row = bytes(ram[abi.COUNTS + cpu * 1024 : abi.COUNTS + (cpu + 1) * 1024])
        if row != _NEVER:
            counts |= {(cpu, vector): count for vector, count in enumerate(memoryview(row).cast("I")) if count}
    return counts


def _entry(
    data: bytes, at: int, times: bytes, mailbox: Mailbox, image: Image, marks: Sequence[str]
) -> InterruptRecord | Mark:
    field = RECORD.read_all(data, at)
    seq = field["SEQ"]
    if field["COMMIT"] != (mailbox.run_id + seq + 1) & 0xFFFF_FFFF:
        slot = at // RECORD.size
        raise RunFailure(
            f"recorder entry {slot} was reserved but never completed: its commit word is {field['COMMIT']:#x} "
            "(the guest ended in the middle of an interrupt, or wrote over its recorder)"
        )
    vector, flags = field["VECTOR"], field["FLAGS"]
    tsc = (field["TSC"] - mailbox.tsc_start) & ((1 << 64) - 1)
    if flags & Flag.MARK:
        return Mark(seq, field["CPU"], marks[vector] if vector < len(marks) else f"mark {vector}", tsc)
    row = EXCEPTIONS.get(vector)
    return InterruptRecord(
        seq=seq,
        cpu=field["CPU"],
        vector=vector,
        name=row.mnemonic if row and not flags & Flag.IN_SERVICE else "",
        error_code=field["ERROR"] if flags & Flag.ERROR_CODE else None,
        cs=field["CS"],
        rip=field["RIP"],
        where=_where(image, field["RIP"], field["WAIT"], -1 if flags & Flag.IN_SERVICE else vector),
        rflags=field["RFLAGS"],
        ss=field["SS"],
        rsp=field["RSP"],
        cr2=field["CR2"],
        tsc=tsc,
        in_service=bool(flags & Flag.IN_SERVICE),
        depth=field["DEPTH"],
        handled=bool(flags & Flag.HANDLED),
        if_on_entry=bool(flags & Flag.IF_ON),
        eoi_tsc=_time(times, at // RECORD.size, "EOI", tsc, mailbox),
        iretq_tsc=_time(times, at // RECORD.size, "IRETQ", tsc, mailbox),
    )


def _time(times: bytes, slot: int, name: str, arrival: int, mailbox: Mailbox) -> int | None:
    """A time of an entry. One before the entry's arrival is that of another boot of the same run."""
    at = slot * TIME.size
    ticks = TIME.read(times, name, at) if at < len(times) else 0
    since = (ticks - mailbox.tsc_start) & ((1 << 64) - 1)
    return since if ticks and since >= arrival else None
