"""The results of a run in memory, as one document of docs/json.md: for reports that are written at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.report.entry import report_entry
from harness.report.json_file import SCHEMA
from harness.run.record import RunRecord, Verdict

__all__ = ["CollectedReport"]


class CollectedReport:
    """Takes results as they come; `document` has them in the order of the plan."""

    def __init__(
        self,
        *,
        planned: int | None = None,
        facts: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._started = clock()
        self._head = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "planned": planned, **(facts or {})}
        self._runs: list[tuple[int, int, dict[str, Any]]] = []

    def add(self, record: RunRecord | Mapping[str, Any], position: int | None = None) -> None:
        """Take one result; `position` is its place in the plan where results come in another order."""
        data = report_entry(record) if isinstance(record, RunRecord) else dict(record)
        number = len(self._runs)
        self._runs.append((number if position is None else position, number, data))

    def document(self, cause: str = "") -> dict[str, Any]:
        """Everything up to now. `cause`: why a part of the plan did not run; empty if all ran."""
        runs = [data for _, _, data in sorted(self._runs, key=lambda run: run[:2])]
        counts = Counter(str(run["verdict"]) for run in runs)
        return {
            "schema": SCHEMA,
            "complete": not cause,
            "cause": cause,
            "seconds": round(self._clock() - self._started, 3),
            **self._head,
            "counts": {str(verdict): counts[str(verdict)] for verdict in Verdict},
            "runs": runs,
        }
