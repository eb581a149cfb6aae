"""The scores that were reached before, as docs/vacuity.json keeps them: no case's may fall."""

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
    """Target, and of each case its score, between 0 and 1, and the number of steps that it did not notice."""

    target: str
    cases: Mapping[str, float]
    green: Mapping[str, int] = field(default_factory=dict)

    def fallen(self, scores: Iterable[CaseScore]) -> list[tuple[CaseScore, float]]:
        """The cases whose score is below what it was, with that, because more steps go unnoticed.

        A step that turned a case red and now breaks its run is noticed: without `k.smp.join` a processor may record
        an interrupt before or after the end, which is a fail or an error.

        A step that the host held up is taken as one that turns the case red. Where the host has a part in the run one
        step more or less is no fall: whether it is noticed is by chance.
        """
        return [
            (score, before)
            for score in scores
            if (before := self.cases.get(score.case)) and _fell(score, before, self.green.get(score.case, -1))
        ]

    def without(self, scores: Iterable[CaseScore]) -> list[str]:
        """Cases that were examined and have no score here yet."""
        return [score.case for score in scores if score.case not in self.cases]


def read_baseline(path: Path) -> Baseline:
    """Read one. Raises BaselineError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        cases = {name: float(entry["score"]) for name, entry in data["cases"].items()}
        if data["schema"] != _SCHEMA:
            raise BaselineError(f"{path}: schema {data['schema']} is not known; write it anew with --write-baseline")
        green = {name: int(entry["removable"]) - int(entry["red"]) for name, entry in data["cases"].items()}
        return Baseline(str(data["target"]), cases, green)
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(f"{path}: is no vacuity baseline ({error}); write it anew with --write-baseline") from error


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


def document(target: str, scores: Iterable[CaseScore], kept: Mapping[str, Any]) -> str:
    """The file's text. `kept`: entries of cases that were not examined this time."""
    entries = {**kept, **{score.case: _entry(score) for score in scores}}
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
