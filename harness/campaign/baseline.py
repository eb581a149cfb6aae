"""The scores of an earlier run, stored in docs/vacuity.json: the score of no case may fall."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.campaign.vacuity import CaseScore

__all__ = ["Baseline", "BaselineError", "document", "read_baseline", "total_score"]

_SCHEMA = 1


class BaselineError(Exception):
    """A baseline that cannot be read: the message has the place and the cause."""


@dataclass(frozen=True)
class Baseline:
    """The target; for each case its score, from 0 to 1, and the number of removed steps that it did not notice."""

    target: str
    cases: Mapping[str, float]
    green: Mapping[str, int] = field(default_factory=dict)

    def fallen(self, scores: Iterable[CaseScore]) -> list[tuple[CaseScore, float]]:
        """The cases whose score has fallen because more removed steps go unnoticed, each with its earlier score.

        A step whose removal turned a case red and now breaks its run still counts as noticed: without `k.smp.join` a
        processor may record an interrupt before or after the end, which is a fail or an error.

        A step whose runs the host delayed counts as one that turns the case red. Where the host acts in the run, a
        difference of one step is not a fall: the result depends on host timing.
        """
        return [
            (score, before)
            for score in scores
            if (before := self.cases.get(score.case)) and _fell(score, before, self.green.get(score.case, -1))
        ]

    def without(self, scores: Iterable[CaseScore]) -> list[str]:
        """Cases that were examined and have no score in this baseline."""
        return [score.case for score in scores if score.case not in self.cases]


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file. Raises BaselineError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        cases = {name: float(entry["score"]) for name, entry in data["cases"].items()}
        if data["schema"] != _SCHEMA:
            raise BaselineError(
                f"{path}: schema {data['schema']} is not supported. To fix: write the file again with --write-baseline"
            )
        green = {name: int(entry["removable"]) - int(entry["red"]) for name, entry in data["cases"].items()}
        return Baseline(str(data["target"]), cases, green)
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(
            f"{path}: is not a vacuity baseline ({error}). To fix: write the file again with --write-baseline"
        ) from error


def _fell(score: CaseScore, before: float, green: int) -> bool:
    if score.removable - score.red <= green:
        return False
    removable = score.removable + score.held_up
    reached = round((score.red + score.held_up) / removable, 4) if removable else 0.0
    return (before - reached) * removable > (1.01 if score.host_part else 0.0)


def total_score(scores: Iterable[CaseScore]) -> tuple[int, int]:
    """Red removals and removable steps over all of them."""
    chosen = list(scores)
    return sum(score.red for score in chosen), sum(score.removable for score in chosen)


def document(target: str, scores: Iterable[CaseScore], unchanged: Mapping[str, Any]) -> str:
    """The text of the file. `unchanged`: entries of cases that were not examined in this run."""
    entries = {**unchanged, **{score.case: _entry(score) for score in scores}}
    red = sum(entry["red"] for entry in entries.values())
    removable = sum(entry["removable"] for entry in entries.values())
    head = {
        "schema": _SCHEMA,
        "target": target,
        "score": round(red / removable, 4) if removable else 0.0,
        "cases": dict(sorted(entries.items())),
    }
    return json.dumps(head, indent=1, ensure_ascii=False) + "\n"


def _entry(score: CaseScore) -> dict[str, Any]:
    return {"score": score.score, "red": score.red, "removable": score.removable}
