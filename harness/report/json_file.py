"""The JSON report: valid at every moment, complete at the end. Its fields are documented in docs/json.md."""

from __future__ import annotations

import json
import time
from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.report.atomic import write_atomic
from harness.report.entry import report_entry
from harness.run.record import RunRecord, Verdict

__all__ = ["SCHEMA", "JsonReport"]

SCHEMA = 1
_INTERVAL_S = 0.2
_NOT_ENDED = "the run has not ended, or it was killed"


class JsonReport:
    """One file, rewritten as a whole while results arrive: at once, then at most every 0.2 s, and when it is closed.

    A rewrite that fails (disk full) leaves the last good file; `problem` has the cause, and the next rewrite tries
    again with everything. `facts` are further top-level fields. Raises OSError where the file cannot be written at all.
    """

    def __init__(
        self,
        path: Path,
        *,
        planned: int | None = None,
        facts: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.problem: OSError | None = None
        self._clock = clock
        self._started = clock()
        self._head = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "planned": planned, **(facts or {})}
        self._counts: Counter[str] = Counter()
        self._runs: list[tuple[int, str]] = []
        self._cost = 0.0
        self._written = self._started
        write_atomic(path, self._document(_NOT_ENDED))

    def add(self, record: RunRecord | Mapping[str, Any], position: int | None = None) -> None:
        """Take one result; the file follows. `position` is its place in the plan where results come in another."""
        data = report_entry(record) if isinstance(record, RunRecord) else dict(record)
        self._counts[str(data["verdict"])] += 1
        insort(self._runs, (len(self._runs) if position is None else position, json.dumps(data)))
        # a long report takes longer to write: never spend more than a tenth of the time on it
        if self._clock() - self._written >= max(_INTERVAL_S, 10 * self._cost):
            self._write(_NOT_ENDED)

    def close(self, *, cause: str = "") -> None:
        """Write the last state; `cause`: why a part of the plan did not run; empty if all ran."""
        self._write(cause)

    def _write(self, cause: str) -> None:
        begun = self._clock()
        try:
            write_atomic(self.path, self._document(cause))
            self.problem = None
        except OSError as error:
            self.problem = error
        self._written = self._clock()
        self._cost = self._written - begun

    def _document(self, cause: str) -> bytes:
        head = {
            "schema": SCHEMA,
            "complete": not cause,
            "cause": cause,
            "seconds": round(self._clock() - self._started, 3),
            **self._head,
            "counts": {str(verdict): self._counts[str(verdict)] for verdict in Verdict},
        }
        fields = json.dumps(head, indent=2, default=str).removesuffix("\n}")
        runs = ",\n".join(f"    {run}" for _, run in self._runs)
        return f'{fields},\n  "runs": [\n{runs}\n  ]\n}}\n'.encode()
