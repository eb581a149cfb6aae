"""Bullets against probes: what is read from coverage files, and what is found wrong between them and the probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.probes.coverage import Bullet, Coverage, CoverageError, State, coverage_root, load_bullets, measure
from harness.probes.probe import Case, Probe, ProbeBody

ROOT = Path("/probes")
ENTRY = """
[[bullet]]
id = "{id}"
text = "What it states."
citation = "SDM vol. 3A, A Section"
"""


def bullet(identity: str, unsupported: str = "", line: int = 1) -> Bullet:
    return Bullet(identity, "What it states.", "SDM", unsupported, Path(f"{identity.partition('.')[0]}.toml"), line)


def cases(identity: str, *covers: str, pins: Sequence[int] = ()) -> list[Case]:
    file, _, name = identity.partition("::")

    def function(k: object) -> ProbeBody:
        """A rule."""
        yield

    function.__name__ = name
    parameters = {"pin": tuple(pins)} if pins else {}
    found = Probe(function, "SDM", covers=covers, path=ROOT / file, root=ROOT, parameters=parameters)
    return list(found.cases())


def states(coverage: Coverage) -> dict[str, State]:
    return {answer.bullet.id: answer.state for answer in coverage.answers}


def write(folder: Path, area: str, text: str) -> None:
    (folder / f"{area}.toml").write_text(text, encoding="utf-8")


def test_each_state() -> None:
    bullets = [bullet("timers.hpet"), bullet("timers.pit", unsupported="tried: none"), bullet("lapic.ids")]
    found = [*cases("timers/hpet.py::one", "timers.hpet", pins=(2, 20)), *cases("timers/hpet.py::two", "timers.hpet")]
    coverage = measure(bullets, found)
    assert states(coverage) == {
        "timers.hpet": State.COVERED,
        "timers.pit": State.UNSUPPORTED,
        "lapic.ids": State.MISSING,
    }
    assert coverage.answers[0].probes == ("timers/hpet.py::one", "timers/hpet.py::two")
    assert len(coverage.answers[0].cases) == 3
    assert coverage.areas == ("timers", "lapic")
    (problem,) = coverage.problems
    assert problem.startswith("lapic.toml:1: lapic.ids is missing")


def test_nothing_is_wrong_when_all_is_covered() -> None:
    coverage = measure([bullet("timers.hpet")], cases("timers/hpet.py::one", "timers.hpet"))
    assert coverage.problems == ()


def test_an_unknown_id_is_reported_once_for_a_family_with_what_it_may_mean() -> None:
    coverage = measure(
        [bullet("timers.hpet-wrap")],
        [*cases("timers/a.py::one", "timers.hpet-warp", "timers.hpet-wrap", pins=(1, 2, 3))],
    )
    (problem,) = coverage.problems
    assert problem.startswith("/probes/timers/a.py:")
    assert "one covers timers.hpet-warp, which is no id; did you mean timers.hpet-wrap?" in problem


def test_two_bullets_of_one_id() -> None:
    coverage = measure(
        [bullet("timers.hpet", line=3), bullet("timers.hpet", line=9)], cases("timers/a.py::one", "timers.hpet")
    )
    assert coverage.problems == ("timers.toml:9: timers.hpet is taken by timers.toml:3; rename one",)


def test_covered_and_unsupported_at_once() -> None:
    coverage = measure([bullet("timers.hpet", unsupported="tried")], cases("timers/a.py::one", "timers.hpet"))
    (problem,) = coverage.problems
    assert "unsupported by its entry, and timers/a.py::one covers it" in problem


def test_a_choice_of_areas() -> None:
    bullets = [bullet("timers.hpet"), bullet("lapic.ids")]
    found = [*cases("timers/a.py::one", "timers.hpet", "timers.none"), *cases("lapic/a.py::one", "lapic.none")]
    coverage = measure(bullets, found, ["lapic"])
    assert states(coverage) == {"lapic.ids": State.MISSING}
    assert len(coverage.problems) == 2
    assert all("lapic" in problem for problem in coverage.problems)
    with pytest.raises(CoverageError, match=r"no coverage file for smp; there are timers, lapic"):
        measure(bullets, found, ["smp"])


def test_bullets_know_their_place(tmp_path: Path) -> None:
    write(tmp_path, "timers", "# about timers" + ENTRY.format(id="timers.a") + ENTRY.format(id="timers.b"))
    write(tmp_path, "lapic", ENTRY.format(id="lapic.a") + 'unsupported = "tried it"\n')
    bullets = load_bullets(tmp_path)
    assert [(found.id, found.area, found.line, found.unsupported) for found in bullets] == [
        ("lapic.a", "lapic", 2, "tried it"),
        ("timers.a", "timers", 2, ""),
        ("timers.b", "timers", 7, ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[bullet]]\nid = "timers.a"\ntext = "x"', "timers.toml:1: citation is missing"),
        (ENTRY.format(id="timers.a") + 'note = "x"', "timers.toml:2: unknown field 'note'"),
        (ENTRY.format(id="timers.a") + 'unsupported = " "', "unsupported must be a text"),
        (ENTRY.format(id="timers.a") + "unsupported = true", "unsupported must be a text"),
        (ENTRY.format(id="timers"), "expected a topic, a dot"),
        (ENTRY.format(id="timers.A_b"), "expected a topic, a dot"),
        ("", r"expected \[\[bullet\]\] entries"),
        ("bullet = 3", r"expected \[\[bullet\]\] entries"),
        ("bullet = [3]", "a bullet is a table"),
        ("x = 1" + ENTRY.format(id="timers.a"), r"expected \[\[bullet\]\] entries"),
        ("[[bullet]", "timers.toml: "),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "timers", text)
    with pytest.raises(CoverageError, match=message):
        load_bullets(tmp_path)


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    write(tmp_path, "timers", "x")
    write(tmp_path, "lapic", ENTRY.format(id="Timers.a"))
    with pytest.raises(CoverageError) as caught:
        load_bullets(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CoverageError, match="no coverage files"):
        load_bullets(tmp_path)


SLUGS = st.sampled_from("abcde")


@given(st.lists(SLUGS, min_size=1), st.lists(st.lists(SLUGS, unique=True), max_size=6))
def test_it_is_green_exactly_when_ids_and_probes_are_the_same_set(ids: list[str], covers: list[list[str]]) -> None:
    found = [
        case
        for number, names in enumerate(covers)
        for case in cases(f"timers/a.py::p{number}", *(f"timers.{name}" for name in names))
    ]
    coverage = measure([bullet(f"timers.{name}") for name in ids], found)
    named = {name for names in covers for name in names}
    assert (not coverage.problems) == (named == set(ids) and len(ids) == len(set(ids)))
    assert sum(answer.state is State.COVERED for answer in coverage.answers) == sum(name in named for name in ids)


def test_the_shipped_files_are_well_formed() -> None:
    assert load_bullets(coverage_root())
