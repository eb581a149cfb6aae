"""Names, suffixes, globs, cases and expressions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.probes.probe import Probe, ProbeBody
from harness.probes.selection import Keywords, SelectionError, select

ROOT = Path("/probes")


def make(identity: str, **parameters: tuple[object, ...]) -> Probe:
    file, _, name = identity.partition("::")

    def function(k: object) -> ProbeBody:
        """A rule."""
        yield

    function.__name__ = name
    return Probe(function, "SDM", path=ROOT / file, root=ROOT, parameters=parameters)


PROBES = [
    make("timers/hpet.py::one_shot", pin=(2, 20)),
    make("timers/hpet.py::periodic"),
    make("timers/pit.py::one_shot_mode_0"),
    make("lapic/timer.py::one_shot", divide=(1, 128), masked=(True, False)),
    make("pci/deep/msi.py::masked"),
    make("top.py::alone"),
]


def ids(*names: str, k: str = "") -> list[str]:
    return [case.id for case in select(PROBES, names, Keywords(k) if k else None)]


HPET = ["timers/hpet.py::one_shot[pin2]", "timers/hpet.py::one_shot[pin20]", "timers/hpet.py::periodic"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timers", [*HPET, "timers/pit.py::one_shot_mode_0"]),
        ("timers/", [*HPET, "timers/pit.py::one_shot_mode_0"]),
        ("timers/hpet.py", HPET),
        ("timers/hpet.py::one_shot", HPET[:2]),
        ("timers/hpet.py::one_shot[pin20]", HPET[1:2]),
        ("hpet.py", HPET),
        ("hpet.py::periodic", HPET[2:]),
        ("periodic", HPET[2:]),
        ("hpet.py::one_shot[pin2]", HPET[:1]),
        ("pci", ["pci/deep/msi.py::masked"]),
        ("pci/deep", ["pci/deep/msi.py::masked"]),
        ("msi.py", ["pci/deep/msi.py::masked"]),
        ("probes", ["top.py::alone"]),  # the area of files in the root itself
        ("timers/*::one_shot*", [*HPET[:2], "timers/pit.py::one_shot_mode_0"]),
        ("*hpet*", HPET),
        ("p?t.py", ["timers/pit.py::one_shot_mode_0"]),
        ("*[pin2]", HPET[:1]),
        ("*[pin*]", HPET[:2]),
        ("timers/hpet.py::*[pin?]", HPET[:1]),
        ("lapic/timer.py::one_shot[divide1-no_masked]", ["lapic/timer.py::one_shot[divide1-no_masked]"]),
    ],
)
def test_names(name: str, expected: list[str]) -> None:
    assert ids(name) == expected


def test_the_order_is_the_catalogues_and_nothing_comes_twice() -> None:
    assert ids("periodic", "timers/hpet.py", "hpet.py::one_shot[pin2]") == HPET
    assert len(ids()) == len(set(ids())) == 10


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one_shot", "'one_shot' is ambiguous:\n  lapic/timer.py::one_shot\n  timers/hpet.py::one_shot\n"),
        ("timrs", "no probe is named 'timrs'; did you mean\n  timers"),
        ("hpte.py", "did you mean\n  timers/hpet.py"),
        ("timers/hpet.py::one_shoot", "did you mean\n  timers/hpet.py::one_shot"),
        ("zzzzzz", "no probe is named 'zzzzzz'; see `trapgate list`"),
        ("zzz*", "no probe is named 'zzz*'"),
        ("hpet.py::one_shot[pin3]", "timers/hpet.py::one_shot has no case [pin3]; its cases are [pin2], [pin20]"),
        ("periodic[x]", "has no case [x]; it has no cases"),
        ("", "no probe is named ''"),
        ("./timers/hpet.py", "./timers/hpet.py: holds no probe"),
        ("/no/such/folder", "/no/such/folder: holds no probe"),
    ],
)
def test_names_that_mean_nothing_or_too_much(name: str, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        ids(name)
    assert message in str(caught.value)


def test_paths_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probes" / "timers").mkdir(parents=True)
    (tmp_path / "probes" / "timers" / "hpet.py").touch()
    monkeypatch.chdir(tmp_path)
    probes = [Probe(p.function, "S", path=tmp_path / "probes" / p.relative, root=tmp_path / "probes") for p in PROBES]
    assert [case.id for case in select(probes, ["probes/timers/hpet.py::periodic"])] == ["timers/hpet.py::periodic"]
    assert len(select(probes, [str(tmp_path / "probes" / "timers")])) == 3
    monkeypatch.chdir(tmp_path / "probes" / "timers")
    assert len(select(probes, ["hpet.py"])) == 2


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("hpet", 3),
        ("HPET and not periodic", 2),
        ("(pin20 or divide128) and one_shot", 3),
        ("not one_shot", 3),
        ("pci", 1),
    ],
)
def test_expressions(expression: str, count: int) -> None:
    assert len(ids(k=expression)) == count


def test_an_expression_sees_the_target() -> None:
    case = select(PROBES, ["periodic"])[0]
    keywords = Keywords("periodic and not kvm")
    assert keywords.match(case, "q35-tcg")
    assert not keywords.match(case, "q35-kvm")


@pytest.mark.parametrize("expression", ["and", "hpet and", "(", "a b", "hpet('x')"])
def test_malformed_expressions(expression: str) -> None:
    with pytest.raises(SelectionError, match="-k"):
        ids(k=expression)


def test_an_expression_with_marker_arguments_is_refused() -> None:
    with pytest.raises(SelectionError, match="selects markers"):
        ids(k="hpet(x=1)")


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(SelectionError, match="-k 'nowhere' matches none of 10 cases"):
        ids(k="nowhere")
    with pytest.raises(SelectionError, match="no probes were found"):
        select([])


@given(st.text(alphabet="timershpt/.py:[]*?_one_shot20", max_size=24))
def test_any_name_selects_something_or_is_refused(name: str) -> None:
    try:
        chosen = select(PROBES, [name])
    except SelectionError:
        return
    assert chosen


@given(st.sampled_from([case for probe in PROBES for case in probe.cases()]))
def test_every_id_selects_exactly_itself(case: object) -> None:
    assert ids(case.id) == [case.id]  # type: ignore[attr-defined]
