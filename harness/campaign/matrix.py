"""Compares the verdicts of targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.probes.probe import Case
from harness.qemu.features import features
from harness.qemu.target import Target
from harness.run.record import RunRecord, Verdict

__all__ = ["Column", "Row", "columns", "rows"]


@dataclass(frozen=True)
class Column:
    """One target on one QEMU. Its name stays that of the target, so that recorded deviations apply."""

    target: Target
    version: str

    @property
    def title(self) -> str:
        """`q35-tcg 7.2.22`."""
        return f"{self.target.name} {self.version}"


@dataclass(frozen=True)
class Row:
    """One probe: for each column, the records of its cases in their order."""

    probe: str
    area: str
    cells: tuple[tuple[RunRecord, ...], ...]

    @property
    def differs(self) -> bool:
        """Whether the verdict of a case differs between targets; `unsupported` does not count."""
        for same in zip(*self.cells, strict=True):
            verdicts = {record.verdict for record in same} - {Verdict.UNSUPPORTED}
            if len(verdicts) > 1:
                return True
        return False

    @property
    def bad(self) -> bool:
        """Whether there is a fail or an error anywhere."""
        return any(not record.ok for cell in self.cells for record in cell)


def columns(targets: Iterable[Target], binaries: Sequence[str]) -> list[Column]:
    """Each target on its own QEMU, and on each of `binaries` as well. Raises QemuNotFound, QemuError."""
    found = []
    for target in targets:
        programs = [str(target.find_binary()), *binaries]
        for program in dict.fromkeys(str(Path(path).absolute()) for path in programs):
            chosen = replace(target, binary=program)
            found.append(Column(chosen, features(str(chosen.find_binary())).version))
    return found


def rows(cases: Sequence[Case], records: Sequence[Sequence[RunRecord]]) -> list[Row]:
    """Records, column by column in the order of the cases, as one row for each probe; differences first."""
    members: dict[str, list[int]] = {}
    for number, case in enumerate(cases):
        members.setdefault(case.probe.id, []).append(number)
    found = [
        Row(probe, cases[numbers[0]].probe.area, tuple(tuple(column[n] for n in numbers) for column in records))
        for probe, numbers in members.items()
    ]
    return sorted(found, key=lambda row: (not row.bad, not row.differs))
