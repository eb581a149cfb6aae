"""Records for probe files that cannot be loaded, so that reports name them besides the runs of the other files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.evidence.failures import Section
from harness.one_line import one_line
from harness.probes.loader import LoadProblem
from harness.probes.probe_places import shown
from harness.run.record import AtFault, FailureDetail, RunRecord, Verdict
from harness.run.rerun import rerun_file_command

__all__ = ["broken_records"]


def broken_records(problems: Iterable[LoadProblem], target: str) -> tuple[RunRecord, ...]:
    """An `error` for each file that cannot be loaded, with all its problems, as a run on `target`."""
    files: dict[Path, list[LoadProblem]] = {}
    for problem in problems:
        files.setdefault(problem.path, []).append(problem)
    return tuple(
        RunRecord(
            probe=shown(path),
            target=target,
            verdict=Verdict.ERROR,
            rule="",
            citation="",
            ms=0.0,
            reason=one_line(str(found[0])),
            at_fault=AtFault.PROBE,
            detail=FailureDetail(
                (Section("The file cannot be loaded", "\n".join(map(str, found))),), str(path), found[0].line
            ),
            rerun=rerun_file_command(path),
        )
        for path, found in files.items()
    )
