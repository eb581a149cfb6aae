"""Compares the three witnesses, memory, console and QMP, at the end of every run."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING

from harness import abi
from harness.abi import Flag, MailboxStatus
from harness.evidence.comparisons import compare_registers
from harness.evidence.console_report import ReportError, parse_report
from harness.evidence.evidence import Evidence
from harness.evidence.failures import WitnessDisagreement
from harness.evidence.interrupts import InterruptRecord, Mark
from harness.evidence.seals import Seals
from harness.evidence.second_source import check_second_source

if TYPE_CHECKING:
    from harness.evidence.recorder import Recording
    from harness.qemu.dumps import CpuRegisters

__all__ = ["check_registers", "check_seen", "check_witnesses"]


def check_witnesses(run: Evidence) -> None:
    """Raise `WitnessDisagreement` where they differ. Stores the sealed CRCs in `run`."""
    output, cpus = run.machine.stop_evidence()
    _check_memory(run)
    _check_counts(run)
    run.seals = Seals(run.machine.ram, _check_console(run, output))
    run.printed = output[: max(output.rfind(b"@run "), 0)]
    check_registers(run, cpus)
    if run.machine.config.interrupt_log:
        check_second_source(run)


def _check_memory(run: Evidence) -> None:
    """The recorder against the CRC that the guest computed while it still ran."""
    if run.recording.crc != run.mailbox.record_crc:
        raise WitnessDisagreement(
            f"witnesses disagree: the recorder's CRC-32 is {run.recording.crc:08x} in memory, the guest computed "
            f"{run.mailbox.record_crc:08x}: something wrote to the recorder after the end"
        )


def check_seen(run: Evidence, seen: Recording) -> None:
    """Compare what was read of the recorder at a checkpoint with the sealed recorder at the end."""
    if run.recording.overflowed:
        return
    last = run.recording
    for number, (mine, theirs) in enumerate(zip_longest(seen.events, last.events[: len(seen.events)])):
        if mine != theirs:
            raise WitnessDisagreement(
                f"witnesses disagree about recorder entry {number}: it was {_event(mine)} at a "
                f"checkpoint, and is {_event(theirs)} at the end of the run. Expected: equal"
            )
    for (cpu, vector), count in seen.counts.items():
        if count > last.counts.get((cpu, vector), 0):
            raise WitnessDisagreement(
                f"witnesses disagree about vector {vector:02x}h of processor {cpu}: its count was {count} at a "
                f"checkpoint, and is {last.counts.get((cpu, vector), 0)} at the end of the run"
            )


def _event(event: InterruptRecord | Mark | None) -> str:
    match event:
        case InterruptRecord():
            fields = ("error_code", "rflags", "ss", "rsp", "cr2", "tsc", "in_service", "depth")
            rest = ", ".join(f"{name} {getattr(event, name)}" for name in fields)
            return f"vector {event.vector:02x}h at {event.cs:02x}:{event.rip:x} of processor {event.cpu} ({rest})"
        case Mark():
            return f"the mark {event.name!r} of processor {event.cpu} at tick {event.tsc}"
    return "not there"


def _check_counts(run: Evidence) -> None:
    """The counts against the recorder, where it holds all."""
    if run.recording.overflowed:
        return
    events, counts = run.recording.events, Counter(run.recording.counts)
    records = Counter((event.cpu, event.vector) for event in events if isinstance(event, InterruptRecord))
    if records != counts:
        cpu, vector = min(key for key in records.keys() | counts.keys() if records[key] != counts[key])
        raise WitnessDisagreement(
            f"witnesses disagree about vector {vector:02x}h of processor {cpu}: the recorder has "
            f"{records[cpu, vector]}, the counts have {counts[cpu, vector]}. Expected: equal"
        )


def _check_console(run: Evidence, output: bytes) -> int:
    """Compare the values that the console repeats; returns its CRC-32 of the mailbox."""
    try:
        report = parse_report(output)
    except ReportError as error:
        raise WitnessDisagreement(f"witnesses disagree: {error}, but in memory the run ended well") from None
    expected = {
        "run id": (report.run_id, run.mailbox.run_id),
        "status": (report.status, int(MailboxStatus.DONE)),
        "number of events": (report.head, run.recording.total),
        "time-stamp counter's rate": (report.tsc_khz, run.mailbox.tsc_khz),
        "recorder's CRC-32": (report.record_crc, run.recording.crc),
        "counts": (report.counts, run.recording.counts),
        "values": (report.values, {value.name: run.raw(value) for value in run.built.program.values}),
        "records": (report.records, _printed(run)),
    }
    for what, (console, memory) in expected.items():
        if console != memory:
            raise WitnessDisagreement(
                f"witnesses disagree about the {what}: the console has {_short(console)}, memory {_short(memory)}"
            )
    return report.mailbox_crc


def _printed(run: Evidence) -> list[dict[str, int | None]]:
    """The records that the console shows: the first and the last of them."""
    events = run.recording.events
    if run.recording.total > 2 * abi.TAIL:
        events = events[: abi.TAIL] + events[-abi.TAIL :]
    return [_as_printed(run, event) for event in events]


def _as_printed(run: Evidence, event: InterruptRecord | Mark) -> dict[str, int | None]:
    # The console prints raw fields; those that decoding has turned into names are read from memory again.
    seq = event.seq
    slot = seq if seq < abi.RECORDS else abi.RECORDS + (seq & (abi.TAIL - 1))
    at = abi.RECORDER + slot * abi.RECORD.size
    fields = abi.RECORD.read_all(run.machine.ram, at)
    del fields["COMMIT"]
    error = fields["ERROR"]
    return {name.lower(): value for name, value in fields.items()} | {
        "error": None if error == abi.NO_ERROR_CODE and not fields["FLAGS"] & Flag.ERROR_CODE else error
    }


def check_registers(run: Evidence, cpus: tuple[CpuRegisters, ...]) -> None:
    """QMP's registers of the processor that stopped the machine against its own copy; it must be where it signalled."""
    frozen = run.frozen
    number = (frozen.read("TR") - abi.SEL_TSS) >> 4
    if not 0 <= number < len(cpus):
        raise WitnessDisagreement(f"witnesses disagree: the guest ended on processor {number}, QMP has {len(cpus)}")
    cpu = cpus[number]
    compare_registers(frozen, cpu)
    symbols = run.built.image.runtime.symbols
    # Without icount the stop comes some instructions after the write: in `finish` or `checkpoint`, behind the call.
    first, behind = ("finish", "checkpoint") if run.ended else ("signal", "report")
    if not symbols[first] <= cpu.rip < symbols[behind]:
        raise WitnessDisagreement(
            f"witnesses disagree: the guest signalled, but QMP shows it at {run.built.image.symbolise(cpu.rip)}"
        )


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, int) else f"{value:#x}"
    return text if len(text) < 300 else text[:297] + "…"
