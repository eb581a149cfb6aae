"""The second witness: the report that the guest prints on COM1, parsed. Format: guest/runtime/serial.asm."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

__all__ = ["ConsoleReport", "ReportError", "parse_report"]

_IRQ_FIELDS = (
    "seq",
    "cpu",
    "vector",
    "flags",
    "depth",
    "error",
    "rip",
    "cs",
    "rflags",
    "rsp",
    "ss",
    "cr2",
    "tsc",
    "wait",
)


class ReportError(Exception):
    """The console does not hold one whole, undamaged report."""


@dataclass
class ConsoleReport:
    """One report. Numbers are as printed: TSC absolute, a value that was never written is `None`."""

    run_id: int
    probe: str
    values: dict[str, int | None] = field(default_factory=dict)
    counts: dict[tuple[int, int], int] = field(default_factory=dict)
    records: list[dict[str, int | None]] = field(default_factory=list)
    status: int = -1
    head: int = 0
    tsc_khz: int = 0
    record_crc: int = 0
    mailbox_crc: int = 0
    other: list[str] = field(default_factory=list)  # what the program printed itself


def parse_report(output: bytes) -> ConsoleReport:
    """Parse the console of one run.

    Raises `ReportError`: no report, no end (truncated), a damaged line, or a wrong checksum.
    """
    start = output.rfind(b"@run ")
    if start < 0:
        raise ReportError("there is no report on the console (no line begins with '@run')")
    text = output[start:]
    end = text.find(b"\n@end ")
    if end < 0:
        raise ReportError(f"the report on the console is truncated: no '@end' after {len(text)} bytes")
    lines = text[: end + 1].decode("latin-1").splitlines()
    tail = text[end + 1 :].split(b"\n", 1)[0]
    report = _head(lines[0])
    for line in lines[1:]:
        _line(report, line)
    words = tail.decode("latin-1").split()
    try:
        _, status, head, tsc_khz, record_crc, mailbox_crc, text_crc = words
        report.status, report.head, report.tsc_khz = int(status, 16), int(head, 16), int(tsc_khz, 16)
        report.record_crc, report.mailbox_crc = int(record_crc, 16), int(mailbox_crc, 16)
        wanted = int(text_crc, 16)
    except ValueError:
        raise ReportError(f"the report's last line is damaged: {tail!r}") from None
    covered = text[: end + 1 + tail.rfind(b" ") + 1]
    if zlib.crc32(covered) != wanted:
        raise ReportError(f"the report's checksum is {wanted:08x}, its text gives {zlib.crc32(covered):08x}")
    report.other = output[:start].decode("latin-1").splitlines()
    return report


def _head(line: str) -> ConsoleReport:
    words = line.split()
    try:
        return ConsoleReport(int(words[1], 16), words[2])
    except (ValueError, IndexError):
        raise ReportError(f"the report's first line is damaged: {line!r}") from None


def _line(report: ConsoleReport, line: str) -> None:
    words = line.split()
    try:
        match words:
            case ["@value", name, "-"]:
                report.values[name] = None
            case ["@value", name, number]:
                report.values[name] = int(number, 16)
            case ["@count", cpu, vector, number]:
                report.counts[int(cpu, 16), int(vector, 16)] = int(number, 16)
            case ["@irq", *numbers] if len(numbers) == len(_IRQ_FIELDS):
                report.records.append(
                    {n: None if word == "-" else int(word, 16) for n, word in zip(_IRQ_FIELDS, numbers, strict=True)}
                )
            case _:
                raise ReportError(f"a line of the report is damaged: {line!r}")
    except ValueError:
        raise ReportError(f"a line of the report is damaged: {line!r}") from None
