"""The baseline of the vacuity scores: what counts as a fall."""

from __future__ import annotations

import pytest

from harness.campaign.baseline import Baseline
from harness.campaign.vacuity import CaseScore

BASELINE = Baseline("q35-tcg", {"a.py::p": 0.5, "a.py::never": 0.0})


@pytest.mark.parametrize(
    ("red", "host_part", "fell"),
    [(10, False, False), (11, False, False), (9, False, True), (9, True, False), (8, True, True), (0, True, True)],
)
def test_one_step_is_forgiven_where_the_host_has_a_part(red: int, host_part: bool, fell: bool) -> None:
    score = CaseScore("a.py::p", "a.py::p", red, 20, host_part)
    assert BASELINE.fallen([score]) == ([(score, 0.5)] if fell else [])


def test_a_case_without_a_score_cannot_fall() -> None:
    assert BASELINE.fallen([CaseScore("a.py::q", "a.py::q", 0, 9), CaseScore("a.py::never", "a.py::never", 0, 9)]) == []


@pytest.mark.parametrize(("red", "held_up", "fell"), [(9, 1, False), (8, 2, False), (8, 1, True), (10, 0, False)])
def test_a_step_that_the_host_held_up_is_no_fall(red: int, held_up: int, fell: bool) -> None:
    score = CaseScore("a.py::p", "a.py::p", red, 20 - held_up, held_up=held_up)
    assert bool(BASELINE.fallen([score])) is fell


@pytest.mark.parametrize(("red", "removable", "fell"), [(9, 19, False), (9, 20, True), (10, 20, False), (0, 10, False)])
def test_a_red_step_that_now_breaks_the_run_is_no_fall(red: int, removable: int, fell: bool) -> None:
    baseline = Baseline("q35-tcg", {"a.py::p": 0.5}, {"a.py::p": 10})
    assert bool(baseline.fallen([CaseScore("a.py::p", "a.py::p", red, removable)])) is fell
