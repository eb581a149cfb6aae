"""Recorded deviations: which target, case and version of QEMU they are claimed for."""

import pytest

from harness.probes.probe import Deviation, ProbeError


@pytest.mark.parametrize(
    ("versions", "version", "claimed"),
    [
        ("", "7.2.22", True),
        ("<10", "7.2.22", True),
        ("<10", "9.2.0", True),
        ("<10", "10.0.2", False),
        (">=8.1 <9.1", "8.1.0", True),
        (">=8.1 <9.1", "8.0.9", False),
        (">=8.1 <9.1", "9.1.0", False),
        (">=8.1 <9.1", "9.0.4", True),
    ],
)
def test_versions(versions: str, version: str, claimed: bool) -> None:
    deviation = Deviation(targets="*-tcg", sees="x", ref="y", versions=versions)
    assert deviation.applies("q35-tcg", "", version) is claimed


def test_targets_and_cases_are_globs() -> None:
    deviation = Deviation(targets="*-kvm microvm-*", sees="x", ref="y", cases="vector1*")
    assert deviation.applies("pc-kvm", "vector12", "7.2.0")
    assert deviation.applies("microvm-tcg", "vector1", "7.2.0")
    assert not deviation.applies("q35-tcg", "vector12", "7.2.0")
    assert not deviation.applies("pc-kvm", "vector2", "7.2.0")


@pytest.mark.parametrize("versions", ["10", "=10", "<ten", "< 10"])
def test_a_version_range_that_means_nothing_is_refused(versions: str) -> None:
    with pytest.raises(ProbeError, match="comparison"):
        Deviation(targets="*", sees="x", ref="y", versions=versions)
