"""The interrupts that the guest recorded, compared with those that QEMU logged when its processors took them.

The guest writes its own record: a forged record passes every other check. For each processor QEMU's log must have
the same interrupts in the same order: vector, error code, CS:RIP, SS:RSP, and CR2 of a page fault. It may have more:

- a delivery that failed: the exception that it raised has the same CS:RIP and SS:RSP and comes next;
- one through a gate that the program itself wrote, which need not lead to the recorder, and not to that of its vector;
- deliveries before a reset by the guest, which restarts the recorder.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness import abi
from harness.evidence.evidence import Evidence
from harness.evidence.failures import WitnessDisagreement
from harness.evidence.interrupts import InterruptRecord

if TYPE_CHECKING:
    from harness.qemu.interrupt_log import Delivery

__all__ = ["check_second_source", "gates_written"]

_GATE = 16
_NUMBER = re.compile(r"\b(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})\b")
_NAMED = re.compile(r"\bIDT\b|\blidt\b", re.IGNORECASE)
_CONTRIBUTORY = frozenset((8, 10, 11, 12, 13, 14))
_PAGE_FAULT = 14
_LONGEST_INSTRUCTION = 15
_ALL = frozenset(range(256))


def gates_written(statements: Iterable[str]) -> frozenset[int]:
    """The vectors whose IDT entries a program names, by address; all where it names the table or loads IDTR."""
    text = "\n".join(statements)
    if _NAMED.search(text):
        return _ALL
    found = set()
    for number in _NUMBER.findall(text):
        offset = int(number, 0 if number.startswith("0x") else 10) - abi.IDT
        if offset == 0:
            return _ALL  # a loop over the table begins there
        if 0 < offset < 256 * _GATE:
            found.add(offset // _GATE)
    return frozenset(found)


def check_second_source(run: Evidence) -> None:
    """Compare the recorder with QEMU's log. Raises WitnessDisagreement that names both, DumpError."""
    log: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in run.machine.deliveries():
        log[(delivery.tr - abi.SEL_TSS) >> 4].append(delivery)
    gates = gates_written(run.built.program.statements())
    restarted = bool(run.machine.guest_resets)
    if run.recording.overflowed:
        _check_counts(run, log, gates)
        return
    records: dict[int, list[InterruptRecord]] = defaultdict(list)
    for event in run.recording.events:
        if isinstance(event, InterruptRecord):
            records[event.cpu].append(event)
    for cpu in sorted(log.keys() | records.keys()):
        _Comparison(run, cpu, gates, restarted).check(log[cpu], records[cpu])


class _Comparison:
    """The records of one processor against its part of the log."""

    def __init__(self, run: Evidence, cpu: int, gates: frozenset[int], restarted: bool) -> None:
        symbols = run.built.image.runtime.symbols
        stubs = symbols["stubs"]
        self._before_record = (
            range(stubs, stubs + 256 * 16),
            range(symbols["interrupt_common"], symbols["record_slot"]),
        )
        self._cpu = cpu
        self._gates = gates
        self._restarted = restarted

    def check(self, log: Sequence[Delivery], records: Sequence[InterruptRecord]) -> None:
        """Raise WitnessDisagreement unless each entry of one has an equal entry in the other, or a reason to lack
        it."""
        taken = 0
        interrupted: list[Delivery] = []  # whose stub was interrupted before it recorded
        for index, delivery in enumerate(log):
            after = log[index + 1] if index + 1 < len(log) else None
            record = records[taken] if taken < len(records) else None
            if record is not None and self._same(delivery, record, failed=_failed(delivery, after)):
                taken += 1
                while interrupted and taken < len(records) and self._same(interrupted[-1], records[taken]):
                    interrupted.pop()
                    taken += 1
            elif after is not None and any(after.rip in place for place in self._before_record):
                interrupted.append(delivery)
            elif not (_failed(delivery, after) or self._may_lack(delivery)):
                raise self._differ(taken, record, delivery)
        for delivery in interrupted:
            if not self._may_lack(delivery):
                raise self._differ(taken, records[taken] if taken < len(records) else None, delivery)
        if taken < len(records):
            raise self._differ(taken, records[taken], None)

    def _same(self, delivery: Delivery, record: InterruptRecord, *, failed: bool = False) -> bool:
        vector = record.vector == delivery.vector or (delivery.vector in self._gates and not failed)
        error = (record.error_code or 0) == delivery.error_code
        address = record.cr2 == delivery.cr2 or delivery.vector != _PAGE_FAULT
        stack = (record.ss, record.rsp) == (delivery.ss, delivery.rsp)
        # INT n pushes the address behind it; the log has that of the instruction.
        behind = range(1, _LONGEST_INSTRUCTION + 1) if delivery.software else range(1)
        place = record.cs == delivery.cs and record.rip - delivery.rip in behind
        return vector and error and address and stack and place

    def _may_lack(self, delivery: Delivery) -> bool:
        """Whether the recorder may lack a delivery that did not fail."""
        return delivery.vector in self._gates or self._restarted

    def _differ(self, number: int, record: InterruptRecord | None, delivery: Delivery | None) -> WitnessDisagreement:
        mine = theirs = "no more"
        if record is not None:
            mine = f"vector {record.vector:02x}h at {record.cs:02x}:{record.rip:x}"
        if delivery is not None:
            theirs = f"vector {delivery.vector:02x}h at {delivery.cs:02x}:{delivery.rip:x}"
        if record is not None and delivery is not None and record.vector == delivery.vector:
            mine += f" (SS:RSP {record.ss:02x}:{record.rsp:x}, error code {record.error_code or 0:x}"
            mine += f", CR2 {record.cr2:x})"
            cr2 = "" if delivery.cr2 is None else f", CR2 {delivery.cr2:x}"
            theirs += f" (SS:RSP {delivery.ss:02x}:{delivery.rsp:x}, error code {delivery.error_code:x}{cr2})"
        return WitnessDisagreement(
            f"witnesses disagree about interrupt {number} of processor {self._cpu}: the guest recorded {mine}, QEMU's "
            f"interrupt log has {theirs}. Expected: equal. To fix: the program must not write to its own recorder"
        )


def _failed(delivery: Delivery, after: Delivery | None) -> bool:
    """Whether a delivery failed, so that `after`, the next one, is the exception that it raised."""
    return (
        after is not None
        and not after.software
        and after.vector in _CONTRIBUTORY
        and (after.cs, after.rip, after.ss, after.rsp) == (delivery.cs, delivery.rip, delivery.ss, delivery.rsp)
    )


def _check_counts(run: Evidence, log: dict[int, list[Delivery]], gates: frozenset[int]) -> None:
    """Where the recorder has lost entries, the counts must not exceed those of the log, nor fall short of them."""
    logged = Counter((cpu, delivery.vector) for cpu, deliveries in log.items() for delivery in deliveries)
    for key in sorted(run.recording.counts.keys() | logged.keys()):
        cpu, vector = key
        mine, theirs = run.recording.counts.get(key, 0), logged[key]
        may_fail = vector in gates or vector < 32
        if mine > theirs or (mine < theirs and not may_fail):
            raise WitnessDisagreement(
                f"witnesses disagree about vector {vector:02x}h of processor {cpu}: the guest counted {mine}, QEMU's "
                f"interrupt log has {theirs}"
            )
