"""Recorded deviations: which target, case and version of QEMU they are claimed for."""

from pathlib import Path
from typing import Any

import pytest

from harness.probes.deviation import Deviation
from harness.probes.loader import LoadError, load_file
from harness.probes.probe_error import ProbeError

BRANCHES = "<7.2.22 or >=8,<10.0.7 or >=10.1,<10.1.3"


def recorded(**fields: Any) -> Deviation:
    """A deviation in which only the fields given are unusual."""
    return Deviation(**{"targets": "*", "sees": "x", "ref": "y", "kind": "bug", "versions": "*"} | fields)


@pytest.mark.parametrize(
    ("versions", "version", "claimed"),
    [
        ("*", "7.2.22", True),
        ("<10", "7.2.22", True),
        ("<10", "9.2.0", True),
        ("<10", "10.0.2", False),
        (">=8.1,<9.1", "8.1.0", True),
        (">=8.1, <9.1", "8.0.9", False),
        (">=8.1,<9.1", "9.1.0", False),
        (">=8.1,<9.1", "9.0.4", True),
        (BRANCHES, "7.2.21", True),
        (BRANCHES, "7.2.22", False),
        (BRANCHES, "9.2.4", True),
        (BRANCHES, "10.0.2", True),
        (BRANCHES, "10.0.13", False),
        (BRANCHES, "10.1.2", True),
        (BRANCHES, "10.1.3", False),
        (BRANCHES, "11.1.3", False),
    ],
)
def test_versions(versions: str, version: str, claimed: bool) -> None:
    assert recorded(targets="*-tcg", versions=versions).applies("q35-tcg", "", version) is claimed


def test_targets_and_cases_are_globs() -> None:
    deviation = recorded(targets="*-kvm microvm-*", cases="vector1*")
    assert deviation.applies("pc-kvm", "vector12", "7.2.0")
    assert deviation.applies("microvm-tcg", "vector1", "7.2.0")
    assert not deviation.applies("q35-tcg", "vector12", "7.2.0")
    assert not deviation.applies("pc-kvm", "vector2", "7.2.0")


def test_a_record_is_of_all_versions_cases_and_vendors_unless_it_names_some() -> None:
    deviation = Deviation(targets="*", sees="x", ref="y", kind="bug")
    assert deviation.applies("q35-tcg", "vector1", "7.2.0")
    assert deviation.applies("pc-kvm", "", "11.1.3")
    assert deviation.of_vendor("GenuineIntel")


@pytest.mark.parametrize(
    ("ref", "kept"),
    [
        ("lapic-relocation", "docs/deviations/lapic-relocation.md"),
        ("pic8259-kvm-poll", "docs/deviations/pic8259-kvm-poll.md"),
        ("docs/deviations.md#x", "docs/deviations.md#x"),
        ("https://example.org/issues/1", "https://example.org/issues/1"),
        ("PROJECT-1", "PROJECT-1"),
        ("draft", "draft"),
    ],
)
def test_a_document_is_referred_to_by_its_name(ref: str, kept: str) -> None:
    assert recorded(ref=ref).ref == kept


def test_the_vendor_is_a_glob() -> None:
    assert recorded().of_vendor("AuthenticAMD")
    assert recorded(vendor="GenuineIntel").of_vendor("GenuineIntel")
    assert not recorded(vendor="GenuineIntel").of_vendor("AuthenticAMD")


@pytest.mark.parametrize(
    "versions", ["10", "=10", "<ten", "<10 or", "<10 or or >=11", "<10 >=9", "<10 | >=11", ">=8.1rc1"]
)
def test_a_version_range_that_means_nothing_is_refused(versions: str) -> None:
    with pytest.raises(ProbeError, match=r"versions=.* cannot be compared: .* Expected: '\*', or specifiers"):
        recorded(versions=versions)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("versions='*'", "'kind'"),
        ("kind='bug', versions='<ten'", "cannot be compared"),
        ("kind='fault', versions='*'", "no such kind"),
    ],
)
def test_an_incomplete_record_is_refused_at_its_line(tmp_path: Path, fields: str, text: str) -> None:
    path = tmp_path / "p.py"
    path.write_text(
        f"from harness import Deviation, probe\n\nKNOWN = Deviation(targets='*', sees='x', ref='y', {fields})\n\n"
        "@probe(spec='S', deviation=KNOWN)\ndef p(k):\n    'Rule.'\n    k.sti()\n    run = yield\n"
        "    assert not run.vectors\n"
    )
    with pytest.raises(LoadError, match=f"p.py:3: .*{text}"):
        load_file(path, tmp_path)


@pytest.mark.parametrize(
    ("release", "claimed"),
    [
        ("6.1.0-57-amd64", True),
        ("6.4.16", True),
        ("6.5.0-1", False),
        ("6.12.117+deb12-amd64", False),
        ("6.18.44", False),
        ("unknown", False),
    ],
)
def test_releases_of_linux(release: str, claimed: bool) -> None:
    assert recorded(linux="<6.5").in_linux(release) is claimed
    assert recorded().in_linux(release)


def test_a_release_of_linux_that_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(ProbeError, match=r"Deviation\(linux='older'\): cannot be compared"):
        recorded(linux="older")
