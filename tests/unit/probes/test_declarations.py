"""Wrong options of @probe and Deviation: refused where they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.hardware.lapic import DestinationShorthand
from harness.probes.deviation import Deviation
from harness.probes.loader import LoadError, load_file
from harness.probes.probe import probe
from harness.probes.probe_error import ProbeError
from harness.qemu.target import Target, builtin_targets

ANY: Any = cast(Any, None)
WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "unknown boot path": (lambda: _probe(boots=["rmo"]), "no boot path is named 'rmo'; did you mean 'rom'"),
    "no boot path": (lambda: _probe(boots=[]), "the probe would not run"),
    "boot path twice": (lambda: _probe(boots=["rom", "rom"]), "comes twice"),
    "text for boot paths": (lambda: _probe(boots="rom"), "expected a list of texts, as boots=..rom"),
    "text for devices": (lambda: _probe(needs="nvme"), "expected a list of texts, as needs=..nvme"),
    "text for coverage ids": (
        lambda: _probe(covers="lapic.timer"),
        "expected a list of texts, as covers=..lapic.timer",
    ),
    "coverage id twice": (lambda: _probe(covers=["lapic.timer", "lapic.timer"]), "comes twice"),
    "text for a deviation": (lambda: _probe(deviation="x"), "expected Deviation"),
    "number for a deviation": (lambda: _probe(deviation=[3]), "expected Deviation"),
    "watchdog of no time": (lambda: _probe(watchdog_s=0), "watchdog_s=0"),
    "number for a family": (lambda: probe.each(vec=cast(Any, 0x50))(_rule), "expected a list of values"),
    "text for a family": (lambda: probe.each(vec="abc")(_rule), "expected a list of values"),
    "broken expression": (lambda: _deviation(sees="("), "is not a regular expression"),
    "empty reference": (lambda: _deviation(ref=""), "ref=''"),
    "empty expression": (lambda: _deviation(sees=""), "sees=''"),
    "number for targets": (lambda: _deviation(targets=3), "targets=3"),
    "no bounds": (lambda: _deviation(versions=""), "versions=''"),
    "unknown kind": (lambda: _deviation(kind="bugg"), "no such kind; did you mean 'bug'"),
}


def _rule(k: Any) -> Any:
    """One rule."""
    yield


def _deviation(**fields: Any) -> Deviation:
    """A deviation in which only the fields given are unusual."""
    return Deviation(**{"targets": "*", "sees": "x", "ref": "y", "kind": "bug", "versions": "*"} | fields)


def _probe(**options: Any) -> object:
    return probe(spec="S", **options)(_rule)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_is_refused(name: str) -> None:
    wrong, text = WRONG[name]
    with pytest.raises(ProbeError, match=text):
        wrong()


def test_a_device_that_does_not_exist_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(
        "from harness import probe\n\n@probe(spec='S', needs=['nvmee'])\ndef p(k):\n    'Rule.'\n    k.sti()\n"
        "    run = yield\n    assert run.vectors == []\n"
    )
    with pytest.raises(LoadError, match=r"p.py:3: p: needs: no device is named 'nvmee'; did you mean 'nvme'"):
        load_file(path, tmp_path)


def test_the_kind_of_a_target_does_not_depend_on_its_name() -> None:
    for name, target in builtin_targets().items():
        assert target.kind == name.removesuffix("-intel")
    mine = Target("mine", "q35", "tcg", "icount")
    assert _deviation(targets="*-tcg").applies(mine.kind, "", "7.2.22")
    assert replace(builtin_targets()["pc-tcg-rt"], name="pc-tcg-rt@10.0", binary="/q").kind == "pc-tcg-rt"


def test_a_deviation_takes_keywords_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Deviation(*("*", "x", "ref"))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("pin", 20, "pin20"),
        ("vector", 0x50, "vector0x50"),
        ("vector", 9, "vector9"),
        ("msr", 0x809, "msr0x809"),
        ("sector", 1 << 55, "sector0x80000000000000"),
        ("ic4", 0, "ic4_0"),
        ("shorthand", DestinationShorthand.SELF, "SELF"),
        ("masked", True, "masked"),
        ("masked", False, "no_masked"),
        ("mode", "one shot", "one_shot"),
    ],
)
def test_a_case_has_a_readable_id(name: str, value: object, label: str) -> None:
    family = probe.each(**{name: [value]})(probe(spec="S")(_rule))
    assert [case.label for case in family.cases()] == [label]
