"""What this host can run, found by running it: the data of `trapgate doctor`."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from harness.commands.other_qemus import other_qemus
from harness.disk_cache import cache_state
from harness.one_line import one_line
from harness.qemu.devices import DEVICES
from harness.qemu.errors import QemuError
from harness.qemu.features import Features, features, trial, unsupported
from harness.qemu.firmware import find_uefi
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import Accelerator, MachineType, Target
from harness.report.host import host_facts, version
from harness.report.json_file import SCHEMA
from harness.run.host_faults import kvm_kind

__all__ = ["MACHINES", "GuestTrial", "QemuState", "Survey", "TargetState", "survey"]

MACHINES: tuple[MachineType, ...] = ("q35", "pc", "microvm")
_ACCELERATORS: tuple[Accelerator, ...] = ("tcg", "kvm")
_PACKAGES = ("capstone", "keystone-engine", "pexpect", "pyelftools", "pytest", "qemu.qmp", "rich", "typer", "jinja2")
PROGRAMS = {"setpriv": "ends QEMU when Trapgate ends; from util-linux"}


@dataclass(frozen=True)
class GuestTrial:
    """Whether a guest runs with one accelerator on one machine type."""

    accelerator: str
    machine: str
    works: bool
    kvm: str  # of an accelerator "kvm" that works: "hardware" or "software"
    cpu: str  # the model that it runs with
    reason: str  # why it does not


@dataclass(frozen=True)
class QemuState:
    """One QEMU."""

    program: str
    version: str = ""
    sandbox: bool = False
    error: str = ""  # why it does not run at all
    runs: tuple[GuestTrial, ...] = ()
    lacks: Mapping[str, tuple[str, ...]] | None = None  # device of `needs` → QEMU's types that are not built in


@dataclass(frozen=True)
class TargetState:
    """One target."""

    name: str
    works: bool
    kvm: str
    reason: str
    machine: str
    accelerator: str
    clock: str
    qemu: str


@dataclass(frozen=True)
class Survey:
    """Everything."""

    kvm: str
    qemus: tuple[QemuState, ...]
    targets: tuple[TargetState, ...]
    uefi: str
    programs: Mapping[str, str]
    packages: Mapping[str, str]
    cache: str  # its folder
    cache_unused: str  # why it is not used

    @property
    def works(self) -> bool:
        """Whether at least one target works."""
        return any(target.works for target in self.targets)

    def document(self) -> dict[str, Any]:
        """The JSON document of docs/json.md."""
        devices = [
            {"name": name, "platforms": sorted(device.platforms), "summary": device.summary}
            for name, device in sorted(DEVICES.items())
        ]
        head = {"schema": SCHEMA, "trapgate": version(), "works": self.works, "host": host_facts()}
        return head | asdict(self) | {"devices": devices, "kernel": platform.release()}


def survey(targets: Iterable[Target], program: str | None = None) -> Survey:
    """Try every target, and every QEMU that is found here or that a target names; `program` alone where it is given."""
    known = list(targets)
    uefi = find_uefi()
    cache, cache_unused = cache_state()
    return Survey(
        kvm=kvm_kind(),
        qemus=tuple(_program(path) for path in ([shutil.which(program) or program] if program else _programs(known))),
        targets=tuple(map(_target, known)),
        uefi=str(uefi.code) if uefi else "",
        programs={name: shutil.which(name) or "" for name in PROGRAMS},
        packages={name: _version(name) for name in _PACKAGES} | {"Python": platform.python_version()},
        cache=cache,
        cache_unused=cache_unused,
    )


def _programs(targets: Iterable[Target]) -> list[str]:
    found: dict[str, None] = {}
    names = ["qemu-system-x86_64", *(t.binary for t in targets if t.binary is not None)]
    for name in [*names, *map(str, other_qemus())]:
        path = shutil.which(name)
        if path is not None:
            found[path] = None
    return list(found)


def _program(program: str) -> QemuState:
    try:
        has = features(program)
    except (QemuError, OSError) as error:
        return QemuState(program, error=str(error))
    runs = tuple(_trial(has, accelerator, machine) for accelerator in _ACCELERATORS for machine in MACHINES)
    lacks = {name: tuple(kind for kind in device.types if kind not in has.types) for name, device in DEVICES.items()}
    return QemuState(program, has.version, has.sandbox, runs=runs, lacks=lacks)


def _trial(has: Features, accelerator: Accelerator, machine: MachineType) -> GuestTrial:
    if machine not in has.machines:
        return GuestTrial(accelerator, machine, False, "", "", "no such machine type")
    done = trial(has.program, accelerator, machine)
    kvm = kvm_kind() if accelerator == "kvm" and done.reason is None else ""
    return GuestTrial(accelerator, machine, done.reason is None, kvm, done.cpu, done.reason or "")


def _target(target: Target) -> TargetState:
    try:
        reason = unsupported(MachineConfig(target))
        program = str(target.find_binary())
        if reason is None:
            reason = trial(program, target.accelerator, target.machine).reason
    except (QemuError, OSError) as error:
        reason, program = one_line(str(error)), target.binary or ""
    return TargetState(
        name=target.name,
        works=reason is None,
        kvm=kvm_kind() if target.accelerator == "kvm" and reason is None else "",
        reason=reason or "",
        machine=target.machine,
        accelerator=target.accelerator,
        clock=f"icount, 2^{target.icount_shift} ns" if target.deterministic else "real time",
        qemu=program,
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
