"""Faults of the host's own KVM, where it executes guests in software: nothing follows from them about KVM on other
hosts.

A folder of probes may hold `software_kvm.toml`, a list of faults:

    [[fault]]
    title = "An interrupt ends with its delivery"
    why = "The in-service bit is clear in the handler."
    [fault.seen]
    "smp/start.py::a_started_processor_takes_an_ipi" = "in_service"

`seen` has a probe's id, or a glob over ids, and a regular expression that the failure's message must match. Unlike a
`Deviation` the record is not strict: such a KVM differs from host to host, and some of its faults from run to run.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from harness.probes.probe import Case
from harness.probes.probe_error import ProbeError

__all__ = [
    "FILE_NAME",
    "REFERENCE",
    "HostFault",
    "fault_of",
    "faults_for",
    "host_faults",
    "kvm_is_software",
    "kvm_kind",
]

FILE_NAME = "software_kvm.toml"
REFERENCE = "docs/software-kvm.md"


@dataclass(frozen=True)
class HostFault:
    """One fault, and the probes that show it."""

    title: str
    why: str
    seen: tuple[tuple[str, re.Pattern[str]], ...]  # glob over probes' ids, what the failure's message must match

    def explains(self, probe: str, reason: str) -> bool:
        """Whether that failure of that probe is this fault."""
        return any(fnmatchcase(probe, glob) and pattern.search(reason) for glob, pattern in self.seen)


@cache
def kvm_is_software(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this host's processor has no virtualization (neither VMX nor SVM), so that its KVM executes guests in
    software."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = re.search(r"(?m)^flags\s*:(.*)$", text)
    return flags is not None and not {"vmx", "svm"} & set(flags[1].split())


def kvm_kind(device: Path = Path("/dev/kvm"), cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What this host's KVM executes guests with: "hardware" or "software"; empty where there is none."""
    if not device.exists():
        return ""
    return "software" if kvm_is_software(cpuinfo) else "hardware"


@cache
def host_faults(root: Path) -> tuple[HostFault, ...]:
    """The faults that the file of this folder lists; none without the file. Raises ProbeError where it is malformed."""
    path = root / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ProbeError(f"{path}: cannot be read: {error}") from error
    if set(document) - {"fault"} or not isinstance(document.get("fault", []), list):
        raise ProbeError(f"{path}: holds {', '.join(document)}; expected a list of [[fault]] tables alone")
    return tuple(_fault(path, number, table) for number, table in enumerate(document.get("fault", []), 1))


def _fault(path: Path, number: int, table: Mapping[str, Any]) -> HostFault:
    where = f"{path}: fault {number}"
    if set(table) != {"title", "why", "seen"}:
        raise ProbeError(f"{where}: has {', '.join(sorted(table))}; expected title, why and seen")
    if not isinstance(table["seen"], dict) or not table["seen"]:
        raise ProbeError(
            f"{where}: seen is empty. Expected: the probes' ids, each with a regular expression for its failure"
        )
    seen = []
    for glob, text in table["seen"].items():
        if not isinstance(text, str) or not text:
            raise ProbeError(f"{where}: {glob}: expected a regular expression for the message of the failure")
        try:
            seen.append((glob, re.compile(text)))
        except re.error as error:
            raise ProbeError(f"{where}: {glob}: {text!r} is not a regular expression: {error}") from error
    return HostFault(str(table["title"]), str(table["why"]), tuple(seen))


def faults_for(case: Case) -> tuple[HostFault, ...]:
    """The faults of the nearest `software_kvm.toml`, from the folder of the case's file up to the root of its probes.

    Raises ProbeError for a malformed file.
    """
    probe = case.probe
    for folder in probe.path.parents:
        if (folder / FILE_NAME).exists() or folder == probe.root:
            return host_faults(folder)
    return ()


def fault_of(case: Case, reason: str) -> HostFault | None:
    """The fault of a software KVM that explains this failure of the case. Raises ProbeError for a malformed file."""
    return next((fault for fault in faults_for(case) if fault.explains(case.probe.id, reason)), None)
