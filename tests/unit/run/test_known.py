"""What is recorded of a target: bounds by the host's Linux, and a KVM that is not the one of the records."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.probes.deviation import Deviation
from harness.probes.probe import Case, Probe
from harness.qemu.target import Target
from harness.run import known
from harness.run.known import KnownDifferences
from harness.run.record import Verdict

OLD_KVM = Deviation(targets="*", linux="<6.5", sees="bit 7", ref="pic8259-kvm-poll-bit-7", kind="bug")
REASON = "assert the poll word has bit 7"


def a_case(deviation: Deviation) -> Case:
    def polls() -> None: ...

    root = Path("probes")
    return Case(Probe(polls, "x", path=root / "pic.py", root=root, deviations=(deviation,)), {})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The host's facts, which a test changes: its release of Linux, and whether its KVM has hardware behind it."""
    facts = SimpleNamespace(release="6.1.0-57-amd64", software=False)
    monkeypatch.setattr(platform, "release", lambda: facts.release)
    monkeypatch.setattr(known, "kvm_is_software", lambda: facts.software)
    monkeypatch.setattr(known, "features", lambda _: SimpleNamespace(version="7.2.22"))
    monkeypatch.setattr(Target, "find_binary", lambda _: Path("qemu"))
    return facts


@pytest.mark.parametrize(
    ("accelerator", "release", "verdict"),
    [
        ("kvm", "6.1.0-57-amd64", Verdict.DEVIATION),
        ("kvm", "6.12.117+deb12-amd64", Verdict.FAIL),
        ("tcg", "6.12.117+deb12-amd64", Verdict.DEVIATION),
    ],
)
def test_a_bound_of_linux_counts_for_kvm(
    accelerator: str, release: str, verdict: Verdict, host: SimpleNamespace
) -> None:
    host.release = release
    target = Target("mine", accelerator=accelerator, clock="realtime")  # type: ignore[arg-type]
    assert KnownDifferences(target).judge(a_case(OLD_KVM), Verdict.FAIL, REASON, None).verdict is verdict


@pytest.mark.parametrize(
    ("release", "software", "missed"), [("6.1.0", False, True), ("6.12.0", False, False), ("6.1.0", True, False)]
)
def test_a_deviation_is_missed_on_the_kvm_of_its_record_alone(
    release: str, software: bool, missed: bool, host: SimpleNamespace
) -> None:
    host.release, host.software = release, software
    gone = KnownDifferences(Target("mine", accelerator="kvm", clock="realtime")).gone(
        a_case(OLD_KVM), (), lambda: "a pass"
    )
    assert (gone is not None) is missed
