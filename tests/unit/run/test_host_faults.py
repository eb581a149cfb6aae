"""The table of faults of a KVM that executes guests in software."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from harness.probes.loader import catalogue_root, load_probes
from harness.probes.probe import Case, Probe
from harness.probes.probe_error import ProbeError
from harness.run.host_faults import FILE_NAME, fault_of, host_faults, kvm_is_software

GOOD = """
[[fault]]
title = "An interrupt ends with its delivery"
why = "The in-service bit is clear."
[fault.seen]
"smp/start.py::*_ipi" = 'in_service|not there'
"*" = '^internal-error'
"""


def a_case(root: Path, name: str = "takes_an_ipi") -> Case:
    def function() -> None: ...

    function.__name__ = name
    return Case(Probe(function, "x", path=root / "smp" / "start.py", root=root), {})  # type: ignore[arg-type]


def write(folder: Path, text: str) -> Path:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return folder


def test_a_fault_explains_its_failure_of_its_probe_alone(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    fault = fault_of(a_case(tmp_path), "assert False\n  where False = record.in_service")
    assert fault is not None
    assert fault.title == "An interrupt ends with its delivery"
    assert fault_of(a_case(tmp_path), "time-out: waited for vector 0x71") is None
    assert fault_of(a_case(tmp_path, "starts"), "in_service") is None
    assert fault_of(a_case(tmp_path, "starts"), "internal-error: the monitor could not go on") is not None


def test_without_a_file_there_are_no_faults(tmp_path: Path) -> None:
    assert host_faults(tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[fault", "cannot be read"),
        ("fault = 5", r"expected a list of \[\[fault\]\]"),
        ("[[fault]]\ntitle = 'a'", "fault 1: has title; expected"),
        ("[[fault]]\ntitle = 'a'\nwhy = 'b'\nseen = {}", "seen is empty"),
        ("[[fault]]\ntitle = 'a'\nwhy = 'b'\nseen = {x = ''}", "x: expected a regular expression for the message"),
        ("[[fault]]\ntitle = 'a'\nwhy = 'b'\nseen = {x = '('}", "is not a regular expression"),
    ],
)
def test_the_error_of_a_malformed_file_names_the_fault(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ProbeError, match=says) as raised:
        host_faults(write(tmp_path, text))
    assert str(tmp_path / FILE_NAME) in str(raised.value)


@pytest.mark.parametrize(
    ("cpuinfo", "software"),
    [
        ("processor : 0\nflags\t\t: fpu vme sse2\n", True),
        ("processor : 0\nflags\t\t: fpu vme svm sse2\n", False),
        ("processor : 0\nflags\t\t: fpu vmx\n", False),
        ("processor : 0\nFeatures : fp asimd\n", False),
        (None, False),
    ],
)
def test_only_a_processor_without_virtualization_executes_in_software(
    tmp_path: Path, cpuinfo: str | None, software: bool
) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo, encoding="ascii")
    assert kvm_is_software(path) is software


def test_each_entry_of_the_catalogues_file_names_a_probe() -> None:
    ids = [probe.id for probe in load_probes()]
    faults = host_faults(catalogue_root())
    globs = [glob for fault in faults for glob, _ in fault.seen]
    assert len(faults) > 1
    assert [glob for glob in globs if not any(fnmatchcase(name, glob) for name in ids)] == []
    assert [glob for glob in globs if globs.count(glob) > 1] == []
    assert [pattern for fault in faults for _, pattern in fault.seen if re.search(pattern, "")] == []
